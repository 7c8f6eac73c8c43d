"""A change between the subscription of a pattern and those of its names, while what NATS sent is read late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from helpers.nats_server import NatsServer
from helpers.stack import Stack
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw.bridges import pattern
from wsgw.bridges.base import OnRefused
from wsgw.bridges.overlap import Via
from wsgw.bridges.pattern import PatternBridge
from wsgw.broker.subscription import NatsSubscription
from wsgw.channels.channel import Channel, Direction
from wsgw.errors import GatewayError
from wsgw.fanout.publication import Publication

CHAT = Channel("chat.*", Direction.BOTH, "overlaps.*")


class Rooms:
    """A pattern channel with room for one name, whose fences come back once ``late`` is over."""

    def __init__(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stack = stack
        self.bridge = PatternBridge(CHAT, stack.broker, stack.hub, 1)
        self.waiting = 0
        self.late = asyncio.Event()
        self.late.set()
        monkeypatch.setattr(stack.broker, "barrier", self._barrier)

    async def _barrier(self) -> None:
        self.waiting += 1
        await self.late.wait()
        self.waiting -= 1

    def join(self, name: str) -> OnRefused:
        """A session's; what it leaves by."""
        refused = partial(self._refused)
        self.bridge.join(name, refused)
        return refused

    def _refused(self, error: GatewayError) -> None:
        raise AssertionError(error)

    async def settled(self, via: Via) -> None:
        """Returns when names are served by ``via`` alone."""
        await eventually(lambda: self.bridge._served_via is via and self.bridge._overlap is None, f"served by {via}")

    def bring(self, payload: bytes, via: Via) -> None:
        """A publication to ``chat.1``."""
        self.bridge._deliver_concrete("chat.1", Publication("overlaps.1", payload, 0.0), via)
        self.stack.hub.flush()


@pytest.fixture
async def rooms(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rooms]:
    for name in ("LINGER_SECONDS", "GRACE_SECONDS", "WINDOW_SECONDS", "PACE_SECONDS"):
        monkeypatch.setattr(pattern, name, 0.01)
    stack = Stack()
    async with asyncio.timeout(3 * DEADLINE_SECONDS):
        await stack.connect(nats.url)
        made = Rooms(stack, monkeypatch)
        stack.start(made.bridge)
        yield made
        made.late.set()
        await stack.stop()


@pytest.mark.parametrize("new", Via)
async def test_a_change_lasts_until_all_is_read(rooms: Rooms, new: Via) -> None:
    """Else the second copy of what had been delivered would be taken for a first one."""
    rooms.join("chat.1")
    await eventually(lambda: rooms.bridge._interests.subscribed() == {"chat.1"}, "subscribed to")
    got = rooms.stack.listen(CHAT, "chat.1")
    if new is Via.PATTERN:
        rooms.late.clear()
        rooms.join("chat.*")
    else:
        refused = rooms.join("chat.*")
        await rooms.settled(Via.PATTERN)
        rooms.late.clear()
        rooms.bridge.leave("chat.*", refused)
    old = Via.CONCRETE if new is Via.PATTERN else Via.PATTERN
    await eventually(lambda: rooms.waiting == 2, "what forgets, and the change, wait for what was sent to be read")
    for payload in (b"a", b"b"):
        rooms.bring(payload, old)
    for payload in (b"a", b"b"):
        rooms.bring(payload, new)
    assert got == [b"a", b"b"]
    rooms.late.set()
    await rooms.settled(new)
    rooms.bring(b"c", old)
    rooms.bring(b"c", new)
    assert got == [b"a", b"b", b"c"]


@pytest.mark.parametrize("new", Via)
async def test_what_is_read_late_of_the_ended_subscription_is_told_from_its_twin(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch, new: Via
) -> None:
    """Where the hub holds NATS up, the last copies of the old one and the new one's come long after it was ended."""
    rooms.join("chat.1")
    await eventually(lambda: rooms.bridge._interests.subscribed() == {"chat.1"}, "subscribed to")
    got = rooms.stack.listen(CHAT, "chat.1")
    old = Via.CONCRETE if new is Via.PATTERN else Via.PATTERN
    refused = rooms.join("chat.*") if old is Via.PATTERN else None
    if refused is not None:
        await rooms.settled(Via.PATTERN)
    unsubscribe = rooms.stack.broker.unsubscribe

    def unsubscribed(subscription: NatsSubscription) -> None:
        unsubscribe(subscription)
        rooms.late.clear()

    monkeypatch.setattr(rooms.stack.broker, "unsubscribe", unsubscribed)
    if refused is None:
        rooms.join("chat.*")
    else:
        rooms.bridge.leave("chat.*", refused)
    await eventually(lambda: rooms.waiting == 2, "what forgets, and the change, wait for what was sent to be read")
    rooms.bring(b"a", old)
    rooms.bring(b"a", new)
    assert got == [b"a"]
    rooms.late.set()
    await rooms.settled(new)


async def test_names_keep_their_subscriptions_for_the_grace(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers of a cluster hear of the pattern later than the one that is asked."""
    rooms.join("chat.1")
    await eventually(lambda: rooms.bridge._interests.subscribed() == {"chat.1"}, "subscribed to")
    monkeypatch.setattr(pattern, "GRACE_SECONDS", 3600.0)
    rooms.join("chat.*")
    await eventually(lambda: rooms.bridge._served_via is Via.PATTERN, "served by the pattern")
    assert rooms.bridge._interests.subscribed() == {"chat.1"}


async def test_a_name_that_is_joined_anew_meanwhile_has_no_part_in_it(rooms: Rooms) -> None:
    """What the old subscription brought, which its new sessions were not there for, is not a twin of theirs."""
    first, every = rooms.join("chat.1"), rooms.join("chat.*")
    await rooms.settled(Via.PATTERN)
    rooms.late.clear()
    rooms.bridge.leave("chat.*", every)
    await eventually(lambda: rooms.bridge._overlap is not None, "the change begins")
    rooms.bridge.leave("chat.1", first)
    rooms.bridge.leave("chat.2", rooms.join("chat.2"))  # which took its place
    rooms.join("chat.1")
    got = rooms.stack.listen(CHAT, "chat.1")
    rooms.bring(b"same", Via.PATTERN)
    assert got == []
    rooms.bring(b"same", Via.CONCRETE)
    assert got == [b"same"]


async def test_names_that_join_during_the_change_back_are_subscribed_to_at_once(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = rooms.join("chat.*")
    await rooms.settled(Via.PATTERN)
    monkeypatch.setattr(pattern, "GRACE_SECONDS", 3600.0)
    rooms.bridge.leave("chat.*", every)
    await eventually(lambda: rooms.bridge._overlap is not None, "the change begins")
    rooms.join("chat.1")
    await eventually(lambda: rooms.bridge._interests.subscribed() == {"chat.1"}, "subscribed to")
    assert rooms.bridge._overlap is not None, "the change goes on"
