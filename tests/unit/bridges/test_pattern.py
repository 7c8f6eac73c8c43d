"""A pattern channel: NATS' interest follows the sessions, and nothing is lost or doubled when it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import pytest

from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.rooms import CHAT, Delay, Rooms
from helpers.stack import GAP, Stack
from helpers.waiting import DEADLINE_SECONDS, arrived, eventually
from wsgw.bridges import pattern
from wsgw.bridges.base import BridgeState
from wsgw.bridges.interests import Interest
from wsgw.bridges.pattern import PatternBridge
from wsgw.broker.subscription import NatsSubscription
from wsgw.errors import TOO_MANY_SUBJECTS, GatewayError
from wsgw.fanout.publication import Publication

pytestmark = pytest.mark.usefixtures("quick_pattern")


@pytest.fixture
async def rooms(start_server: Callable[..., NatsServer]) -> AsyncIterator[Rooms]:
    server, stack = start_server(), Stack()
    async with asyncio.timeout(100):
        await stack.connect(server.url)
        made = Rooms(server, stack)
        stack.start(made.bridge)
        made.peer = await Peer.connect(server.url)
        yield made
        await made.peer.close()
        await stack.stop()


async def test_only_names_that_are_its_own(rooms: Rooms) -> None:
    """A name under the pattern that nobody joined by this bridge is another channel's to deliver."""
    own, every = await rooms.join("chat.a"), await rooms.join("chat.*")
    others = rooms.stack.listen(CHAT, "chat.lobby")  # as a channel of that very name does
    await rooms.peer.publish("rooms.lobby", "1")
    await rooms.peer.publish("rooms.a", "2")
    await rooms.peer.publish("rooms.*", "3")  # NATS takes it: a word like any other
    await arrived(every, 3)
    await eventually(lambda: own, "its own")
    assert (own, every, others) == ([b"2"], [b"1", b"2", b"3"], [])
    assert value(rooms.stack.metrics, "wsgw_nats_messages_total", channel="chat.*") == 3


async def test_interest_follows_the_sessions(rooms: Rooms) -> None:
    await eventually(lambda: rooms.bridge.state is BridgeState.SUBSCRIBED, "ready without any interest")
    await rooms.at_nats()
    one, two = await rooms.join("chat.1"), await rooms.join("chat.2")
    await rooms.at_nats("rooms.1", "rooms.2")
    await rooms.peer.publish("rooms.1", b"a")
    await rooms.peer.publish("rooms.2", b"b")
    await rooms.peer.publish("rooms.3", b"c")
    await arrived(one, 1)
    await arrived(two, 1)
    assert (one, two) == ([b"a"], [b"b"])
    assert value(rooms.stack.metrics, "wsgw_nats_messages_total", channel="chat.*") == 2
    rooms.leave("chat.1")
    rooms.leave("chat.1")
    rooms.bridge.leave("chat.nobody", rooms.no)
    await rooms.at_nats("rooms.2")


async def test_interest_lingers_and_is_shared(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "LINGER_SECONDS", 60.0)
    got = await rooms.join("chat.1")
    await rooms.join("chat.1")
    await rooms.at_nats("rooms.1")
    rooms.leave("chat.1")
    rooms.leave("chat.1")
    await rooms.peer.publish("rooms.1", b"a")
    await arrived(got, 1)
    again = await rooms.join("chat.1")
    await rooms.peer.publish("rooms.1", b"b")
    await arrived(again, 1)
    await rooms.at_nats("rooms.1")


async def test_subjects_are_bounded(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "LINGER_SECONDS", 60.0)
    assert value(rooms.stack.metrics, "wsgw_subjects_limit", channel="chat.*") == 3
    for name in ("chat.1", "chat.2", "chat.3"):
        await rooms.join(name)
    with pytest.raises(GatewayError, match="3 subjects") as caught:
        rooms.bridge.join("chat.4", rooms.no)
    assert caught.value.kind is TOO_MANY_SUBJECTS
    await rooms.join("chat.1")  # one that is there already
    rooms.leave("chat.2")
    rooms.leave("chat.3")
    got = await rooms.join("chat.4")
    await rooms.at_nats("rooms.1", "rooms.3", "rooms.4")
    await rooms.peer.publish("rooms.4", b"x")
    await arrived(got, 1)
    await rooms.join("chat.*")  # the pattern itself is no concrete subject


async def test_before_nats_is_there(start_server: Callable[..., NatsServer]) -> None:
    server, stack = start_server(), Stack()
    server.stop()
    await stack.connect(server.url, wait=False)
    rooms = Rooms(server, stack)
    stack.start(rooms.bridge)
    got = await rooms.join("chat.1")
    server.start()
    await rooms.at_nats("rooms.1")
    peer = await Peer.connect(server.url)
    await peer.publish("rooms.1", b"x")
    await arrived(got, 2)
    assert got == [GAP, b"x"], "what came in between nobody can know"
    await peer.close()
    await stack.stop()


async def test_after_a_loss(rooms: Rooms) -> None:
    one, every = await rooms.join("chat.1"), await rooms.join("chat.*")
    await rooms.at_nats("rooms.*")
    rooms.server.stop()
    await eventually(lambda: rooms.bridge.state is BridgeState.STARTING, "the loss is noticed")
    late = await rooms.join("chat.2")
    rooms.server.start()
    await rooms.at_nats("rooms.*")
    await eventually(lambda: rooms.bridge.state is BridgeState.SUBSCRIBED, "subscribed again")
    peer = await Peer.connect(rooms.server.url)
    await peer.publish("rooms.1", b"a")
    await peer.publish("rooms.2", b"b")
    await arrived(every, 3)
    assert (one, late, every) == ([GAP, b"a"], [GAP, b"b"], [GAP, b"a", b"b"])
    assert value(rooms.stack.metrics, "wsgw_gaps_total", channel="chat.*") == 1
    await peer.close()


async def test_a_pattern_has_one_subscription(rooms: Rooms) -> None:
    one = await rooms.join("chat.1")
    await rooms.at_nats("rooms.1")
    every = await rooms.join("chat.*")
    await rooms.at_nats("rooms.*")
    two = await rooms.join("chat.2")
    await rooms.peer.publish("rooms.1", b"a")
    await rooms.peer.publish("rooms.2", b"b")
    await arrived(every, 2)
    assert (one, two, every) == ([b"a"], [b"b"], [b"a", b"b"])
    rooms.leave("chat.*")
    await rooms.at_nats("rooms.1", "rooms.2")
    await rooms.peer.publish("rooms.1", b"c")
    await arrived(one, 2)
    assert every == [b"a", b"b"]


@pytest.mark.parametrize(("equal", "pace_seconds"), [(False, 0.1), (True, 0.1), (True, 60.0)])
async def test_nothing_is_lost_doubled_or_reordered_at_a_change(
    rooms: Rooms, equal: bool, pace_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two publishers go on while a session joins and leaves the pattern again and again.

    The long pace stands for a standstill, in which the fences between are late.
    """
    monkeypatch.setattr(pattern, "PACE_SECONDS", pace_seconds)
    got = {name: await rooms.join(name) for name in ("chat.1", "chat.2")}
    sent: dict[str, list[bytes]] = {"chat.1": [], "chat.2": []}
    going = True

    async def publish(name: str) -> None:
        while going:
            for _ in range(20):
                payload = b"same" if equal else b"%d" % len(sent[name])
                sent[name].append(payload)
                await rooms.peer.publish(CHAT.subject_of(name), payload)
            await asyncio.sleep(0.001)

    publishers = [asyncio.ensure_future(publish(name)) for name in got]
    for _ in range(3):
        await rooms.join("chat.*")
        await rooms.at_nats("rooms.*")
        rooms.leave("chat.*")
        await rooms.at_nats("rooms.1", "rooms.2")
    going = False
    await asyncio.gather(*publishers)
    for name, payloads in got.items():
        await arrived(payloads, len(sent[name]))
    await rooms.peer.publish("rooms.1", b"end")
    await eventually(lambda: got["chat.1"][-1] == b"end", "the last one")
    sent["chat.1"].append(b"end")
    assert got == sent
    total = sum(map(len, sent.values()))
    assert value(rooms.stack.metrics, "wsgw_nats_messages_total", channel="chat.*") == total


async def test_the_change_back_ends_though_names_are_joined_all_the_time(rooms: Rooms) -> None:
    keep = await rooms.join("chat.keep")
    await rooms.join("chat.*")
    await rooms.at_nats("rooms.*")
    rooms.leave("chat.*")
    number = 0
    async with asyncio.timeout(DEADLINE_SECONDS):
        while "rooms.*" in await rooms.subjects():
            number += 1
            name = f"chat.{number}"
            got = await rooms.join(name)
            for _ in range(2):
                await rooms.peer.publish(CHAT.subject_of(name), b"same")
            await rooms.peer.publish(CHAT.subject_of(name), b"end")
            await eventually(lambda got=got: got[-1:] == [b"end"], "the last one")  # type: ignore[misc]
            assert got == [b"same", b"same", b"end"]
            rooms.leave(name)
    assert number > 1
    await rooms.peer.publish("rooms.keep", b"x")
    await arrived(keep, 1)


async def test_wanted_again_during_the_change_back(rooms: Rooms) -> None:
    one = await rooms.join("chat.1")
    await rooms.join("chat.*")
    await rooms.at_nats("rooms.*")
    rooms.leave("chat.*")
    await rooms.at_nats("rooms.*", "rooms.1")
    every = await rooms.join("chat.*")
    await rooms.peer.publish("rooms.2", b"a")
    await rooms.peer.publish("rooms.1", b"b")
    await arrived(every, 2)
    await arrived(one, 1)
    assert (one, every) == ([b"b"], [b"a", b"b"])
    await rooms.at_nats("rooms.*")


class Unwalked(dict[str, Interest]):
    """A table of names in which nobody may go from one to the next."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("walked")

    keys = values = items = __iter__  # type: ignore[assignment]


async def test_a_join_walks_no_names(rooms: Rooms) -> None:
    """However many there are, it costs the same."""
    made = PatternBridge(CHAT, rooms.stack.broker, rooms.stack.hub, 100)
    for number in range(10):
        made._interests.add(f"chat.{number}")
    made._interests._names = Unwalked(made._interests._names)
    made._interests._missing = Unwalked(made._interests._missing)
    with pytest.raises(AssertionError, match="walked"):
        made._interests.missing()
    for number in range(5, 15):
        made.join(f"chat.{number}", rooms.no)
        made.leave(f"chat.{number}", rooms.no)


async def test_the_delay_between_connections_begins_anew_after_a_loss(rooms: Rooms) -> None:
    delay = rooms.bridge._keeper.backoff = Delay()  # type: ignore[assignment]
    await rooms.join("chat.1")
    assert delay.told == []
    rooms.server.stop()
    await eventually(lambda: rooms.bridge.state is BridgeState.STARTING, "the loss is noticed")
    assert delay.told == ["reset", "next"]
    rooms.server.start()
    await rooms.at_nats("rooms.1")


async def test_a_fault_does_not_end_it(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    subscribe, tries = rooms.stack.broker.subscribe_all, 0

    async def faulty(wanted: Sequence[tuple[str, Callable[[Publication], None]]]) -> list[NatsSubscription]:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise AssertionError("something new")
        return await subscribe(wanted)

    monkeypatch.setattr(rooms.stack.broker, "subscribe_all", faulty)
    got = await rooms.join("chat.1")
    await rooms.at_nats("rooms.1")
    await rooms.peer.publish("rooms.1", b"x")
    await arrived(got, 1)
    assert rooms.bridge.state is BridgeState.SUBSCRIBED
    assert "something new" in caplog.text
