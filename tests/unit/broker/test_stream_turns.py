"""A stream that brings much leaves each tick to others: it rests, and so does what is left of a read."""

from __future__ import annotations

import asyncio
import math

import pytest

from helpers.taken import Taken
from helpers.waiting import eventually
from wsgw.broker import stream
from wsgw.broker.client import DirectClient
from wsgw.broker.parser import WINDOW_BYTES, ProtocolError

from .conftest import Run


def test_a_flood_leaves_each_tick_to_others(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads up to 32 times on end: what one read takes is enough here."""
    monkeypatch.setattr(stream, "TICK_SECONDS", 0.0)

    async def flooded(client: DirectClient) -> None:
        loop, ticks, got = asyncio.get_running_loop(), 0, 0
        reads: list[int] = []
        assert client._stream is not None
        feed = client._stream._feed
        assert feed is not None

        def tick() -> None:
            nonlocal ticks
            ticks += 1
            loop.call_soon(tick)

        def fed(data: bytes, until: float = math.inf) -> bool:
            if until < math.inf:
                reads.append(ticks)
            return feed(data, until)

        def count(*_: object) -> None:
            nonlocal got
            got += 1

        client._stream._feed = fed
        client.listen("stream.flood", count)
        payload = bytes(1000)
        client.write(b"PUB stream.flood 1000\r\n%b\r\n" % payload * 20_000)
        tick()
        await eventually(lambda: got == 20_000, "all of it")
        assert reads
        assert len(set(reads)) == len(reads)

    run(flooded)


async def test_a_rest_and_a_hold_do_not_undo_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "TICK_SECONDS", 0.0)
    taken = Taken()
    taken.stream.start()
    much = bytes(WINDOW_BYTES)
    taken.stream.data_received(much)
    assert taken.stream.held
    taken.stream.hold()
    await asyncio.sleep(0)
    assert taken.socket.told == ["pause"]
    taken.stream.release()
    assert (taken.stream.held, taken.socket.told) == (False, ["pause", "resume"])
    taken.socket.told.clear()
    taken.stream.data_received(much)
    taken.stream.hold()
    taken.stream.release()
    assert (taken.stream.held, taken.socket.told) == (True, ["pause"])
    await asyncio.sleep(0)
    assert (taken.stream.held, taken.socket.told) == (False, ["pause", "resume"])
    taken.socket.told.clear()
    taken.stream.hold()
    taken.stream.data_received(much)
    await asyncio.sleep(0)
    assert (taken.stream.held, taken.socket.told) == (True, ["pause"])


async def test_a_rest_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(stream, "monotonic", lambda: now[0])
    monkeypatch.setattr(stream, "TICK_SECONDS", 0.0)
    taken = Taken()
    taken.stream.start()
    taken.stream.data_received(bytes(WINDOW_BYTES))
    now[0] += 10.0
    assert taken.stream.held
    await asyncio.sleep(0)
    assert (taken.stream.held, taken.stream.heard_at) == (False, 110.0)


async def test_what_is_left_of_a_read() -> None:
    """It is fed in the next ticks, not while it is held, and before anything is read."""
    taken = Taken()
    taken.stream.start()
    left = [True, True, True, False]

    def feed(data: bytes, until: float = math.inf) -> bool:
        taken.fed.append(data)
        return left.pop(0)

    taken.stream._feed = feed
    much = bytes(WINDOW_BYTES)
    taken.stream.data_received(much)
    await asyncio.sleep(0)
    assert taken.fed == [much, b""]
    taken.stream.hold()
    for _ in range(3):
        await asyncio.sleep(0)
    assert taken.fed == [much, b""]
    taken.stream.release()
    assert (taken.stream.held, taken.fed) == (True, [much, b""])
    for _ in range(2):
        await asyncio.sleep(0)
    assert (taken.fed, taken.socket.told) == ([much, b"", b"", b""], ["pause"])
    await asyncio.sleep(0)
    assert (taken.stream.held, taken.socket.told) == (False, ["pause", "resume"])


@pytest.mark.parametrize("lost", [False, True])
async def test_an_end_comes_behind_what_is_left(lost: bool) -> None:
    taken = Taken()
    taken.stream.start()

    def feed(data: bytes, until: float = math.inf) -> bool:
        assert taken.ends == []
        taken.fed.append(data)
        return until < math.inf

    taken.stream._feed = feed
    taken.stream.data_received(bytes(WINDOW_BYTES))
    if lost:
        taken.stream.connection_lost(ConnectionResetError())
    else:
        taken.stream.eof_received()
    assert (len(taken.fed), len(taken.ends)) == (2, 1)


async def test_an_error_in_what_is_left() -> None:
    taken = Taken()
    taken.stream.start()

    def feed(data: bytes, until: float = math.inf) -> bool:
        if not data:
            raise ProtocolError("enough")
        return True

    taken.stream._feed = feed
    taken.stream.data_received(bytes(WINDOW_BYTES))
    await asyncio.sleep(0)
    assert [str(end) for end in taken.ends] == ["enough"]


async def test_it_rests_when_a_tick_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be it by several reads."""
    now = [100.0]
    monkeypatch.setattr(stream, "monotonic", lambda: now[0])
    taken = Taken()
    taken.stream.start()

    def feed(data: bytes, until: float = math.inf) -> bool:
        now[0] += len(data) * 1e-7
        return False

    taken.stream._feed = feed
    for _ in range(5):
        await asyncio.sleep(0)  # another tick
        taken.stream.data_received(bytes(90_000))
        assert not taken.stream.held
    for _ in range(2):  # what comes nonetheless makes no difference
        taken.stream.data_received(bytes(90_000))
        assert taken.stream.held
    assert taken.socket.told == ["pause"]
    await asyncio.sleep(0)
    for _ in range(100):
        taken.stream.data_received(bytes(WINDOW_BYTES - 1))
    assert not taken.stream.held, "the loop reads no more in a tick that brings little"


async def test_an_end_while_it_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "TICK_SECONDS", 0.0)
    taken = Taken()
    taken.stream.start()
    taken.stream.data_received(bytes(WINDOW_BYTES))
    taken.stream.close()
    await asyncio.sleep(0)
    assert taken.socket.told == ["pause", "abort"]
