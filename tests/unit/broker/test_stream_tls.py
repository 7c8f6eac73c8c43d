"""The transport taken over under TLS: what is read, held, written and ended, on the loop of tests and the gateway's."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from helpers.authority import Authority
from helpers.nats_server import NatsServer
from helpers.waiting import arrived, eventually
from wsgw.broker import stream
from wsgw.broker.client import DirectClient, Events
from wsgw.broker.subscription import Credentials
from wsgw.config.natsfiles import TlsFiles
from wsgw.fanout.turn import Turn

Test = Callable[[DirectClient], Awaitable[None]]
RunTls = Callable[[Test], None]


class Told(Events):
    """Writes down how it ended."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def ended(self, reason: str) -> None:
        self.reasons.append(reason)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    made: Callable[[], asyncio.AbstractEventLoop] = request.param
    return made


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(ca: Authority, start_server: Callable[[str], NatsServer]) -> NatsServer:
    certificate, key = ca.issue("server", "127.0.0.1")
    return start_server(f'tls {{cert_file: "{certificate}", key_file: "{key}"}}\nmax_payload: 8MB')


@pytest.fixture
def run(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], ca: Authority, server: NatsServer
) -> Callable[[Test], None]:
    """Runs a function with a client that is connected."""

    def run(test: Test) -> None:
        async def main() -> None:
            client = await opened(server.url, Credentials(tls=TlsFiles(str(ca.file))))
            try:
                assert client._stream is not None
                assert client._stream._transport.get_extra_info("ssl_object") is not None
                await test(client)
            finally:
                client.shut()

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main())

    return run


async def opened(url: str, credentials: Credentials, events: Events | None = None) -> DirectClient:
    client = DirectClient(Turn(asyncio.get_running_loop().call_soon), events)
    await client.open(url, credentials, "test", 5)
    return client


@pytest.mark.parametrize("tick_seconds", [stream.TICK_SECONDS, 0.0], ids=["usual", "rests after each read"])
def test_a_burst_beyond_all_buffers(run: RunTls, monkeypatch: pytest.MonkeyPatch, tick_seconds: float) -> None:
    monkeypatch.setattr(stream, "TICK_SECONDS", tick_seconds)

    async def burst(client: DirectClient) -> None:
        got: list[bytes] = []
        client.listen("a", lambda subject, payload, *rest: got.append(payload))
        payloads = [b"%d" % number * (1 + number % 3000) for number in range(3000)]
        client.write(b"".join(b"PUB a %d\r\n%b\r\n" % (len(payload), payload) for payload in payloads))
        await arrived(got, len(payloads))
        assert got == payloads

    run(burst)


def test_large_ones_in_pieces(run: RunTls) -> None:
    async def large(client: DirectClient) -> None:
        got: list[bytes] = []
        client.listen("a", lambda subject, payload, *rest: got.append(payload))
        payloads = [bytes([number]) * (4_000_000 + number) for number in range(5)]
        for payload in payloads:
            client.write_all([b"PUB a 1\r\nx\r\n", b"PUB a %d\r\n" % len(payload), payload, b"\r\n"])
        await arrived(got, 10)
        assert got[1::2] == payloads

    run(large)


def test_held(run: RunTls, server: NatsServer, ca: Authority) -> None:
    """What waits then is not read, however much it is: NATS has to keep it."""

    async def held(client: DirectClient) -> None:
        got: list[bytes] = []
        other: list[bytes] = []
        seen: list[bytes] = []  # by somebody else, of what was sent behind it
        client.listen("a", lambda subject, payload, *rest: got.append(payload))
        somebody = await opened(server.url, Credentials(tls=TlsFiles(str(ca.file))))
        somebody.listen("b", lambda subject, payload, *rest: seen.append(payload))
        somebody.write(b"PUB b 0\r\n\r\n")
        await arrived(seen, 1)
        tcp = client._stream
        assert tcp is not None
        client.hold()
        payload = b"x" * 100_000
        for _ in range(100):
            client.write(b"PUB a %d\r\n%b\r\n" % (len(payload), payload))
        await eventually(lambda: tcp._transport.get_write_buffer_size() == 0, "it is sent")
        client.write(b"SUB b 7\r\nPUB b 0\r\n\r\n")
        client._direct[b"7"] = lambda subject, payload, *rest: other.append(payload)
        await arrived(seen, 2)
        somebody.shut()
        assert (got, other) == ([], [])
        client.release()
        await arrived(other, 1)
        assert got == [payload] * 100

    run(held)


class TlsServer:
    """Begins with TLS, greets, answers the first PING; ``client`` is what its client came by."""

    def __init__(self, ca: Authority) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*ca.issue("fake", "127.0.0.1"))
        self.client: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        return f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO {}\r\n")
        await reader.readuntil(b"PING\r\n")
        writer.write(b"PONG\r\n")
        self.client.set_result(writer)


def ends(writer: asyncio.StreamWriter, how: str) -> None:
    """``close`` says so by TLS' close_notify, ``cut`` only by TCP, ``reset`` not at all, ``noise`` is no TLS."""
    if how == "close":
        writer.close()
        return
    below = writer.get_extra_info("socket").dup()
    if how == "noise":
        below.send(b"\r\n" * 100)
    elif how == "cut":
        below.shutdown(1)
    else:
        writer.transport.abort()
    below.close()


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("how", ["close", "cut", "reset", "noise"])
def test_ends(loop_factory: Callable[[], asyncio.AbstractEventLoop], ca: Authority, how: str, held: bool) -> None:
    """Told once; what came before is delivered first, or, where it was held and not said properly, not all of it."""

    async def main() -> None:
        server, told = TlsServer(ca), Told()
        got: list[bytes] = []
        async with server as url:
            credentials = Credentials(tls=TlsFiles(str(ca.file), handshake_first=True))
            client = await opened(url, credentials, told)
            client.listen("a", lambda subject, payload, *rest: got.append(payload))
            writer = await server.client
            if held:
                client.hold()
            writer.write(b"MSG a 1 1\r\nx\r\nMSG a 1 1\r\ny\r\nMSG a 1 9\r\nhalf")
            await writer.drain()
            if not held:
                await arrived(got, 2)
            ends(writer, how)
            if held:
                await asyncio.sleep(0.1)
                client.release()
            await eventually(lambda: told.reasons, "the end")
            assert got in ([b"x", b"y"], *([[], [b"x"]] if held and how != "close" else []))
            client.write(b"PING\r\n")
            client.write_all([b"PING\r\n"])
            client.hold()
            client.release()
            await asyncio.sleep(0.05)
            client.shut()
            writer.transport.abort()
        assert len(told.reasons) == 1
        assert told.reasons[0] not in ("", "None")

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())
