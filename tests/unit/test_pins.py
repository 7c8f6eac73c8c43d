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
from websockets.http11 import Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from helpers.pinned import CLOSING, DIRECT, HANDSHAKE, KEEPALIVE, OURS, SERVER, STREAM, UPGRADING


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
    Method(WebSocketsSansIOProtocol, "connection_made", ("transport",), UPGRADING),
    Method(WebSocketsSansIOProtocol, "data_received", ("data",), DIRECT),
    Method(WebSocketsSansIOProtocol, "eof_received", (), UPGRADING),
    Method(WebSocketsSansIOProtocol, "on_task_complete", ("task",), UPGRADING),
    Method(WebSocketsSansIOProtocol, "pause_writing", (), DIRECT),
    Method(WebSocketsSansIOProtocol, "resume_writing", (), DIRECT),
    Method(WebSocketsSansIOProtocol, "connection_lost", ("exc",), CLOSING),
    Method(WebSocketsSansIOProtocol, "start_keepalive", (), UPGRADING),
    Method(WebSocketsSansIOProtocol, "keepalive_timeout", (), KEEPALIVE),
    Method(WebSocketsSansIOProtocol, "stop_keepalive", (), CLOSING),
    Method(WebSocketsSansIOProtocol, "handle_pong", ("event",), DIRECT),
    Method(WebSocketsSansIOProtocol, "shutdown", (), CLOSING),
    Method(WebSocketsSansIOProtocol, "send", ("message",), UPGRADING, is_async=True),
    Method(WebSocketsSansIOProtocol, "receive", (), UPGRADING, is_async=True),
    Method(WebSocketsSansIOProtocol, "run_asgi", (), UPGRADING, is_async=True),
    Method(WebSocketsSansIOProtocol, "send_500_response", (), UPGRADING),
    Method(uvicorn.Server, "capture_signals", (), SERVER),
    Method(uvicorn.Server, "startup", ("sockets",), SERVER, is_async=True),
    Method(uvicorn.Server, "shutdown", ("sockets",), SERVER, is_async=True),
    Method(uvicorn.Server, "serve", ("sockets",), SERVER, is_async=True),
    Method(ServerProtocol, "receive_data", ("data",), DIRECT),
    Method(ServerProtocol, "events_received", (), DIRECT),
    Method(ServerProtocol, "data_to_send", (), DIRECT),
    Method(ServerProtocol, "accept", ("request",), UPGRADING),
    Method(ServerProtocol, "reject", ("status", "text"), UPGRADING),
    Method(ServerProtocol, "send_response", ("response",), UPGRADING),
    Method(ServerProtocol, "fail", ("code", "reason"), DIRECT),
    Method(ServerProtocol, "parse", (), DIRECT),
    Method(ServerProtocol, "send_close", ("code", "reason"), CLOSING),
    Method(StreamReader, "discard", (), DIRECT),
    Method(Response, "serialize", (), UPGRADING),
    Method(Close, "serialize", (), CLOSING),
    Method(Frame, "serialize", ("mask", "extensions"), CLOSING),
    Method(Client, "_process_info", ("info", "initial_connection"), HANDSHAKE, is_async=True),
    Method(Client, "_connect_command", (), HANDSHAKE),
    Method(Client, "_read_loop", (), HANDSHAKE, is_async=True),
    Method(Client, "_ping_interval", (), HANDSHAKE, is_async=True),
    Method(Client, "_flusher", (), HANDSHAKE, is_async=True),
)

#: Attributes of an instance: owner, names and types, our file.
PROTOCOL_ATTRIBUTES: dict[str, Any] = {
    "transport": type(None),
    "app": Callable,
    "logger": logging.Logger,
    "default_headers": list,
    "tasks": set,
    "root_path": str,
    "asgi_version": str,
    "app_state": dict,
    "scheme": type(None),
    "server": type(None),
    "client": type(None),
    "ping_timeout": float,
    "pong_timer": type(None),
    "ping_sent_at": float,
    "pending_ping_payload": type(None),
    "conn": ServerProtocol,
    "queue": asyncio.Queue,
    "loop": asyncio.AbstractEventLoop,
    "handshake_initiated": bool,
    "handshake_complete": bool,
    "close_sent": bool,
    "disconnected": bool,
    "close_timer": type(None),
    "writable": asyncio.Event,
    "connections": set,
}
SANS_IO_ATTRIBUTES: dict[str, Any] = {
    "state": State,
    "parser": Generator,
    "max_message_size": int,
    "parser_exc": type(None),
    "close_rcvd": type(None),
    "close_sent": type(None),
    "current_size": type(None),
    "reader": StreamReader,
    "handshake_exc": type(None),
}
CLIENT_ATTRIBUTES: dict[str, Any] = {
    "_transport": type(None),
    "_current_server": type(None),
    "_server_info": dict,
    "_error_cb": Callable,
    "_public_nkey": type(None),
    "_signature_cb": type(None),
    "_user_jwt_cb": type(None),
    "_reading_task": type(None),
    "_ping_interval_task": type(None),
    "_flusher_task": type(None),
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

    config = uvicorn.Config(app, log_config=None)
    config.load()
    protocol = WebSocketsSansIOProtocol(config, ServerState(), {})
    check(protocol, PROTOCOL_ATTRIBUTES, f"{DIRECT}, {UPGRADING}, {CLOSING} or {KEEPALIVE}")
    check(protocol.conn, SANS_IO_ATTRIBUTES, f"{DIRECT}, {UPGRADING} or {CLOSING}")
    check(Client(), CLIENT_ATTRIBUTES, HANDSHAKE)
    check(TcpTransport(), TCP_ATTRIBUTES, f"{STREAM} or {HANDSHAKE}")  # type: ignore[no-untyped-call]
    check(uvicorn.Server(config), {"should_exit": bool, "started": bool, "server_state": ServerState}, SERVER)
    check(config, {"timeout_graceful_shutdown": type(None)}, SERVER)
    check(Srv(urlparse("tls://a")).uri, {"scheme": str}, HANDSHAKE)
