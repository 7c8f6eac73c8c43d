"""The client of one server: on a real one, and on one that says anything."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from uuid import uuid4

import pytest
from nats.errors import BadSubjectError, ConnectionClosedError

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import arrived, eventually
from wsgw.broker import client as module
from wsgw.broker.client import DirectClient, Events
from wsgw.broker.info import ServerInfo
from wsgw.broker.subscription import Credentials
from wsgw.broker.violation import PermissionViolation
from wsgw.fanout.turn import Turn

from .conftest import FakeServer


@pytest.fixture
async def client(nats: NatsServer) -> AsyncIterator[DirectClient]:
    made = DirectClient(Turn(asyncio.get_running_loop().call_soon))
    await made.open(nats.url, Credentials(), "test", 5)
    yield made
    made.shut()


async def fence(client: DirectClient) -> None:
    """Returns when NATS has processed what was sent before; ``flush`` does not prove that."""
    returned: list[bytes] = []
    inbox = f"fence.{uuid4().hex}"
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


async def test_many_at_once_have_numbers_of_their_own(client: DirectClient, peer: Peer) -> None:
    name = uuid4().hex
    got: list[str] = []

    def deliver(subject: bytes, *rest: object) -> None:
        got.append(subject.decode())

    numbers = client.listen_all([(f"{name}.{number}", deliver) for number in range(100)])
    numbers.append(client.listen(f"{name}.100", deliver))
    assert len(set(numbers)) == 101
    for number in numbers[:50]:
        client.unlisten(number)
    await fence(client)
    for subject in range(101):
        await peer.publish(f"{name}.{subject}", b"x")
    await arrived(got, 51)
    assert got == [f"{name}.{number}" for number in range(50, 101)]


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
    client.shut()
    client.unlisten(number)
    client.write(b"PING\r\n")
    client.hold()
    client.release()
    assert client.silent_seconds() == 0.0
    client.shut()
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
    assert caplog.text.count("handling a message failed: ZeroDivisionError") == 1, "once a period"


async def test_a_reset_with_publishes_pending_is_no_error(
    fake_server: Callable[[bytes], Awaitable[FakeServer]],
) -> None:
    server = await fake_server(b"INFO {}\r\n")
    client, told = await opened(server)
    client.write(bytes(8 * 1024 * 1024))
    server.abort()
    await eventually(lambda: told.reasons, "the end")
    client.write(b"x")
    assert len(told.reasons) == 1
    client.shut()


class Told(Events):
    """Writes down what a client tells."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.errors: list[str] = []
        self.refusals: list[str] = []
        self.sizes: list[int] = []
        self.most_refusals = 10**9

    def ended(self, reason: str) -> None:
        self.reasons.append(reason)

    def refused(self, violation: PermissionViolation) -> bool:
        self.refusals.append(violation.subject)
        return len(self.refusals) <= self.most_refusals

    def error(self, said: str) -> None:
        self.errors.append(said)

    def informed(self, info: ServerInfo) -> None:
        self.sizes.append(info.max_payload_bytes)


async def opened(server: FakeServer) -> tuple[DirectClient, Told]:
    told = Told()
    client = DirectClient(Turn(asyncio.get_running_loop().call_soon), told)
    await client.open(server.url, Credentials(), "test", 5)
    return client, told


async def test_what_is_still_to_be_written_is_dropped_at_the_end(
    fake_server: Callable[[bytes], Awaitable[FakeServer]],
) -> None:
    """It has been told to be unconfirmed."""
    server = await fake_server(b"INFO {}\r\n")
    client, _ = await opened(server)
    client.write(bytes(64 * 1024 * 1024))
    client.shut()
    got = 0
    with suppress(ConnectionError):
        async with asyncio.timeout(20):
            while read := await server.readers[0].read(2**20):
                got += len(read)
    assert got < 64 * 1024 * 1024


async def test_pings_are_answered(fake_server: Callable[[bytes], Awaitable[FakeServer]]) -> None:
    server = await fake_server(b"INFO {}\r\n")
    client, _ = await opened(server)
    server.writers[0].write(b"PING\r\n" * 20)
    assert await server.readers[0].readexactly(6 * 20) == b"PONG\r\n" * 20
    client.shut()


async def test_lines(fake_server: Callable[[bytes], Awaitable[FakeServer]], caplog: pytest.LogCaptureFixture) -> None:
    server = await fake_server(b'INFO {"max_payload": 100}\r\n')
    client, told = await opened(server)
    server.writers[0].write(
        b"PONG\r\n+OK\r\n-ERR 'Slow\xff Consumer'\r\n-ERR\r\n"
        b"-ERR 'Permissions Violation for Publish to \"X\"'\r\n"
        b'INFO {"max_payload": "1"}\r\nINFO {"max_payload": -1}\r\nINFO {\r\nINFO {"max_payload": 50}\r\n'
    )
    await eventually(lambda: told.sizes[-1] == 50, "the last line")
    assert told.sizes == [100, 50]
    assert told.errors == ["Slow\ufffd Consumer", ""]
    assert told.refusals == ["X"]
    assert caplog.text.count("it is ignored") == 3
    assert client.info.max_payload_bytes == 50
    assert told.reasons == []
    client.shut()


@pytest.mark.parametrize("line", [b"PING\r\n", b"+OK\r\n", b"INFO {}\r\n", b"-ERR 'no'\r\n"])
async def test_too_many_lines(
    fake_server: Callable[[bytes], Awaitable[FakeServer]], monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    monkeypatch.setattr(module, "MAX_LINES_PER_SECOND", 10)
    server = await fake_server(b"INFO {}\r\n")
    client, told = await opened(server)
    server.writers[0].write(line * 22)
    await eventually(lambda: told.reasons, "the end")
    assert told.reasons == ["nats: too many protocol lines"]
    client.shut()


async def test_too_many_refusals(fake_server: Callable[[bytes], Awaitable[FakeServer]]) -> None:
    server = await fake_server(b"INFO {}\r\n")
    client, told = await opened(server)
    told.most_refusals = 10
    server.writers[0].write(b"-ERR 'Permissions Violation for Publish to \"X\"'\r\n" * 22)
    await eventually(lambda: told.reasons, "the end")
    assert told.reasons == ["nats: more refusals than there was to refuse"]
    assert len(told.refusals) == 11, "none of the others is looked at"
    client.shut()


async def test_slowly_as_many_as_it_likes(
    fake_server: Callable[[bytes], Awaitable[FakeServer]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor are refusals counted, as many as clients publish to what is not permitted."""
    monkeypatch.setattr(module, "MAX_LINES_PER_SECOND", 10)
    now = [0.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    server = await fake_server(b"INFO {}\r\n")
    client, told = await opened(server)
    for number in range(1, 10):
        now[0] += 1.0
        server.writers[0].write(b"-ERR 'no'\r\n" * 10)
        server.writers[0].write(b"-ERR 'Permissions Violation for Publish to \"X\"'\r\n" * 100)
        await arrived(told.refusals, 100 * number)
    assert len(told.errors) == 90
    assert told.reasons == []
    client.shut()


def ignored(subject: bytes, payload: bytes, reply: bytes | None = None, block: bytes = b"") -> None: ...


class TestWithoutAServer:
    @pytest.fixture
    def written(self) -> list[bytes]:
        return []

    @pytest.fixture
    async def client(self, written: list[bytes]) -> DirectClient:
        class Stream:
            def write(self, lines: bytes) -> None:
                written.append(lines)

            def close(self) -> None:
                """Nothing is open."""

        client = DirectClient(Turn(asyncio.get_running_loop().call_soon))
        client._stream = Stream()  # type: ignore[assignment]
        return client

    @pytest.mark.parametrize("count", [1, 3])
    async def test_each_ping_is_answered_once(self, client: DirectClient, written: list[bytes], count: int) -> None:
        for _ in range(2):
            for _ in range(count):
                client._line_received(b"PING\r\n")
            await asyncio.sleep(0)
            assert written == [b"PONG\r\n" * count]
            written.clear()

    async def test_shut_it_lets_go_of_whom_it_told(self, client: DirectClient) -> None:
        events = client._events = Events()

        def deliver(*_: object) -> None:
            """Hears nothing."""

        client.listen("a", deliver)
        gone = weakref.ref(events), weakref.ref(deliver)
        client.shut()
        del events, deliver
        assert [each() for each in gone] == [None, None]
