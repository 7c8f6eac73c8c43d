"""nats-py's client with the short cuts, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import pytest
from nats.errors import BadSubjectError, ConnectionClosedError

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import arrived, eventually
from wsgw.broker.client import DirectClient
from wsgw.fanout.turn import Turn

from .conftest import FakeServer


@pytest.fixture
async def client(nats: NatsServer) -> AsyncIterator[DirectClient]:
    made = DirectClient(Turn(asyncio.get_running_loop().call_soon))
    await made.connect(nats.url)
    yield made
    await made.close()


async def fence(client: DirectClient) -> None:
    """Returns when NATS has processed what was sent before; ``flush`` does not prove that."""
    returned: list[bytes] = []
    inbox = client.new_inbox()
    client.listen(inbox, lambda subject, payload, *rest: returned.append(payload))
    client.write(f"PUB {inbox} 0\r\n\r\n".encode())
    await arrived(returned, 1)


async def test_listen_and_write(client: DirectClient) -> None:
    name = uuid4().hex
    got: list[tuple[str, bytes]] = []
    client.listen(f"{name}.*", lambda subject, payload, *rest: got.append((subject.decode(), payload)))
    client.write(f"PUB {name}.1 2\r\nhi\r\nPUB {name}.2 0\r\n\r\n".encode())
    client.write(f"PUB {name}.é 1\r\n".encode() + b"\xff\r\n")
    await arrived(got, 3)
    assert got == [(f"{name}.1", b"hi"), (f"{name}.2", b""), (f"{name}.é", b"\xff")]


async def test_written_lines_keep_their_order_with_the_librarys(client: DirectClient) -> None:
    name = uuid4().hex
    got: list[bytes] = []
    client.listen(name, lambda subject, payload, *rest: got.append(payload))
    for number in range(200):
        if number % 2:
            await client.publish(name, b"%d" % number)
        else:
            payload = b"%d" % number
            client.write(b"PUB %b %d\r\n%b\r\n" % (name.encode(), len(payload), payload))
    await arrived(got, 200)
    assert got == [b"%d" % number for number in range(200)]


async def test_unlisten(client: DirectClient, peer: Peer) -> None:
    name = uuid4().hex
    first: list[bytes] = []
    second: list[bytes] = []
    ended = client.listen(name, lambda subject, payload, *rest: first.append(payload))
    client.listen(name, lambda subject, payload, *rest: second.append(payload))
    client.unlisten(ended)
    await fence(client)
    await peer.publish(name, b"x")
    await arrived(second, 1)
    assert first == []
    client.unlisten(ended)
    assert len(client._direct) == 2, "the second and the fence's"
    assert client._subs == {}, "the library keeps nothing"


async def test_many_at_once_have_numbers_of_their_own(client: DirectClient, peer: Peer) -> None:
    name = uuid4().hex
    got: list[str] = []

    def deliver(subject: bytes, *rest: object) -> None:
        got.append(subject.decode())

    numbers = client.listen_all([(f"{name}.{number}", deliver) for number in range(100)])
    library = await client.subscribe(f"{name}.library")
    numbers.append(client.listen(f"{name}.100", deliver))
    assert len({*numbers, library._id}) == 102
    for number in numbers[:50]:
        client.unlisten(number)
    await fence(client)
    for subject in [*range(101), "library"]:
        await peer.publish(f"{name}.{subject}", b"x")
    await arrived(got, 51)
    assert got == [f"{name}.{number}" for number in range(50, 101)]
    assert (await library.next_msg()).data == b"x"


async def test_who_writes_may_be_another(client: DirectClient, peer: Peer) -> None:
    name = uuid4().hex
    written: list[bytes] = []
    got: list[bytes] = []
    (number,) = client.listen_all([(name, lambda subject, payload, *rest: got.append(payload))], written.append)
    assert written == [b"SUB %b %d\r\n" % (name.encode(), number)]
    client.write(written[0])
    await fence(client)
    await peer.publish(name, b"x")
    await arrived(got, 1)
    client.unlisten(number, written.append)
    client.unlisten(number, written.append)
    assert written[1:] == [b"UNSUB %d\r\n" % number]


@pytest.mark.parametrize("bad", ["", "a b", "a\r\nPUB b 0"])
async def test_a_subject_is_no_protocol_line(client: DirectClient, bad: str) -> None:
    with pytest.raises(BadSubjectError):
        client.listen_all([("good", ignored), (bad, ignored)])
    assert client._direct == {}, "all or none"


async def test_closed(client: DirectClient) -> None:
    number = client.listen("a", ignored)
    await client.close()
    client.unlisten(number)
    with pytest.raises(ConnectionClosedError):
        client.listen("a", ignored)


async def test_headers_and_replies(client: DirectClient, peer: Peer) -> None:
    name = uuid4().hex
    got: list[object] = []
    client.listen(name, lambda *called_with: got.append(called_with[1:]))
    await fence(client)
    await peer.nats.publish(name, b"x", reply="some.where", headers={"A": "b"})
    await peer.nats.publish(name, b"y")
    await arrived(got, 2)
    assert got == [(b"x", b"some.where", b"NATS/1.0\r\nA: b\r\n\r\n"), (b"y",)]


async def test_the_librarys_own_subscriptions_go_on(client: DirectClient, peer: Peer) -> None:
    name = uuid4().hex
    await peer.answer(name, lambda payload: payload * 2)
    assert (await client.request(name, b"ab", timeout=5)).data == b"abab"


async def test_a_failing_callback_ends_nothing(
    client: DirectClient, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    name = uuid4().hex
    got: list[bytes] = []

    def deliver(subject: bytes, payload: bytes, *rest: object) -> None:
        got.append(payload)
        raise ZeroDivisionError

    client.listen(name, deliver)
    await fence(client)
    await peer.publish(name, b"1", b"2")
    await arrived(got, 2)
    await eventually(lambda: caplog.text.count("handling a message") == 2, "both failures in the log")


async def test_a_reset_with_publishes_pending_is_no_error(
    fake_server: Callable[[bytes], Awaitable[FakeServer]],
) -> None:
    server = await fake_server(b"INFO {}\r\n")
    closed: list[bool] = []
    client = DirectClient(Turn(asyncio.get_running_loop().call_soon), lambda: closed.append(True))
    await client.connect(server.url, allow_reconnect=False, error_cb=ignore)
    client.write(bytes(8 * 1024 * 1024))
    await eventually(lambda: not client._pending, "the first write, which no buffer holds")
    client.write(b"x")
    reading = client._reading_task
    assert reading is not None
    server.abort()
    await asyncio.wait([reading])
    assert closed
    assert reading.cancelled() or reading.exception() is None


async def ignore(error: Exception) -> None: ...


def ignored(subject: bytes, payload: bytes, reply: bytes | None = None, block: bytes = b"") -> None: ...
