"""What uvicorn does where our protocol class and our server rest on what is not public.

As test_pinned_behaviour.py, for uvicorn alone.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from helpers.link_server import LinkServer
from helpers.pinned import CLOSING, DIRECT, KEEPALIVE, SERVER
from wsgw.transports.direct import DirectProtocol


class Transport:
    """What a protocol object sees of its socket; ``data`` is what it wrote."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str) -> None: ...


class Timers:
    """As much of a loop as has to do with time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.set: list[SimpleNamespace] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> SimpleNamespace:
        timer = SimpleNamespace(delay=delay, callback=callback, cancelled=False)
        timer.cancel = lambda: setattr(timer, "cancelled", True)
        self.set.append(timer)
        return timer


def made(kind: type[WebSocketsSansIOProtocol] = WebSocketsSansIOProtocol) -> tuple[Any, Transport]:
    """A protocol object of ``kind`` with its transport, before the handshake."""

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    config = uvicorn.Config(app, ws=kind, log_config=None, ws_ping_interval=20.0, ws_ping_timeout=7.0)
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"now"), (b"server", b"x"), (b"server", b"y")]
    protocol, transport = kind(config, state, {}), Transport()
    protocol.connection_made(cast("asyncio.Transport", transport))
    return protocol, transport


REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Waiting(WebSocketsSansIOProtocol):
    """A base class' object whose application has not been called yet."""

    asgi_runs = 0

    async def run_asgi(self) -> None:
        self.asgi_runs += 1


class WaitingDirect(DirectProtocol):
    async def run_asgi(self) -> None: ...


async def test_the_handshake_makes_the_scope_and_calls_run_asgi() -> None:
    protocol, transport = made(Waiting)
    protocol.data_received(REQUEST)
    assert protocol.handshake_initiated is True, DIRECT
    assert isinstance(protocol.scope["extensions"], dict), DIRECT
    assert protocol.queue.get_nowait() == {"type": "websocket.connect"}, DIRECT
    assert hasattr(protocol, "request"), DIRECT
    assert protocol.response.status_code == 101, DIRECT
    assert transport.data == b"", DIRECT
    await asyncio.sleep(0)
    assert protocol.asgi_runs == 1, f"run_asgi is not called any more; {DIRECT}"


@pytest.mark.parametrize("subprotocol", [None, "v1"])
async def test_accept_does_what_send_does(subprotocol: str | None) -> None:
    base, theirs = made(Waiting)
    direct, ours = made(WaitingDirect)
    for protocol in (base, direct):
        protocol.data_received(REQUEST)
        protocol.loop = Timers()
    await base.send({"type": "websocket.accept", "subprotocol": subprotocol})
    direct.accept(subprotocol)

    def headers(transport: Transport) -> list[bytes]:
        return sorted(line.lower() for line in transport.data.split(b"\r\n"))

    assert headers(ours) == headers(theirs), DIRECT
    for protocol in (base, direct):
        assert protocol.handshake_complete is True, DIRECT
        assert protocol.conn.state is State.OPEN, DIRECT
        assert [timer.delay for timer in protocol.loop.set] == [20.0], DIRECT


async def test_a_500_is_sent_before_the_accept_only() -> None:
    protocol, transport = made(Waiting)
    protocol.data_received(REQUEST)
    protocol.send_500_response()
    assert transport.data.startswith(b"HTTP/1.1 500 "), DIRECT
    protocol, transport = made(Waiting)
    protocol.data_received(REQUEST)
    protocol.handshake_complete = True
    protocol.send_500_response()
    assert transport.data == b"", DIRECT


async def test_one_ping_is_out_and_its_pong_brings_the_next() -> None:
    protocol, transport = made()
    loop = protocol.loop = Timers()
    protocol.conn.state = State.OPEN
    protocol.start_keepalive()
    assert protocol.ping_timer is loop.set[0], KEEPALIVE
    loop.set[0].callback()
    assert len(loop.set) == 2, f"a ping brings more than the clock of its pong; {KEEPALIVE}"
    assert protocol.pong_timer is loop.set[1], KEEPALIVE
    assert loop.set[1].delay == protocol.ping_timeout == 7.0, KEEPALIVE
    assert loop.set[1].callback == protocol.keepalive_timeout, KEEPALIVE
    assert protocol.ping_sent_at == 100.0, KEEPALIVE
    loop.now = 103.0
    protocol.ping_sent_at = 101.0
    protocol.handle_pong(Frame(Opcode.PONG, transport.data[-4:]))
    assert loop.set[1].cancelled, KEEPALIVE
    assert protocol.pong_timer is None, KEEPALIVE
    assert loop.set[2].delay == 20.0 - 2.0, f"the round trip is not taken from ping_sent_at; {KEEPALIVE}"
    loop.set[2].callback()
    protocol.pong_timer.callback()
    assert protocol.close_sent is True, f"{KEEPALIVE}, {CLOSING}"
    assert transport.closed, CLOSING
    assert protocol.conn.close_sent.code == 1011, CLOSING


async def test_the_keepalive_can_be_stopped() -> None:
    protocol, _ = made()
    loop = protocol.loop = Timers()
    protocol.conn.state = State.OPEN
    protocol.start_keepalive()
    loop.set[0].callback()
    protocol.stop_keepalive()
    assert loop.set[1].cancelled, CLOSING
    assert protocol.pong_timer is None, CLOSING


async def test_the_loss_of_a_connection_is_what_ours_repeats() -> None:
    """``ClosingProtocol.connection_lost`` stands for it once there is a receiver; a new step here is one for it too."""
    protocol, _ = made()
    loop = protocol.loop = Timers()
    protocol.conn.state = State.OPEN
    protocol.start_keepalive()
    protocol.close_timer = loop.call_later(1.0, lambda: None)
    before = dict(vars(protocol))
    protocol.connection_lost(None)
    assert all(timer.cancelled for timer in loop.set), CLOSING
    assert protocol not in protocol.connections, CLOSING
    changed = {name for name, value in vars(protocol).items() if before.get(name) is not value}
    # handshake_complete and writable are for coroutines in ``send``; with a receiver there is none
    assert changed == {"disconnected", "handshake_complete", "close_timer", "ping_timer"}, CLOSING


def test_a_client_that_is_gone_is_an_oserror() -> None:
    assert issubclass(ClientDisconnected, OSError), DIRECT


async def test_the_server_tells_its_listeners_and_reads_its_limit_when_it_stops() -> None:
    server = LinkServer(None, direct=True)
    await server.start()
    assert [hasattr(listener, "close") for listener in server.uvicorn.servers] == [True], SERVER
    await server.stop()
    source = inspect.getsource(uvicorn.Server.shutdown)
    assert "timeout=self.config.timeout_graceful_shutdown" in source, SERVER
    assert "connection.shutdown()" in source, CLOSING
