"""What NATS services say of clients: shared, kept, asked again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from helpers.brokers import Brokers, started
from helpers.deciding import Deciding
from helpers.nats_server import NatsServer
from helpers.session import principal
from helpers.waiting import arrived, eventually
from wsgw.access.identity import Identity
from wsgw.access.rights import NO_RIGHTS
from wsgw.channels.authorize import Authorize
from wsgw.channels.channel import Use
from wsgw.core import permits as module
from wsgw.core.permits import Permits
from wsgw.core.question import Asker, Decision, Denied, Question
from wsgw.errors import AUTH_UNAVAILABLE, DRAINING, FORBIDDEN, NATS_UNAVAILABLE, Kind
from wsgw.shares.slices import Slices


class Watching:
    def __init__(self) -> None:
        self.denials: list[tuple[str, Kind | None]] = []

    def denied(self, question: Question, decision: Decision) -> None:
        self.denials.append((question.name, decision.refusal))


@pytest.fixture
async def deciding(nats: NatsServer) -> AsyncIterator[Deciding]:
    made = Deciding()
    await made.start(nats.url)
    yield made
    await made.close()


@pytest.fixture
async def permits(nats: NatsServer) -> AsyncIterator[Permits]:
    broker, _ = await started(Brokers(), nats.url)
    made = Permits(broker, Slices(asyncio.get_running_loop()))
    yield made
    await made.close()
    await broker.stop(0.1)


def question(
    deciding: Deciding,
    name: str = "chat.1",
    use: Use = Use.SUBSCRIBE,
    identity: Identity | None = None,
    timeout: float = 5.0,
) -> Question:
    client = principal()
    client.identity = identity
    return Asker(client).question(Authorize(deciding.subject, timeout), use, name)


def identity(user: str, **claims: Any) -> Identity:
    return Identity(user, NO_RIGHTS, claims)


async def test_the_service_is_told_who_wants_what(deciding: Deciding, permits: Permits) -> None:
    decision = await permits.ask(question(deciding, identity=identity("alice", team="a")))
    assert decision.refusal is None
    await permits.ask(question(deciding, "orders", Use.PUBLISH))
    assert deciding.asked == [
        {"user": "alice", "claims": {"team": "a"}, "channel": "chat.1", "verb": "subscribe"},
        {"user": None, "claims": {}, "channel": "orders", "verb": "publish"},
    ]


async def test_an_answer_is_for_the_same_client_name_and_verb(deciding: Deciding, permits: Permits) -> None:
    alice = identity("alice", team="a", admin=False)
    first = question(deciding, identity=alice)
    waiting = [permits.ask(question(deciding, identity=alice)) for _ in range(1000)]
    waiting[0].cancel()
    assert {decision.refusal for decision in await asyncio.gather(*waiting[1:])} == {None}
    assert len(deciding.asked) == 1
    assert permits.known(question(deciding, identity=identity("alice", admin=False, team="a"))) is not None
    for other in (
        question(deciding, "chat.2", identity=alice),
        question(deciding, use=Use.PUBLISH, identity=alice),
        question(deciding, identity=identity("bob", team="a", admin=False)),
        question(deciding, identity=identity("alice", team="b", admin=False)),
        question(deciding),
        Question(("x", *first.key[1:]), *first[1:]),  # type: ignore[arg-type]
    ):
        assert permits.known(other) is None, other


async def test_a_client_that_proves_anew_who_it_is_is_another_one(deciding: Deciding, permits: Permits) -> None:
    client = principal()
    client.identity = identity("alice", admin=True)
    asker, authorize = Asker(client), Authorize(deciding.subject)
    await permits.ask(asker.question(authorize, Use.PUBLISH, "a"))
    client.identity = identity("alice", admin=False)
    assert permits.known(asker.question(authorize, Use.PUBLISH, "a")) is None


@pytest.mark.parametrize(
    ("ttl", "seconds"), [(None, 60), (0, 1), (0.1, 1), (30, 30), (30.5, 30.5), (3600, 3600), (1e9, 3600)]
)
async def test_an_answer_is_kept_as_long_as_it_says_within_bounds(
    deciding: Deciding, permits: Permits, ttl: float | None, seconds: float
) -> None:
    deciding.decide = lambda _: {"allow": True, "ttl": ttl}
    decision = await permits.ask(question(deciding))
    assert decision.until - asyncio.get_running_loop().time() == pytest.approx(seconds, abs=0.5)
    assert permits.known(question(deciding)) == decision


async def test_a_denial_says_why_and_is_kept_briefly(deciding: Deciding, permits: Permits) -> None:
    deciding.decide = lambda _: {"allow": False, "ttl": 3600, "info": "ask the owner\n" + 300 * "x"}
    asked = question(deciding)
    decision = await permits.ask(asked)
    error = decision.error(asked)
    assert isinstance(error, Denied)
    assert error.kind is FORBIDDEN
    assert error.message.startswith("this client may not subscribe to 'chat.1': ask the owner\\nxxx")
    assert len(error.message) < 320
    assert decision.until - asyncio.get_running_loop().time() <= module.DENIED_SECONDS
    deciding.decide = lambda _: {"allow": False, "info": {"no": "text"}}
    other = question(deciding, "chat.2")
    assert (await permits.ask(other)).error(other).message == "this client may not subscribe to 'chat.2'"


@pytest.mark.parametrize(
    "answer",
    [
        *(b"", b"yes", b"[]", b"{}", b'{"allow": "true"}', b'{"allow": 1}', b'{"allow": null}'),
        *(b'{"allow": true, "ttl": "5"}', b'{"allow": true, "ttl": true}', b'{"allow": true, "ttl": -1}'),
        *(b'{"allow": true, "x": "' + 65_536 * b"x" + b'"}', b'{"allow": true'),
    ],
)
async def test_garbage_denies_and_is_not_the_clients_fault(
    deciding: Deciding, permits: Permits, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    deciding.decide = lambda _: answer
    with caplog.at_level(logging.ERROR, "wsgw.access"):
        for name in ("a", "b"):
            decision = await permits.ask(question(deciding, name))
            assert decision.refusal is AUTH_UNAVAILABLE
    assert len(caplog.records) == 1
    assert f"authorize: {deciding.subject} answers what cannot be used" in caplog.text


async def test_a_services_error_denies_by_its_code(deciding: Deciding, permits: Permits) -> None:
    deciding.headers = {"Nats-Service-Error": "not yours", "Nats-Service-Error-Code": "403"}
    asked = question(deciding)
    assert (await permits.ask(asked)).error(asked).message == "this client may not subscribe to 'chat.1': not yours"
    deciding.headers = {"Nats-Service-Error": "db down", "Nats-Service-Error-Code": "500"}
    assert (await permits.ask(question(deciding, "a"))).refusal is AUTH_UNAVAILABLE


async def test_nobody_there_and_nobody_in_time_deny(deciding: Deciding, permits: Permits) -> None:
    deciding.decide = lambda _: None
    assert (await permits.ask(question(deciding, timeout=0.1))).refusal is AUTH_UNAVAILABLE
    deciding.subject = "auth.nobody"
    assert (await permits.ask(question(deciding))).refusal is AUTH_UNAVAILABLE


async def test_without_nats_nobody_is_blamed_and_nothing_is_kept(deciding: Deciding) -> None:
    broker, _ = Brokers()("nats://127.0.0.1:1")
    permits = Permits(broker, Slices(asyncio.get_running_loop()))
    asked = question(deciding)
    assert (await permits.ask(asked)).refusal is NATS_UNAVAILABLE
    assert permits.known(asked) is None
    await permits.close()


async def test_a_flood_of_names_is_bounded(
    deciding: Deciding, permits: Permits, monkeypatch: pytest.MonkeyPatch
) -> None:
    deciding.may_answer.clear()
    waiting = [permits.ask(question(deciding, f"chat.{i}")) for i in range(module.MOST_AT_ONCE + module.MOST_WAITING)]
    beyond = permits.ask(question(deciding, "chat.more"))
    assert beyond.result().refusal is AUTH_UNAVAILABLE
    for answer in waiting[module.MOST_AT_ONCE + 100 :]:
        answer.cancel()
    deciding.may_answer.set()
    await asyncio.gather(*waiting[: module.MOST_AT_ONCE + 100])
    assert len(deciding.asked) == module.MOST_AT_ONCE + 100
    assert deciding.most <= module.MOST_AT_ONCE


# -- again


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_SECONDS", 0.1)
    monkeypatch.setattr(module, "FAILED_SECONDS", 0.1)
    monkeypatch.setattr(module, "AWAY_SECONDS", 0.1)


@pytest.mark.usefixtures("_hasty")
async def test_who_is_subscribed_is_asked_about_again_once_for_all_and_told_of_a_denial(
    deciding: Deciding, permits: Permits
) -> None:
    deciding.decide = lambda _: {"allow": True, "ttl": 0.1}
    asked = question(deciding)
    decision = await permits.ask(asked)
    watchers = [Watching() for _ in range(100)]
    for watcher in watchers:
        permits.watch(asked, decision, watcher)
    gone = watchers.pop()
    permits.unwatch(asked, gone)
    await arrived(deciding.asked, 3)
    assert deciding.most == 1
    assert not any(watcher.denials for watcher in watchers)
    deciding.deny()
    await eventually(lambda: all(watcher.denials for watcher in watchers), "all are told")
    assert all(watcher.denials == [("chat.1", FORBIDDEN)] for watcher in watchers)
    assert not gone.denials
    count = len(deciding.asked)
    permits.unwatch(asked, watchers[0])  # harmless
    await asyncio.sleep(0.3)
    assert len(deciding.asked) == count


@pytest.mark.usefixtures("_hasty")
async def test_who_is_subscribed_is_not_denied_for_want_of_room(
    nats: NatsServer, deciding: Deciding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when all are due at once, behind an outage; nor do others' questions take the room."""
    monkeypatch.setattr(module, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    broker, _ = await started(Brokers(), nats.url)
    permits = Permits(broker, Slices(asyncio.get_running_loop()))
    deciding.decide = lambda _: {"allow": True, "ttl": 0.1}
    watching: list[Watching] = []
    for number in range(20):
        asked = question(deciding, f"chat.{number}")
        watching.append(Watching())
        permits.watch(asked, await permits.ask(asked), watching[-1])
    await arrived(deciding.asked, 100)
    deciding.may_answer.clear()
    flood = [permits.ask(question(deciding, f"flood.{number}")) for number in range(5)]
    await eventually(lambda: len(permits._renewing) == 20, "all are due")
    assert not any(watcher.denials for watcher in watching)
    deciding.may_answer.set()
    await asyncio.gather(*flood)
    await arrived(deciding.asked, len(deciding.asked) + 40)
    assert not any(watcher.denials for watcher in watching)
    deciding.deny()
    for watcher in watching:
        await arrived(watcher.denials, 1)
    await permits.close()
    await broker.stop(0.1)


@pytest.mark.usefixtures("_hasty")
async def test_when_nobody_is_subscribed_any_more_nobody_is_asked(deciding: Deciding, permits: Permits) -> None:
    deciding.decide = lambda _: {"allow": True, "ttl": 0.1}
    asked = question(deciding)
    watcher = Watching()
    permits.watch(asked, await permits.ask(asked), watcher)
    permits.unwatch(asked, watcher)
    await asyncio.sleep(0.3)
    assert len(deciding.asked) == 1


@pytest.mark.usefixtures("_hasty")
async def test_one_failure_is_forgiven_who_is_subscribed_and_two_are_not(deciding: Deciding, permits: Permits) -> None:
    replies: list[Any] = [{"allow": True, "ttl": 0.1}, b"garbage", {"allow": True, "ttl": 0.1}, b"garbage", b"garbage"]
    deciding.decide = lambda _: replies[min(len(deciding.asked), len(replies)) - 1]
    asked = question(deciding)
    watcher = Watching()
    permits.watch(asked, await permits.ask(asked), watcher)
    await arrived(deciding.asked, 4)
    assert not watcher.denials
    await eventually(lambda: watcher.denials, "it is told")
    assert watcher.denials == [("chat.1", AUTH_UNAVAILABLE)]
    assert len(deciding.asked) == 5


@pytest.mark.usefixtures("_hasty")
async def test_while_nats_is_away_nobody_loses_what_it_has(start_server: Any) -> None:
    server: NatsServer = start_server("")
    deciding = Deciding()
    await deciding.start(server.url)
    deciding.decide = lambda _: {"allow": True, "ttl": 0.1}
    broker, _ = await started(Brokers(), server.url)
    permits = Permits(broker, Slices(asyncio.get_running_loop()))
    asked = question(deciding)
    watcher = Watching()
    permits.watch(asked, await permits.ask(asked), watcher)
    await deciding.close()
    server.stop()
    await eventually(lambda: not broker.connected, "NATS is away")
    await asyncio.sleep(0.5)
    assert not watcher.denials
    server.start()
    deciding = Deciding()
    deciding.subject = asked.authorize.subject
    deciding.deny()
    await deciding.start(server.url)
    await eventually(lambda: watcher.denials, "it is asked about when NATS is back")
    await permits.close()
    await broker.stop(0.1)
    await deciding.close()


async def test_at_the_end_who_waits_is_told_so(deciding: Deciding, permits: Permits) -> None:
    deciding.may_answer.clear()
    waiting = permits.ask(question(deciding))
    await arrived(deciding.asked, 1)
    await permits.close()
    assert waiting.result().refusal is DRAINING
    assert permits.ask(question(deciding)).result().refusal is DRAINING
