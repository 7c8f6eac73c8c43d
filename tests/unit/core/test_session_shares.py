"""What one client may have of what all have together: names of patterns, requests that wait."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable

import pytest

from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.session import Client, principal
from helpers.stack import PLAIN
from helpers.waiting import arrived, eventually
from wsgw.bridges.pattern import PatternBridge
from wsgw.broker import broker
from wsgw.broker.puback import PublishResult
from wsgw.channels.channel import Use
from wsgw.config.limits import LimitsSettings
from wsgw.core.gateway import Gateway
from wsgw.core.receiving import MOST_LEFT_AT_ONCE
from wsgw.core.session import Session
from wsgw.core.subscription import SUBSCRIPTION_BYTES
from wsgw.errors import FORBIDDEN, OVERLOADED, SLOW_CONSUMER, TOO_MANY_SUBJECTS, GatewayError, Kind
from wsgw.shares import slices


@pytest.fixture(autouse=True)
def limits(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.edge, "limits", LimitsSettings(session_names=2, session_requests=2))


def opened(gateway: Gateway, name: str) -> Session:
    return gateway.open_session(principal(name), Client())


@pytest.fixture
def session(gateway: Gateway) -> Session:
    return opened(gateway, "ann")


async def test_names_of_patterns(gateway: Gateway, session: Session) -> None:
    for name in ("chat.1", "chat.2", "IN", "BOTH", "chat.1"):
        session.join(name)
    with pytest.raises(GatewayError, match="this client is subscribed to 2 names") as caught:
        session.join("chat.3")
    assert caught.value.kind is TOO_MANY_SUBJECTS
    assert list(session.names) == ["chat.1", "chat.2", "IN", "BOTH"]
    bridge = gateway.bridge_of(gateway.channels.find("chat.3", Use.SUBSCRIBE))
    assert isinstance(bridge, PatternBridge)
    assert bridge._interests.get("chat.3") is None
    opened(gateway, "bob").join("chat.3")
    session.unsubscribe("IN")
    with pytest.raises(GatewayError):
        session.join("chat.3")
    session.unsubscribe("chat.1")
    session.join("chat.3")
    assert list(session.names) == ["chat.2", "BOTH", "chat.3"]


async def test_a_name_that_nats_refuses_makes_room(gateway: Gateway, session: Session) -> None:
    for name in ("chat.1", "chat.2"):
        session.join(name)
    session._subscriptions["chat.1"](GatewayError(FORBIDDEN, "no"))
    session.join("chat.3")
    assert session.names == ("chat.2", "chat.3")


async def test_requests(gateway: Gateway, session: Session, nats: NatsServer) -> None:
    peer = await Peer.connect(nats.url)
    asked = await peer.listen("math.sum")
    waiting = [session.request("SUM", b"%d" % number) for number in range(2)]
    tasks = asyncio.all_tasks()
    with pytest.raises(GatewayError, match="2 requests of this client") as caught:
        session.request("SUM", b"2")
    assert caught.value.kind is OVERLOADED
    assert asyncio.all_tasks() == tasks
    assert value(gateway.metrics, "wsgw_publish_errors_total", channel="SUM", reason="overloaded") == 1
    other = opened(gateway, "bob").request("SUM", b"3")
    await arrived(asked, 3)
    assert sorted(asked) == [b"0", b"1", b"3"]
    await asyncio.gather(*waiting, other, return_exceptions=True)
    again = session.request("SUM", b"4")
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)
    for _ in range(2):
        session.request("SUM", b"5")
    session.end(1000)
    await peer.close()


async def test_an_end_takes_its_requests_with_it(session: Session) -> None:
    waiting = [session.request("SUM", b"x") for _ in range(2)]
    session.end(1000)
    await asyncio.gather(*waiting, return_exceptions=True)
    assert all(asking.cancelled() for asking in waiting)


def kind_of(result: PublishResult) -> Kind | None:
    return result.kind if isinstance(result, GatewayError) else None


async def test_who_cannot_be_held_is_refused_where_others_are_held(
    gateway: Gateway, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "MAX_IN_FLIGHT_BYTES", 100)
    alone = gateway.open_session(principal("bob"))
    told: list[tuple[str, Kind | None]] = []

    def publish(session: Session) -> None:
        name = "alone" if session is alone else "held"
        session.publish("OUT", (bytes(60),), lambda result: told.append((name, kind_of(result))))

    for each in (alone, alone, alone, session, session):
        publish(each)
    assert told == [("alone", OVERLOADED)]
    await gateway.broker.barrier()
    assert len(told) == 5


class TestMemory:
    """Names of patterns count, as long as they are kept."""

    NAMES = tuple(f"chat.{number}" for number in range(2 * MOST_LEFT_AT_ONCE))

    @pytest.fixture
    def limits(self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
        """As they are by default."""

    @staticmethod
    def subscribed(gateway: Gateway, names: Iterable[str]) -> tuple[Session, list[int]]:
        """With the codes of its end."""
        ended: list[int] = []

        def overflowed() -> None:
            ended.append(SLOW_CONSUMER.close_code)
            own.end(SLOW_CONSUMER.close_code)

        own = gateway.open_session(principal(), Client(), gateway.sender(PLAIN, overflowed))
        for name in names:
            own.join(name)
        own.open()
        own.listen()
        return own, ended

    async def test_of_a_session(self, gateway: Gateway) -> None:
        memory = gateway.edge.memory
        session, _ = self.subscribed(gateway, ["IN", "BOTH"])
        assert memory.used_bytes == 0
        sizes = []
        for name in ("chat.1", "chat.1", "chat." + "é" * 500):
            session.join(name)
            assert session.held_bytes() == memory.used_bytes
            sizes.append(memory.used_bytes)
        assert 300 > sizes[0] == sizes[1] > SUBSCRIPTION_BYTES
        assert sizes[2] > 2 * sizes[0] + 400
        session._subscriptions["chat.1"](GatewayError(FORBIDDEN, "no"))
        session.unsubscribe("chat.1")
        assert memory.used_bytes == session.held_bytes() == sizes[2] - sizes[0]
        session.end(1000)
        assert memory.used_bytes == session.held_bytes() == 0

    async def test_until_they_are_left(self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
        memory = gateway.edge.memory
        session, _ = self.subscribed(gateway, self.NAMES)
        held = memory.used_bytes
        assert session in memory._holders
        monkeypatch.setattr(slices, "monotonic", lambda: math.inf)
        session.end(1000)
        assert session not in memory._holders
        assert memory.used_bytes == held
        seen: set[int] = set()

        for _ in self.NAMES:
            seen.add(memory.used_bytes)
            await asyncio.sleep(0)  # a tick
        assert len(seen) > 10, "bit by bit"
        await eventually(lambda: memory.used_bytes == 0, "all are left")
        assert value(gateway.metrics, "wsgw_subjects", channel="chat.*") == 0
        session.end(1000)
        assert memory.used_bytes == 0

    async def test_who_has_most_is_ended_where_there_is_too_little(
        self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        memory = gateway.edge.memory
        few, kept = self.subscribed(gateway, self.NAMES[:10])
        many, ended = self.subscribed(gateway, self.NAMES)
        monkeypatch.setattr(memory, "limit_bytes", memory.used_bytes // 2)
        few.join("chat.x")
        await eventually(lambda: ended == [SLOW_CONSUMER.close_code], "the larger one is ended")
        assert memory.used_bytes == few.held_bytes() > 0, "at once"
        assert (many.names, kept, len(few.names)) == ((), [], 11)
