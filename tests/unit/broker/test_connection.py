"""One connection to a real nats-server: what it proves, what it refuses, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import uuid4

import pytest

from helpers.connection import Opened, kind, note, publish, subject, subscribe
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import DEADLINE_SECONDS, arrived, eventually
from wsgw.broker.client import LARGE_BYTES
from wsgw.broker.connection import NatsConnection
from wsgw.broker.subscription import Credentials, NatsSubscription
from wsgw.errors import (
    FORBIDDEN,
    NATS_UNAVAILABLE,
    TOO_LARGE,
    GatewayError,
    Kind,
)
from wsgw.fanout.publication import Publication
from wsgw.fanout.turn import Turn

from .conftest import FakeServer

pytestmark = pytest.mark.usefixtures("_bounded")


class TestOpen:
    async def test_nobody_is_there(self, start_server: Callable[..., NatsServer], open_connection: Opened) -> None:
        server = start_server()
        server.stop()
        with pytest.raises(OSError, match=r"(?i)refused|connect call failed|no servers"):
            await open_connection(server.url)

    async def test_wrong_password(self, users: NatsServer, open_connection: Opened) -> None:
        with pytest.raises(OSError, match=r"(?i)authorization violation|refused the credentials"):
            await open_connection(users.url, Credentials("all", "wrong"))

    async def test_credentials_of_the_url_come_first(self, users: NatsServer, open_connection: Opened) -> None:
        connection = await open_connection(
            users.url.replace("//", "//all:secret@"), Credentials("limited", "wrong", "token")
        )
        assert await publish(connection, "anywhere") is None

    async def test_credentials_of_the_url_are_percent_encoded(
        self, start_server: Callable[..., NatsServer], open_connection: Opened
    ) -> None:
        server = start_server('authorization {user: "u@x", password: "p@ss:w/%"}')
        connection = await open_connection(server.url.replace("//", "//u%40x:p%40ss%3Aw%2F%25@"))
        assert await publish(connection, "a") is None
        token = start_server('authorization {token: "t:k"}')
        await open_connection(token.url.replace("//", "//t%3Ak@"))

    async def test_tls_is_not_given_up(
        self, fake_server: Callable[[bytes], Awaitable[FakeServer]], open_connection: Opened
    ) -> None:
        """And the credentials are not sent first."""
        server = await fake_server(b'INFO {"auth_required": true}\r\n')
        with pytest.raises(OSError, match="TLS"):
            await open_connection(server.url.replace("nats://", "tls://"), Credentials("alice", "secret"))
        await eventually(lambda: server.left, "the end of the connection")
        assert server.got == b""

    @pytest.mark.parametrize(
        "says",
        [b"INFO []\r\n", b"INFO null\r\n", b"INFO\r\n", b"HTTP/1.1 400\r\n"],
    )
    async def test_something_else_is_there(
        self, fake_server: Callable[[bytes], Awaitable[FakeServer]], open_connection: Opened, says: bytes
    ) -> None:
        server = await fake_server(says)
        with pytest.raises(OSError, match=r"\w"):
            await open_connection(server.url)

    async def test_a_server_that_goes_before_the_proof(
        self, fake_server: Callable[[bytes], Awaitable[FakeServer]], open_connection: Opened
    ) -> None:
        server = await fake_server(b"INFO {}\r\n")
        opening = asyncio.ensure_future(open_connection(server.url))
        await eventually(lambda: server.got, "the handshake")
        server.writers[0].write_eof()
        with pytest.raises(OSError, match=r"^nats: unexpected EOF$"):
            await opening

    @pytest.mark.parametrize(
        ("rule", "verb"),
        [('subscribe: ["a"], publish: [">"]', "subscribe"), ('subscribe: [">"], publish: ["a"]', "publish")],
    )
    async def test_an_inbox_that_is_not_permitted(
        self, start_server: Callable[..., NatsServer], open_connection: Opened, rule: str, verb: str
    ) -> None:
        server = start_server(f"authorization {{users = [{{user: u, password: p, permissions: {{{rule}}}}}]}}")
        with pytest.raises(OSError, match=rf"^NATS does not permit the gateway to {verb} to its inbox \(_INBOX"):
            await open_connection(server.url, Credentials("u", "p"))

    async def test_a_server_that_says_nothing(self, start_server: Callable[..., NatsServer]) -> None:
        server = start_server()
        server.freeze()
        connection = NatsConnection(lambda: None, Turn(asyncio.get_running_loop().call_soon))
        with pytest.raises(OSError, match=r"\w"):
            await connection.open(server.url, Credentials(), "test", 0.2)

    async def test_cancelled(self, start_server: Callable[..., NatsServer]) -> None:
        server = start_server()
        server.freeze()
        connection = NatsConnection(lambda: None, Turn(asyncio.get_running_loop().call_soon))
        opening = asyncio.ensure_future(connection.open(server.url, Credentials(), "test", 30))
        await asyncio.sleep(0.05)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    async def test_cancelled_as_the_proof_comes(self, nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """That is when asyncio.wait_for (3.11) swallows it."""
        proof: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asked = asyncio.Event()

        def barrier(connection: NatsConnection) -> asyncio.Future[None]:
            asked.set()
            return proof

        monkeypatch.setattr(NatsConnection, "barrier", barrier)
        connection = NatsConnection(lambda: None, Turn(asyncio.get_running_loop().call_soon))
        opening = asyncio.ensure_future(connection.open(nats.url, Credentials(), "test", 30))
        await asyncio.wait_for(asked.wait(), DEADLINE_SECONDS)
        await asyncio.sleep(0.01)  # it waits for the proof
        proof.set_result(None)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert connection.lost.done()

    async def test_limits(self, nats: NatsServer, limited: NatsConnection, connection: NatsConnection) -> None:
        assert limited.max_payload_bytes == 2048
        assert connection.max_payload_bytes == 1024 * 1024
        assert connection.discovered() == []


class TestPublish:
    async def test_in_order_and_confirmed(
        self, connection: NatsConnection, peer: Peer, open_connection: Opened
    ) -> None:
        name = subject()
        got = await peer.listen(name)
        told: list[int] = []
        for number in range(1000):
            connection.publish(name, [b"%d" % number], partial(note, told, number))
        assert connection.in_flight == (1000, sum(len(b"%d" % number) for number in range(1000)))
        await connection.barrier()
        assert told == list(range(1000))
        assert connection.in_flight == (0, 0)
        assert open_connection.settled > 0
        await arrived(got, 1000)
        assert got == [b"%d" % number for number in range(1000)]

    async def test_large_ones_among_small_ones(self, connection: NatsConnection, peer: Peer) -> None:
        """In the order in which they were published; what is large is not copied."""
        name = subject()
        got = await peer.listen(name)
        sizes = [1, LARGE_BYTES, 0, LARGE_BYTES - 1, 1_000_000, LARGE_BYTES, 2]
        payloads = [bytes([size % 251]) * size for size in sizes]
        written: list[bytes] = []
        stream = connection._client._stream
        assert stream is not None
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(stream, "write_all", written.extend)
            connection.publish(name, payloads, lambda error: None)
            await asyncio.sleep(0)
        for payload in payloads:
            assert any(piece is payload for piece in written) == (len(payload) >= LARGE_BYTES)
        stream.write_all(written)
        await connection.barrier()
        await arrived(got, len(sizes))
        assert got == payloads

    async def test_a_large_request(self, connection: NatsConnection, peer: Peer) -> None:
        name = subject()
        await peer.answer(name, lambda payload: payload[::-1])
        asked = b"x" + bytes(LARGE_BYTES)
        assert (await connection.request(name, asked, 10)).payload == asked[::-1]

    async def test_an_outcome_means_that_nats_has_it(self, connection: NatsConnection, peer: Peer) -> None:
        name = subject()
        got = await peer.listen(name)
        for number in range(50):
            assert await publish(connection, name, b"%d" % number) is None
            await peer.fence()
            assert len(got) == number + 1

    async def test_sizes(self, limited: NatsConnection) -> None:
        assert await publish(limited, "ok.x", b"") is None
        assert await publish(limited, "ok.x", b"x" * 2048) is None
        assert kind(await publish(limited, "ok.x", b"x" * 2049)) is TOO_LARGE
        assert limited.in_flight == (0, 0)

    async def test_one_of_many_is_too_large(self, limited: NatsConnection) -> None:
        """NATS would close the connection: none of them is sent."""
        told: list[GatewayError | None] = []
        limited.publish("ok.x", [b"x", b"x" * 3000, b"x"], told.append)
        (error,) = told
        assert kind(error) is TOO_LARGE
        assert error is not None
        assert "3000" in error.message
        assert limited.in_flight == (0, 0)
        assert await publish(limited, "ok.x", b"x") is None

    async def test_refused_ones_are_told_apart(self, limited: NatsConnection) -> None:
        told: list[Kind | None] = []
        names = ["ok.1", "Denied.x", "ok.2", "denied.Y", "ok.3"]
        for name in names:
            limited.publish(name, [b""], lambda error: told.append(kind(error)))
        await limited.barrier()
        assert told == [None, FORBIDDEN, None, FORBIDDEN, None]
        assert await publish(limited, "ok.1") is None

    @pytest.mark.parametrize("name", ['cmd.a"b', "cmd.a\\b", "cmd.\u00ad", "Cmd.é'"])
    async def test_refused_ones_are_recognized(
        self, start_server: Callable[..., NatsServer], open_connection: Opened, name: str
    ) -> None:
        rule = 'authorization {users = [{user: u, password: p, permissions: {publish: {deny: ["cmd.>", "Cmd.>"]}}}]}'
        connection = await open_connection(start_server(rule).url, Credentials("u", "p"))
        other: list[Kind | None] = []
        connection.publish("ok", [b""], lambda error: other.append(kind(error)))
        assert kind(await publish(connection, name)) is FORBIDDEN
        assert other == [None]

    async def test_a_barrier_covers_what_was_published_before_it(self, connection: NatsConnection) -> None:
        """Also while NATS has not taken the ones of the tick before."""
        told: list[int] = []
        for _ in range(20):
            connection.publish(subject(), [bytes(1024 * 1024)], partial(note, told, 0))
        await asyncio.sleep(0)
        for _ in range(20):
            connection.publish(subject(), [bytes(1024 * 1024)], partial(note, told, 1))
        await connection.barrier()
        assert told == [0] * 20 + [1] * 20


class TestSubscribe:
    async def test_delivers(self, connection: NatsConnection, peer: Peer) -> None:
        name = subject()
        before = asyncio.get_running_loop().time()
        got: list[Publication] = []
        await connection.subscribe(NatsSubscription(name, got.append))
        await peer.publish(name, b"", b"\xff", "é")
        await arrived(got, 3)
        assert [publication.payload for publication in got] == [b"", b"\xff", "é".encode()]
        assert {publication.subject for publication in got} == {name}
        assert before <= got[0].received_at <= asyncio.get_running_loop().time()

    async def test_reply_and_headers(self, connection: NatsConnection, peer: Peer) -> None:
        name = subject()
        got: list[Publication] = []
        await connection.subscribe(NatsSubscription(name, got.append))
        await peer.nats.publish(name, b"x", reply="an.swer", headers={"Trace-Id": "é 1", "b": ""})
        await peer.nats.publish(name, b"y", reply="an.swer")
        await peer.nats.publish(name, b"z", headers={"A": "1"})
        await peer.publish(name, b"")
        await arrived(got, 4)
        assert [publication.reply for publication in got] == ["an.swer", "an.swer", None, None]
        assert [dict(publication.headers) for publication in got] == [
            {"Trace-Id": ("é 1",), "b": ("",)},
            {},
            {"A": ("1",)},
            {},
        ]
        assert [publication.payload for publication in got] == [b"x", b"y", b"z", b""]

    async def test_in_effect_on_return(self, connection: NatsConnection, peer: Peer) -> None:
        for _ in range(50):
            name = subject()
            _, got = await subscribe(connection, name)
            await peer.publish(name, b"x")
            await arrived(got, 1)

    async def test_refused(self, limited: NatsConnection) -> None:
        with pytest.raises(GatewayError, match=r"Secret\.x") as caught:
            await subscribe(limited, "Secret.x")
        assert caught.value.kind is FORBIDDEN
        _, got = await subscribe(limited, "ok.a")
        assert await publish(limited, "ok.a") is None
        await arrived(got, 1)

    async def test_refusing_one_ends_no_other(
        self, start_server: Callable[..., NatsServer], open_connection: Opened
    ) -> None:
        rule = 'authorization {users = [{user: u, password: p, permissions: {subscribe: ["chat.a", "_INBOX.>"]}}]}'
        connection = await open_connection(start_server(rule).url, Credentials("u", "p"))
        healthy, got = await subscribe(connection, "chat.a")
        with pytest.raises(GatewayError, match=r"chat\.A"):
            await subscribe(connection, "chat.A")
        assert await publish(connection, "chat.a") is None
        await arrived(got, 1)
        assert not healthy.ended.done()

    async def test_unsubscribed(self, connection: NatsConnection, peer: Peer) -> None:
        name = subject()
        subscription, got = await subscribe(connection, name)
        connection.unsubscribe(subscription)
        connection.unsubscribe(subscription)
        await connection.barrier()
        await peer.publish(name, b"x")
        await peer.fence()
        await connection.barrier()
        assert got == []
        assert not subscription.ended.done()

    @pytest.mark.parametrize("everything", [">", "*.*.*"])
    async def test_own_fences_are_not_publications(
        self, connection: NatsConnection, peer: Peer, everything: str
    ) -> None:
        marker = uuid4().hex.encode()
        names: list[str] = []
        await connection.subscribe(NatsSubscription(everything, lambda p: names.append(p.subject)))
        for _ in range(5):
            await publish(connection, "a.b.c", marker)
        await arrived(names, 5)
        assert not [name for name in names if name.startswith(connection._inbox)]

    async def test_a_burst_is_not_dropped(self, connection: NatsConnection, peer: Peer) -> None:
        name = subject()
        _, got = await subscribe(connection, name)
        payloads = [b"%d" % number + bytes(1000) for number in range(20_000)]
        await peer.publish(name, *payloads)
        await arrived(got, 20_000)
        assert got == payloads

    async def test_the_order_across_subscriptions_is_that_of_nats(self, connection: NatsConnection, peer: Peer) -> None:
        name = subject()
        got: list[str] = []
        for pattern in (f"{name}.*", f"{name}.b", f"{name}.a"):
            await connection.subscribe(NatsSubscription(pattern, lambda publication: got.append(publication.subject)))
        sent = [f"{name}.{'ab'[number % 2]}" for number in range(500)]
        for one in sent:
            await peer.publish(one, b"")
        await arrived(got, 1000)
        assert got == [one for one in sent for _ in range(2)]

    async def test_a_failing_callback_ends_nothing(
        self, connection: NatsConnection, peer: Peer, caplog: pytest.LogCaptureFixture
    ) -> None:
        name = subject()

        def fail(publication: Publication) -> None:
            raise ZeroDivisionError

        await connection.subscribe(NatsSubscription(name, fail))
        await peer.publish(name, b"x")
        await eventually(lambda: "ZeroDivisionError" in caplog.text, "the failure in the log")
        assert await publish(connection, name) is None

    async def test_a_permission_taken_back(
        self, start_server: Callable[..., NatsServer], open_connection: Opened
    ) -> None:
        rule = "authorization {{users = [{{user: u, password: p, permissions: {{subscribe: {{allow: [{}]}}}}}}]}}"
        server = start_server(rule.format('"a", "b", "_INBOX.>"'))
        connection = await open_connection(server.url, Credentials("u", "p"))
        subscription, _ = await subscribe(connection, "a")
        await subscribe(connection, "b")
        server.reload(rule.format('"b", "_INBOX.>"'))
        error = await asyncio.wait_for(asyncio.shield(subscription.ended), DEADLINE_SECONDS)
        assert error.kind in (FORBIDDEN, NATS_UNAVAILABLE)  # the server may as well end the connection
