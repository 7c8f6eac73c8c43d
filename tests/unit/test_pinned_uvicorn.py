"""What uvicorn does where our protocol class and our server rest on what is not public.

As test_pinned_behaviour.py, for uvicorn alone.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from helpers.link_server import LinkServer
from helpers.pinned import CLOSING, KEEPALIVE, SERVER, UPGRADING
from helpers.timers import Timers
from helpers.upgraded import FakeTransport, configured, upgraded


def made(kind: type[WebSocketsSansIOProtocol] = WebSocketsSansIOProtocol) -> tuple[Any, FakeTransport]:
    """A protocol object of the base class, or of ``kind``, with its transport, before the handshake."""
    protocol, transport = kind(*configured(), {}), FakeTransport()
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


async def test_the_handshake_is_what_ours_repeats() -> None:
    """``upgraded`` stands for ``handle_connect``; a new step there is one for it too."""
    base, transport = made(Waiting)
    base.data_received(REQUEST)
    ours, _, _ = upgraded()
    assert base.handshake_initiated is ours.handshake_initiated is True, UPGRADING
    assert set(vars(base)) - set(vars(ours)) == {"request"}, UPGRADING
    for protocol in (base, ours):
        assert protocol.queue.get_nowait() == {"type": "websocket.connect"}, UPGRADING
        assert protocol.response.status_code == 101, UPGRADING
        assert len(protocol.tasks) == 1, UPGRADING
    assert transport.data == b"", UPGRADING
    await asyncio.sleep(0)
    assert base.asgi_runs == 1, f"run_asgi is not called any more; {UPGRADING}"
    await asyncio.sleep(0)
    assert not ours.tasks, UPGRADING


@pytest.mark.parametrize("subprotocol", [None, "v1"])
async def test_accept_does_what_send_does(subprotocol: str | None) -> None:
    base, theirs = made(Waiting)
    direct, ours, _ = upgraded()
    direct.default_headers = base.default_headers
    base.data_received(REQUEST)
    for protocol in (base, direct):
        protocol.loop = Timers()
    await base.send({"type": "websocket.accept", "subprotocol": subprotocol})
    direct.accept(subprotocol)

    def headers(transport: FakeTransport) -> list[bytes]:
        return sorted(line.lower() for line in transport.data.split(b"\r\n"))

    assert headers(ours) == headers(theirs), UPGRADING
    for protocol in (base, direct):
        assert protocol.handshake_complete is True, UPGRADING
        assert protocol.conn.state is State.OPEN, UPGRADING
        assert [timer.delay for timer in protocol.loop.set] == [20.0], UPGRADING


async def test_a_500_is_sent_before_the_accept_only() -> None:
    protocol, transport = made(Waiting)
    protocol.data_received(REQUEST)
    protocol.send_500_response()
    assert transport.data.startswith(b"HTTP/1.1 500 "), UPGRADING
    protocol, transport = made(Waiting)
    protocol.data_received(REQUEST)
    protocol.handshake_complete = True
    protocol.send_500_response()
    assert transport.data == b"", UPGRADING


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
    assert issubclass(ClientDisconnected, OSError), UPGRADING


async def test_the_server_tells_its_listeners_and_reads_its_limit_when_it_stops() -> None:
    server = LinkServer(None, direct=True)
    await server.start()
    assert [hasattr(listener, "close") for listener in server.uvicorn.servers] == [True], SERVER
    await server.stop()
    source = inspect.getsource(uvicorn.Server.shutdown)
    assert "timeout=self.config.timeout_graceful_shutdown" in source, SERVER
    assert "connection.shutdown()" in source, CLOSING
