"""The transport taken over from the library, on a real server, on the loop of tests and on the gateway's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from nats.errors import ProtocolError

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import eventually
from wsgw.broker import stream
from wsgw.broker.client import DirectClient
from wsgw.fanout.turn import Turn

from .conftest import FakeServer

Run = Callable[..., None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, nats: NatsServer) -> Run:
    """Runs a function with a client that is connected."""

    def run(test: Callable[[DirectClient], Awaitable[None]], url: str = nats.url) -> None:
        async def main() -> None:
            client = DirectClient(Turn(asyncio.get_running_loop().call_soon))
            await client.connect(url, allow_reconnect=False, error_cb=ignore, connect_timeout=5)
            try:
                await test(client)
            finally:
                await client.close()

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main())

    return run


async def ignore(error: Exception) -> None: ...


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


def test_the_server_goes(run: Run, start_server: Callable[..., NatsServer]) -> None:
    server = start_server()

    async def gone(client: DirectClient) -> None:
        client._on_close = lambda: told.append(str(client.last_error))
        await eventually(lambda: client._stream is not None, "the library has handed its connection over")
        server.stop()
        for _ in range(5):
            client.write(b"PING\r\n")
            await asyncio.sleep(0)
        await eventually(lambda: client.is_closed, "the client's end")
        client.hold()
        client.release()

    told: list[str] = []
    run(gone, server.url)
    assert told[0] not in ("", "None")  # the end of the stream, or that it was reset


@pytest.mark.parametrize("sent", [b"MSG 1\r\n", b"PONG\r\n" * 20])
async def test_what_no_server_sends(
    fake_server: Callable[[bytes], Awaitable[FakeServer]], monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(stream, "MAX_LINES", 10)
    server = await fake_server(b"INFO {}\r\n")
    client = DirectClient(Turn(asyncio.get_running_loop().call_soon))
    await client.connect(server.url, allow_reconnect=False, error_cb=ignore)
    server.writers[0].write(sent)
    await eventually(lambda: client.is_closed, "the client's end")
    assert isinstance(client.last_error, ProtocolError)
