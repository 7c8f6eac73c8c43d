"""The transport taken over from the library, on a real server, on the loop of tests and on the gateway's."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable

import pytest
from nats.errors import UnexpectedEOF

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.taken import Taken
from helpers.waiting import eventually
from wsgw.broker import client as module
from wsgw.broker import stream
from wsgw.broker.client import DirectClient, Events
from wsgw.broker.subscription import Credentials
from wsgw.fanout.turn import Turn

from .conftest import FakeServer, Run


def test_a_burst_beyond_all_buffers(run: Run) -> None:
    async def burst(client: DirectClient) -> None:
        got: list[bytes] = []
        client.listen("stream.burst", lambda subject, payload, *rest: got.append(payload))
        payloads = [b"%d" % number * (1 + number % 3000) for number in range(3000)]
        client.write(b"".join(b"PUB stream.burst %d\r\n%b\r\n" % (len(payload), payload) for payload in payloads))
        await eventually(lambda: len(got) == len(payloads), "all messages")
        assert got == payloads

    run(burst)


def test_messages_are_handed_on_when_the_read_is_over(run: Run) -> None:
    async def turns(client: DirectClient) -> None:
        told: list[bytes] = []

        def receive(subject: bytes, payload: bytes, *rest: object) -> None:
            told.append(payload)
            client._turn.call_soon(lambda: told.append(b"end"))

        client.listen("stream.turn", receive)
        client.write(b"PUB stream.turn 1\r\na\r\nPUB stream.turn 1\r\nb\r\n")
        await eventually(lambda: len(told) == 4, "both, and their ends")
        assert told in ([b"a", b"b", b"end", b"end"], [b"a", b"end", b"b", b"end"])  # in one read, or in two

    run(turns)


def test_held(run: Run, nats: NatsServer) -> None:
    async def held(client: DirectClient) -> None:
        got: list[bytes] = []
        client.listen("stream.held", lambda subject, payload, *rest: got.append(payload))
        peer = await Peer.connect(nats.url)
        heard = await peer.listen("stream.held")
        client.hold()
        client.hold()
        client.write(b"PUB stream.held 1\r\nx\r\n")
        await eventually(lambda: heard == [b"x"], "NATS has sent it")
        await peer.fence()
        assert got == []
        client.release()
        await eventually(lambda: got == [b"x"], "the message")
        client.release()
        await peer.close()

    run(held)


class Told(Events):
    """Writes down how it ended."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def ended(self, reason: str) -> None:
        self.reasons.append(reason)


def test_the_server_goes(run: Run, start_server: Callable[..., NatsServer]) -> None:
    server, told = start_server(), Told()

    async def gone(client: DirectClient) -> None:
        client._events = told
        server.stop()
        for _ in range(5):
            client.write(b"PING\r\n")
            await asyncio.sleep(0)
        await eventually(lambda: told.reasons, "the client's end")
        client.write(b"PING\r\n")
        client.hold()
        client.release()

    run(gone, server.url)
    assert len(told.reasons) == 1
    assert told.reasons[0] not in ("", "None")  # the end of the stream, or that it was reset


def test_silence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is held it is none, and it begins anew after that."""
    now = [100.0]
    monkeypatch.setattr(stream, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "monotonic", lambda: now[0])

    async def silent(client: DirectClient) -> None:
        now[0] += 10.0
        assert client.silent_seconds() >= 10.0
        client.hold()
        now[0] += 10.0
        assert client.silent_seconds() == 0.0
        client.release()
        assert client.silent_seconds() == 0.0
        now[0] += 1.0
        client.release()
        assert client.silent_seconds() == 1.0
        client.write(b"PING\r\n")
        await eventually(lambda: client.silent_seconds() == 0.0, "the answer")

    run(silent)


@pytest.mark.parametrize("sent", [b"MSG 1\r\n", b"HELLO\r\n", b"MSG a 1 %d\r\n" % 10**15])
async def test_what_no_server_sends(fake_server: Callable[[bytes], Awaitable[FakeServer]], sent: bytes) -> None:
    server, told = await fake_server(b"INFO {}\r\n"), Told()
    client = DirectClient(Turn(asyncio.get_running_loop().call_soon), told)
    await client.open(server.url, Credentials(), "test", 5)
    server.writers[0].write(sent)
    await eventually(lambda: told.reasons, "the client's end")
    assert told.reasons[0].startswith("nats: ")
    client.shut()


def test_nothing_is_told_of_what_we_close(run: Run) -> None:
    told = Told()

    async def closed(client: DirectClient) -> None:
        client._events = told
        client.shut()
        await asyncio.sleep(0.05)  # the transport tells its end some ticks later

    run(closed)
    assert told.reasons == []


class TestWithoutAServer:
    async def test_what_the_library_has_read_comes_first(self) -> None:
        taken = Taken(b"PONG\r\nPI", b"NG\r\n")
        taken.stream.start()
        assert taken.socket.protocol is taken.stream
        taken.stream.data_received(b"+OK\r\n")
        assert b"".join(taken.fed) == b"PONG\r\nPING\r\n+OK\r\n"
        assert taken.ends == []

    async def test_an_end_that_the_library_has_read(self) -> None:
        taken = Taken(b"-ERR 'x'\r\n", b"")
        taken.stream.start()
        assert taken.fed == [b"-ERR 'x'\r\n"]
        assert [type(end) for end in taken.ends] == [UnexpectedEOF]
        taken.stream.connection_lost(None)
        assert len(taken.ends) == 1, "told once"

    @pytest.mark.parametrize("error", [None, ConnectionResetError()])
    async def test_a_loss(self, error: ConnectionResetError | None) -> None:
        taken = Taken()
        taken.stream.start()
        taken.stream.connection_lost(error)
        assert [type(end) for end in taken.ends] == [UnexpectedEOF if error is None else ConnectionResetError]
        taken.stream.data_received(b"PING\r\n")
        taken.stream.write(b"PONG\r\n")
        assert (taken.fed, taken.socket.told) == ([], [])

    async def test_a_hold_and_its_end(self) -> None:
        taken = Taken()
        for _ in range(2):
            taken.stream.hold()
        assert taken.stream.held
        for _ in range(2):
            taken.stream.release()
        assert not taken.stream.held
        assert (taken.socket.told[0], taken.socket.told[-1]) == ("pause", "resume")

    async def test_closed_it_says_and_does_nothing_more(self) -> None:
        taken = Taken()
        taken.stream.start()
        taken.stream.close()
        taken.stream.data_received(b"PING\r\n")
        taken.stream.write(b"PONG\r\n")
        taken.stream.hold()
        taken.stream.release()
        taken.stream.connection_lost(None)
        assert (taken.fed, taken.ends, taken.socket.told) == ([], [], ["abort"])

    async def test_closed_it_lets_go_of_its_owner(self) -> None:
        stream = Taken().stream
        assert stream._on_end is not None
        gone = weakref.ref(stream._tcp), weakref.ref(stream._feed), weakref.ref(stream._on_end)
        stream.close()
        assert [each() for each in gone] == [None, None, None]
