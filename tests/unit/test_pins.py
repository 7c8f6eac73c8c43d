"""The parts of uvicorn, websockets and nats-py that are not public and that our code rests on: that they are there.

What they do is pinned by test_pinned_uvicorn.py and test_pinned_behaviour.py.

A failure here means that a library changed inside: look at our file named in the message before the pin in
gateway/pyproject.toml moves.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import uvicorn
from nats.aio.client import Client, Srv
from nats.aio.transport import TcpTransport
from nats.protocol.parser import Parser
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Close, Frame
from websockets.protocol import State
from websockets.server import ServerProtocol

from helpers.pinned import CLIENT, CLOSING, CONNECTION, DIRECT, KEEPALIVE, OURS, SERVER, STREAM


@dataclass(frozen=True)
class Method:
    """``owner.name`` takes ``parameters`` (after self); ``ours`` overrides or calls it."""

    owner: type
    name: str
    parameters: tuple[str, ...]
    ours: str
    is_async: bool = False

    def __str__(self) -> str:
        return f"{self.owner.__name__}.{self.name}"


METHODS = (
    Method(WebSocketsSansIOProtocol, "__init__", ("config", "server_state", "app_state", "_loop"), DIRECT),
    Method(WebSocketsSansIOProtocol, "handle_connect", ("event",), DIRECT),
    Method(WebSocketsSansIOProtocol, "data_received", ("data",), DIRECT),
    Method(WebSocketsSansIOProtocol, "pause_writing", (), DIRECT),
    Method(WebSocketsSansIOProtocol, "resume_writing", (), DIRECT),
    Method(WebSocketsSansIOProtocol, "connection_lost", ("exc",), CLOSING),
    Method(WebSocketsSansIOProtocol, "start_keepalive", (), DIRECT),
    Method(WebSocketsSansIOProtocol, "keepalive_timeout", (), KEEPALIVE),
    Method(WebSocketsSansIOProtocol, "stop_keepalive", (), CLOSING),
    Method(WebSocketsSansIOProtocol, "handle_pong", ("event",), DIRECT),
    Method(WebSocketsSansIOProtocol, "shutdown", (), CLOSING),
    Method(WebSocketsSansIOProtocol, "send", ("message",), DIRECT, is_async=True),
    Method(WebSocketsSansIOProtocol, "receive", (), DIRECT, is_async=True),
    Method(WebSocketsSansIOProtocol, "run_asgi", (), DIRECT, is_async=True),
    Method(WebSocketsSansIOProtocol, "send_500_response", (), DIRECT),
    Method(uvicorn.Server, "capture_signals", (), SERVER),
    Method(uvicorn.Server, "startup", ("sockets",), SERVER, is_async=True),
    Method(uvicorn.Server, "shutdown", ("sockets",), SERVER, is_async=True),
    Method(uvicorn.Server, "serve", ("sockets",), SERVER, is_async=True),
    Method(ServerProtocol, "receive_data", ("data",), DIRECT),
    Method(ServerProtocol, "events_received", (), DIRECT),
    Method(ServerProtocol, "data_to_send", (), DIRECT),
    Method(ServerProtocol, "send_response", ("response",), DIRECT),
    Method(ServerProtocol, "parse", (), DIRECT),
    Method(ServerProtocol, "send_close", ("code", "reason"), CLOSING),
    Method(Close, "serialize", (), CLOSING),
    Method(Frame, "serialize", ("mask", "extensions"), CLOSING),
    Method(Client, "_read_loop", (), CLIENT, is_async=True),
    Method(Client, "_process_op_err", ("e",), CLIENT, is_async=True),
    Method(Parser, "parse", ("data",), CLIENT, is_async=True),
    Method(Client, "_close", ("status", "do_cbs"), CLIENT, is_async=True),
    Method(Client, "_connect_command", (), CLIENT),
)

#: Attributes of an instance: owner, names and types, our file.
PROTOCOL_ATTRIBUTES: dict[str, Any] = {
    "transport": type(None),
    "app": Callable,
    "logger": logging.Logger,
    "default_headers": list,
    "ping_timeout": float,
    "pong_timer": type(None),
    "ping_sent_at": float,
    "conn": ServerProtocol,
    "queue": asyncio.Queue,
    "loop": asyncio.AbstractEventLoop,
    "handshake_initiated": bool,
    "handshake_complete": bool,
    "close_sent": bool,
    "disconnected": bool,
    "read_paused": bool,
    "close_timer": type(None),
    "writable": asyncio.Event,
    "frames": list,
    "curr_msg_data_type": str,
    "connections": set,
}
SANS_IO_ATTRIBUTES: dict[str, Any] = {
    "state": State,
    "parser": Generator,
    "max_message_size": int,
    "parser_exc": type(None),
    "close_rcvd": type(None),
    "close_sent": type(None),
    "close_rcvd_then_sent": type(None),
}
CLIENT_ATTRIBUTES: dict[str, Any] = {
    "_sid": int,
    "_subs": dict,
    "_pending": list,
    "_pending_data_size": int,
    "_flush_queue": (asyncio.Queue, type(None)),
    "_transport": type(None),
    "_current_server": type(None),
    "_server_info": dict,
    "discovered_servers": list,
    "_ps": Parser,
}
TCP_ATTRIBUTES: dict[str, Any] = {"_io_reader": type(None), "_io_writer": type(None)}


def test_our_files_are_where_the_messages_say() -> None:
    package = Path(__file__).parents[2] / "gateway"
    assert [name for name in OURS if not (package / name).is_file()] == []


def check(owner: object, attributes: dict[str, Any], ours: str) -> None:
    for name, kind in attributes.items():
        assert hasattr(owner, name), f"{type(owner).__name__}.{name} is gone; {ours} uses it"
        value = getattr(owner, name)
        assert isinstance(value, kind), f"{type(owner).__name__}.{name} is {value!r} now; {ours} uses it"


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_methods(method: Method) -> None:
    found = getattr(method.owner, method.name, None)
    assert found is not None, f"{method} is gone; {method.ours} rests on it"
    parameters = tuple(inspect.signature(found).parameters)[1:]
    assert parameters == method.parameters, f"{method} takes {parameters} now; {method.ours} rests on it"
    assert inspect.iscoroutinefunction(found) == method.is_async, f"{method} changed; {method.ours} rests on it"


async def test_attributes() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    config = uvicorn.Config(app, ws=WebSocketsSansIOProtocol, log_config=None)
    config.load()
    assert config.ws_protocol_class is WebSocketsSansIOProtocol, f"Config(ws=CLASS) changed; {SERVER} rests on it"
    protocol = WebSocketsSansIOProtocol(config, ServerState(), {})
    check(protocol, PROTOCOL_ATTRIBUTES, f"{DIRECT}, {CLOSING} or {KEEPALIVE}")
    check(protocol.conn, SANS_IO_ATTRIBUTES, DIRECT)
    check(Client(), CLIENT_ATTRIBUTES, f"{CLIENT} or {CONNECTION}")
    check(TcpTransport(), TCP_ATTRIBUTES, f"{STREAM} or {CLIENT}")  # type: ignore[no-untyped-call]
    check(uvicorn.Server(config), {"should_exit": bool, "started": bool, "server_state": ServerState}, SERVER)
    check(config, {"timeout_graceful_shutdown": type(None)}, SERVER)
    check(Srv(urlparse("tls://a")).uri, {"scheme": str}, CLIENT)
