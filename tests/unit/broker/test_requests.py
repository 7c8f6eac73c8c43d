"""Requests of a connection to a real nats-server: replies, and all that comes instead of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from helpers.connection import Opened, subject
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import arrived, eventually
from wsgw.broker.connection import NatsConnection
from wsgw.broker.fences import Outcome
from wsgw.broker.requests import Requests
from wsgw.broker.subscription import NatsSubscription
from wsgw.errors import (
    FORBIDDEN,
    NATS_UNAVAILABLE,
    NO_RESPONDERS,
    OVERLOADED,
    TIMEOUT,
    UNCONFIRMED,
    GatewayError,
)
from wsgw.fanout.publication import Publication

pytestmark = pytest.mark.usefixtures("_bounded")


async def test_reply(connection: NatsConnection, peer: Peer) -> None:
    name = subject()
    await peer.answer(name, lambda payload: payload[::-1])
    assert (await connection.request(name, b"abc\xff", 5)).payload == b"\xffcba"
    subscriptions = len(list(connection._subscriptions))
    asked = [b"%d" % number for number in range(10, 110)]
    replies = await asyncio.gather(*[connection.request(name, payload, 5) for payload in asked])
    assert [reply.payload for reply in replies] == [payload[::-1] for payload in asked]
    assert {type(reply) for reply in replies} == {Publication}, "what has no headers pays for none"
    assert len(connection._requests) == 0
    assert len(list(connection._subscriptions)) == subscriptions, "all share one inbox"


async def test_a_reply_has_its_headers(connection: NatsConnection, peer: Peer) -> None:
    """Whatever they say: an error of the responder's is a reply here."""
    name = subject()
    await peer.answer_with(name, b"", {"Nats-Service-Error-Code": "503", "A": "b"})
    reply = await connection.request(name, b"", 5)
    assert reply.payload == b""
    assert dict(reply.headers) == {"Nats-Service-Error-Code": ("503",), "A": ("b",)}


async def test_no_responders(connection: NatsConnection) -> None:
    with pytest.raises(GatewayError) as caught:
        await connection.request(subject(), b"", 5)
    assert caught.value.kind is NO_RESPONDERS


async def test_timeout(connection: NatsConnection, peer: Peer) -> None:
    name = subject()
    await peer.listen(name)
    with pytest.raises(GatewayError, match=r"within 0\.05 s") as caught:
        await connection.request(name, b"", 0.05)
    assert caught.value.kind is TIMEOUT


async def test_forbidden_at_once(limited: NatsConnection) -> None:
    with pytest.raises(GatewayError, match=r"Denied\.x") as caught:
        await limited.request("Denied.x", b"", 60)
    assert caught.value.kind is FORBIDDEN


async def test_lost(start_server: Callable[..., NatsServer], open_connection: Opened) -> None:
    server = start_server()
    connection = await open_connection(server.url)
    listener = await Peer.connect(server.url)
    got = await listener.listen("q")
    asking = asyncio.ensure_future(connection.request("q", b"", 60))
    await arrived(got, 1)
    await listener.close()
    server.stop()
    with pytest.raises(GatewayError) as caught:
        await asking
    assert caught.value.kind in (UNCONFIRMED, NATS_UNAVAILABLE)


async def test_cancelled(connection: NatsConnection, peer: Peer) -> None:
    name = subject()
    got = await peer.listen(name)
    asking = asyncio.ensure_future(connection.request(name, b"", 60))
    await arrived(got, 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len(connection._requests) == 0


async def test_an_empty_reply_is_one(connection: NatsConnection, peer: Peer) -> None:
    name = subject()
    await peer.answer(name, lambda payload: b"")
    assert (await connection.request(name, b"abc", 5)).payload == b""


class Asked:
    """Requests without a connection: what was listened to, and where replies are wanted."""

    def __init__(self) -> None:
        self.inboxes: list[NatsSubscription] = []
        self.unlistened: list[NatsSubscription] = []
        self.replies_to: list[str] = []
        self.outcomes: list[Outcome] = []
        self.requests = Requests(self.inboxes.append, self.unlistened.append, self._send)

    def _send(self, subject: str, reply_to: str, block: bytes, payload: bytes, outcome: Outcome) -> None:
        self.replies_to.append(reply_to)
        self.outcomes.append(outcome)

    async def ask(self, count: int) -> list[asyncio.Future[Publication]]:
        asking: list[asyncio.Future[Publication]] = [
            asyncio.ensure_future(self.requests.ask("a", b"", 60)) for _ in range(count)
        ]
        await eventually(lambda: len(self.requests) == count, "all are asked")
        return asking

    def reply(self, number: int, payload: bytes) -> None:
        self.inboxes[-1].deliver(Publication(self.replies_to[number], payload, 0.0))


async def told(asking: list[asyncio.Future[Publication]]) -> list[str]:
    results = await asyncio.gather(*asking, return_exceptions=True)
    return [str(result.payload if isinstance(result, Publication) else result) for result in results]


async def test_replies_that_nobody_waits_for() -> None:
    asked = Asked()
    one, two = await asked.ask(2)
    asked.reply(0, b"1")
    asked.reply(0, b"again")
    two.cancel()
    asked.reply(1, b"too late")
    assert (await one).payload == b"1"
    with pytest.raises(asyncio.CancelledError):
        await two


async def test_only_a_refusal_of_the_request_is_its_end() -> None:
    """What else is told of a publish is told when the connection ends, or says nothing of this request."""
    asked = Asked()
    asking = await asked.ask(2)
    asked.outcomes[0](None)
    asked.outcomes[0](GatewayError(UNCONFIRMED, "in doubt"))
    asked.outcomes[1](GatewayError(FORBIDDEN, "no"))
    asked.reply(0, b"1")
    assert await told(asking) == ["b'1'", "no"]


async def test_the_end_of_the_connection_is_told_to_all_that_wait() -> None:
    asked = Asked()
    asking = await asked.ask(2)
    asked.requests.close(GatewayError(NATS_UNAVAILABLE, "gone"))
    assert await told(asking) == ["gone", "gone"]
    assert (len(asked.requests), len(asked.inboxes)) == (0, 1)


async def test_the_end_of_the_connection_while_the_inbox_is_refused() -> None:
    asked, faults = Asked(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    asking = await asked.ask(1)
    asked.inboxes[0].end(GatewayError(FORBIDDEN, "no"))  # which is heard of in the next tick
    asked.requests.close(GatewayError(NATS_UNAVAILABLE, "gone"))
    assert await told(asking) == ["gone"]
    assert faults == []


async def test_an_inbox_that_is_refused_is_asked_for_again() -> None:
    asked = Asked()
    asking = await asked.ask(2)
    asked.inboxes[0].end(GatewayError(FORBIDDEN, "Permissions Violation for Subscription to _INBOX.secret"))
    refused = "NATS does not permit the gateway to subscribe to its inbox (_INBOX.>)"
    assert await told(asking) == [refused, refused]
    asking = await asked.ask(1)
    assert len(asked.inboxes) == 2
    asked.inboxes[1].end(GatewayError(NATS_UNAVAILABLE, "gone"))
    assert await told(asking) == ["gone"]


async def test_an_inbox_that_nats_refuses_leaves_nothing(
    start_server: Callable[..., NatsServer], open_connection: Opened
) -> None:
    connection = await open_connection(start_server("max_subscriptions: 1\n").url)  # that of the fences
    for _ in range(3):
        with pytest.raises(GatewayError) as caught:
            await connection.request("q", b"", 20)
        assert caught.value.kind is OVERLOADED
    assert (list(connection._subscriptions), len(connection._client._direct)) == ([], 1)
