"""One timer for the heartbeats of all streams."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from helpers.waiting import eventually
from wsgw.shares.slices import Slices
from wsgw.surfaces.sse import heartbeats
from wsgw.surfaces.sse.heartbeats import LOOK_SECONDS, QUIET_LOOKS, Heartbeats


class Stream:
    def __init__(self) -> None:
        self.beats = 0
        self.fails = False

    def beat(self) -> None:
        self.beats += 1
        if self.fails:
            raise RuntimeError("a fault")


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "LOOK_SECONDS", 0.01)


def test_html_advises_15_seconds() -> None:
    assert 10 < LOOK_SECONDS * QUIET_LOOKS < 14


async def test_all_are_looked_at_while_they_are_there() -> None:
    beating = Heartbeats(Slices(asyncio.get_running_loop()))
    streams = [Stream() for _ in range(3)]
    for stream in streams:
        beating.add(stream)
    await eventually(lambda: all(stream.beats > 2 for stream in streams), "they beat")
    beating.discard(streams[0])
    beating.discard(streams[0])
    before = streams[0].beats
    await eventually(lambda: streams[1].beats > before + 3, "the others go on")
    assert streams[0].beats == before
    for stream in streams:
        beating.discard(stream)
    made: Any = beating
    assert made._timer is None, "nothing is to be ended at the end"


async def test_again_after_a_pause() -> None:
    beating = Heartbeats(Slices(asyncio.get_running_loop()))
    stream = Stream()
    for _ in range(2):
        before = stream.beats
        beating.add(stream)
        await eventually(lambda before=before: stream.beats > before, "it beats")  # type: ignore[misc]
        beating.discard(stream)


async def test_who_goes_while_others_are_looked_at() -> None:
    beating = Heartbeats(Slices(asyncio.get_running_loop()))
    beats: list[Stream] = []

    class Leaving(Stream):
        def beat(self) -> None:
            other = next(each for each in streams if each is not self)
            beats.append(self)
            beating.discard(other)

    streams = [Leaving(), Leaving()]
    for stream in streams:
        beating.add(stream)
    await eventually(lambda: len(beats) > 3, "one of them is looked at")
    assert len(set(beats)) == 1
    beating.discard(beats[0])


async def test_a_fault_costs_one_round(caplog: pytest.LogCaptureFixture) -> None:
    beating = Heartbeats(Slices(asyncio.get_running_loop()))
    bad, good = Stream(), Stream()
    bad.fails = True
    beating.add(bad)
    await eventually(lambda: bad.beats > 2, "it goes on")
    beating.add(good)
    bad.fails = False
    await eventually(lambda: good.beats > 1, "the others are looked at")
    for stream in (bad, good):
        beating.discard(stream)
    assert "a fault" in caplog.text
