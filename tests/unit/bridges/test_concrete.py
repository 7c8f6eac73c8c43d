"""The subscriptions of concrete names: they follow the table in batches, and each refusal finds its sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from helpers.interest import interest, nats_has
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.stack import Stack
from helpers.waiting import arrived, eventually
from wsgw.bridges import concrete
from wsgw.bridges.concrete import ConcreteSubscriptions
from wsgw.bridges.interests import Interests
from wsgw.broker.connection import NatsConnection
from wsgw.broker.subscription import NatsSubscription
from wsgw.channels.channel import Channel, Direction
from wsgw.errors import FORBIDDEN, NATS_UNAVAILABLE, GatewayError
from wsgw.fanout.publication import Publication

CHAT = Channel("chat.*", Direction.BOTH, "rooms.*")
DENY = 'authorization {{users = [{{user: u, password: p, permissions: {{subscribe: {{deny: ["{}"]}}}}}}]}}'


class Names:
    """A table whose names are subscribed to on a server that denies ``rooms.secret``."""

    def __init__(self, server: NatsServer, stack: Stack) -> None:
        self.server = server
        self.stack = stack
        self.table = Interests(CHAT, 1000)
        self.got: list[tuple[str, bytes]] = []
        self.told: list[str] = []
        self.ended = asyncio.Event()
        self.names = ConcreteSubscriptions(CHAT, stack.broker, self.table, self._deliver, self.ended.set)
        self.peer: Peer

    def _deliver(self, name: str, publication: Publication) -> None:
        self.got.append((name, publication.payload))

    @property
    def connection(self) -> NatsConnection:
        connection = self.stack.broker._connection
        assert connection is not None
        return connection

    def join(self, name: str, session: str = "") -> Callable[[GatewayError], None]:
        """A session, called ``session`` (else as the name), joins; what it is refused by."""

        def refused(error: GatewayError) -> None:
            assert error.kind is FORBIDDEN
            self.told.append(session or name)

        if self.table.get(name) is None:
            self.table.add(name)
        self.table.enter(name, refused)
        return refused

    def subjects(self) -> list[str]:
        """What the connection is subscribed to."""
        return [subscription.subject for subscription in self.connection._subscriptions]


@pytest.fixture
async def made(start_server: Callable[..., NatsServer], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Names]:
    monkeypatch.setattr(concrete, "BATCH_NAMES", 30)
    server, stack = start_server(DENY.format("rooms.secret")), Stack()
    url = server.url.replace("//", "//u:p@")
    async with asyncio.timeout(60):
        await stack.connect(url)
        names = Names(server, stack)
        names.peer = await Peer.connect(url)
        yield names
        await names.peer.close()
        await stack.stop()


async def test_what_comes_goes_to_its_name(made: Names) -> None:
    for number in range(70):
        made.join(f"chat.{number}")
    waiting = [each.ready() for each in made.table]
    await made.names.subscribe_missing()
    assert all(ready is not None and ready.done() for ready in waiting)
    assert made.table.missing() == []
    for number in range(70):
        await made.peer.publish(f"rooms.{number}", b"%d" % number)
    await arrived(made.got, 70)
    assert made.got == [(f"chat.{number}", b"%d" % number) for number in range(70)]


async def test_a_refusal_is_for_its_sessions(made: Names) -> None:
    names = [f"chat.{number}" for number in range(70)]
    names.insert(40, "chat.secret")
    for name in names:
        made.join(name)
    made.join("chat.secret", "another")
    made.join("chat.69", "third")
    waiting = made.table["chat.secret"].ready()
    await made.names.subscribe_missing()
    assert waiting is not None
    assert waiting.done()
    assert made.told == ["chat.secret", "another"]
    assert made.subjects() == [CHAT.subject_of(name) for name in names if name != "chat.secret"]
    assert made.table.get("chat.secret") is None
    made.join("chat.secret", "again")
    await made.names.subscribe_missing()
    assert made.told[2:] == ["again"]


async def test_a_refusal_later(made: Names) -> None:
    for name in ("chat.1", "chat.2"):
        made.join(name)
    await made.names.subscribe_missing()
    made.server.reload(DENY.format("rooms.1"))
    await asyncio.wait_for(made.ended.wait(), 30)
    assert made.told == ["chat.1"]
    assert made.table.get("chat.1") is None
    await made.names.drop_orphans()
    assert made.subjects() == ["rooms.2"]


async def test_a_refusal_of_what_serves_no_name_any_more_is_for_nobody(made: Names) -> None:
    """Before the name has another subscription, and after."""
    made.join("chat.1")
    for again in (False, True):
        await made.names.subscribe_missing()
        old = made.table["chat.1"].subscription
        assert old is not None
        made.table.detach_all()
        made.table.orphans.clear()  # the one that ends them comes too late
        if again:
            await made.names.subscribe_missing()
        old.end(GatewayError(FORBIDDEN, "no"))
        await asyncio.wait_for(made.ended.wait(), 30)
        made.ended.clear()
    assert made.told == []
    assert made.table["chat.1"].subscription is not None


async def test_a_session_that_fails_hurts_no_other(made: Names, caplog: pytest.LogCaptureFixture) -> None:
    def fail(error: GatewayError) -> None:
        raise ZeroDivisionError

    made.join("chat.1")
    made.table.add("chat.secret")
    made.table.enter("chat.secret", fail)
    made.join("chat.secret")
    made.join("chat.2")
    await made.names.subscribe_missing()
    assert made.told == ["chat.secret"]
    assert (made.table.missing(), made.subjects()) == ([], ["rooms.1", "rooms.2"])
    assert caplog.text.count("refuses 'chat.secret' failed") == 1


async def test_the_connection_is_lost(made: Names) -> None:
    for number in range(40):
        made.join(f"chat.{number}")
    made.server.stop()
    with pytest.raises(GatewayError) as caught:
        await made.names.subscribe_missing()
    assert caught.value.kind is NATS_UNAVAILABLE
    assert len(made.table.missing()) == 40
    assert made.told == []


async def test_a_loss_later_is_no_refusal(made: Names) -> None:
    made.join("chat.1")
    await made.names.subscribe_missing()
    made.server.stop()
    await asyncio.wait_for(made.ended.wait(), 30)
    assert made.table.get("chat.1") is not None
    assert len(made.table["chat.1"].sessions) == 1


async def test_names_come_and_go_meanwhile(made: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that go in a batch that is asked for, and in one that is not yet; one that comes back; one that is new."""
    refused = {name: made.join(name) for name in [f"chat.{number}" for number in range(40)]}
    subscribe = made.stack.broker.subscribe_all
    asked: list[list[str]] = []

    async def change(wanted: Sequence[tuple[str, Callable[[Publication], None]]]) -> list[NatsSubscription]:
        asked.append([subject for subject, _ in wanted])
        if len(asked) > 1:
            return await subscribe(wanted)
        for name in ("chat.0", "chat.1", "chat.38", "chat.39"):
            made.table.leave(name, refused[name], 1.0)
        made.table.drop_idle(1.0, 10)
        for name in ("chat.1", "chat.39", "chat.new"):
            made.join(name)
        return await subscribe(wanted)

    monkeypatch.setattr(made.stack.broker, "subscribe_all", change)
    await made.names.subscribe_missing()
    assert [len(subjects) for subjects in asked] == [30, 8], "what is gone already is not asked for"
    assert [name for name, _ in made.table.missing()] == ["chat.1", "chat.39", "chat.new"]
    await made.names.subscribe_missing()
    there = sorted(CHAT.subject_of(name) for name in made.table.names())
    assert len(there) == 39
    await nats_has(made.server, {"rooms.0": 0, "rooms.38": 0, **dict.fromkeys(there, 1)})
    assert sorted(made.subjects()) == there


async def test_idle_names_are_dropped_in_batches(made: Names) -> None:
    refused = {name: made.join(name) for name in [f"chat.{number}" for number in range(100)]}
    await made.names.subscribe_missing()
    for name in reversed(refused):
        made.table.leave(name, refused[name], 1.0)
    left: list[int] = []
    dropping = asyncio.ensure_future(made.names.drop_idle(1.0))
    while not dropping.done():
        left.append(len(made.table))
        await asyncio.sleep(0)
    assert left[:4] == [100, 70, 40, 10], "others have their turn in between"
    await eventually(lambda: not any(subject.startswith("rooms.") for subject in interest(made.server)), "none left")
    assert len(made.connection._client._direct) == 1


async def test_orphans_are_dropped_in_batches(made: Names) -> None:
    for number in range(100):
        made.join(f"chat.{number}")
    await made.names.subscribe_missing()
    made.table.detach_all()
    dropping = asyncio.ensure_future(made.names.drop_orphans())
    left: list[int] = []
    while not dropping.done():
        left.append(len(made.table.orphans))
        await asyncio.sleep(0)
    assert left[:4] == [100, 70, 40, 10]
    assert made.subjects() == []
    await made.names.subscribe_missing()
    assert len(made.subjects()) == 100
