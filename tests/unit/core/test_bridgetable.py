"""The bridges by channel: which there are, which are missing, and how they come and go."""

from __future__ import annotations

import asyncio

import pytest

from wsgw.bridges.base import BridgeState, OnRefused
from wsgw.channels.changes import Changes, between
from wsgw.channels.channel import Channel, Direction
from wsgw.channels.durable import Durable
from wsgw.core.bridgetable import BridgeTable

IN = Channel("IN", Direction.INBOUND)
OUT = Channel("OUT", Direction.OUTBOUND)
HELD = Channel("HELD", Direction.OUTBOUND, durable=Durable("S"))
ASK = Channel("ASK", Direction.REQUEST)


class Bridge:
    """Writes down what it is told; its state is the test's."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.state = BridgeState.STARTING
        self.reason = "waiting for NATS"
        self.calls: list[str] = []
        self.fault: Exception | None = None
        self.going = asyncio.Event()
        self.going.set()

    def start(self) -> None:
        self.calls.append("start")

    async def stop(self) -> None:
        self.calls.append("stop")

    async def retire(self) -> None:
        await self.going.wait()
        self.calls.append("retire")
        if self.fault is not None:
            raise self.fault

    def change(self, channel: Channel) -> None:
        self.channel = channel

    async def forget_idle(self) -> None: ...

    def join(self, name: str, refused: OnRefused) -> asyncio.Future[None] | None:
        return None

    def leave(self, name: str, refused: OnRefused) -> None: ...


class Made:
    def __init__(self, *channels: Channel) -> None:
        self.channels = channels
        self.bridges: list[Bridge] = []
        self.table = BridgeTable(self._make, channels)

    def _make(self, channel: Channel) -> Bridge:
        self.bridges.append(Bridge(channel))
        return self.bridges[-1]

    def replace(self, *channels: Channel) -> tuple[list[str], list[str]]:
        ending, beginning = self.table.replace(between(self.channels, channels))
        self.channels = channels
        return [bridge.channel.name for bridge in ending], [bridge.channel.name for bridge in beginning]


async def test_channels_that_deliver_or_are_held_have_one() -> None:
    made = Made(IN, OUT, HELD, ASK)
    assert [bridge.channel for bridge in made.bridges] == [IN, HELD]
    assert made.table.of(IN) is made.bridges[0]
    made.table.start()
    await made.table.stop()
    assert [bridge.calls for bridge in made.bridges] == [["start", "stop"]] * 2


async def test_those_of_the_start_are_waited_for() -> None:
    made = Made(IN, HELD)
    made.bridges[0].state = BridgeState.SUBSCRIBED
    assert not made.table.subscribed
    assert made.table.missing() == {"HELD": "starting: waiting for NATS"}
    made.bridges[1].state = BridgeState.SUBSCRIBED
    assert made.table.subscribed
    assert made.table.missing() == {}
    made.bridges[1].state = BridgeState.FAILED
    assert not made.table.subscribed


async def test_a_later_one_is_missed_once_it_was_there() -> None:
    made = Made()
    made.replace(IN)
    assert made.table.subscribed
    assert made.table.missing().keys() == {"IN"}
    made.bridges[0].state = BridgeState.SUBSCRIBED
    assert made.table.subscribed
    made.bridges[0].state = BridgeState.FAILED
    assert not made.table.subscribed


async def test_changes() -> None:
    other = Channel("IN", Direction.INBOUND, "elsewhere")
    adjusted = Channel("IN", Direction.INBOUND, "elsewhere", outbox_messages=5)
    made = Made(IN, OUT, ASK)
    assert made.replace(IN, HELD) == ([], ["HELD"])
    assert made.replace(other, HELD) == (["IN"], ["IN"])
    assert made.replace(adjusted, HELD) == ([], [])
    assert made.table.of(adjusted).channel is adjusted
    assert made.replace(OUT) == (["IN", "HELD"], [])
    assert made.table.missing() == {}
    assert made.table.replace(Changes()) == ([], [])


async def test_an_end(caplog: pytest.LogCaptureFixture) -> None:
    made = Made(IN, HELD)
    one, other = made.bridges
    one.fault = RuntimeError("a fault")
    ending, _ = made.table.replace(between([IN, HELD], []))
    await made.table.end(ending)
    assert one.calls == other.calls == ["retire"]
    assert "the end of IN: a fault" in caplog.text
    await made.table.stop()
    assert one.calls == other.calls == ["retire"]


async def test_a_stop_waits_for_those_that_end() -> None:
    made = Made(IN)
    (bridge,) = made.bridges
    bridge.going.clear()
    ending, _ = made.table.replace(between([IN], []))
    task = asyncio.ensure_future(made.table.end(ending))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    stopping = asyncio.ensure_future(made.table.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    bridge.going.set()
    await stopping
    assert bridge.calls == ["retire"]
