"""The parts of uvicorn, websockets and nats-py that are not public and that our code rests on.

A failure here means that a library changed inside: look at our file named in the message before the pin in
gateway/pyproject.toml moves.
"""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.protocol.parser import Parser
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

DIRECT, SERVER, CLIENT, STREAM, CONNECTION = (
    "wsgw/transports/direct.py",
    "wsgw/server.py",
    "wsgw/broker/client.py",
    "wsgw/broker/stream.py",
    "wsgw/broker/connection.py",
)


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
    Method(WebSocketsSansIOProtocol, "connection_lost", ("exc",), DIRECT),
    Method(WebSocketsSansIOProtocol, "keepalive_timeout", (), DIRECT),
    Method(WebSocketsSansIOProtocol, "stop_keepalive", (), DIRECT),
    Method(WebSocketsSansIOProtocol, "handle_pong", ("event",), DIRECT),
    Method(WebSocketsSansIOProtocol, "shutdown", (), DIRECT),
    Method(WebSocketsSansIOProtocol, "send", ("message",), DIRECT, is_async=True),
    Method(uvicorn.Server, "capture_signals", (), SERVER),
    Method(uvicorn.Server, "startup", ("sockets",), SERVER, is_async=True),
    Method(uvicorn.Server, "shutdown", ("sockets",), SERVER, is_async=True),
    Method(uvicorn.Server, "serve", ("sockets",), SERVER, is_async=True),
    Method(ServerProtocol, "receive_data", ("data",), DIRECT),
    Method(ServerProtocol, "events_received", (), DIRECT),
    Method(ServerProtocol, "data_to_send", (), DIRECT),
    Method(ServerProtocol, "send_close", ("code", "reason"), DIRECT),
    Method(Close, "serialize", (), DIRECT),
    Method(Frame, "serialize", ("mask", "extensions"), DIRECT),
    Method(Client, "_read_loop", (), CLIENT, is_async=True),
    Method(Client, "_process_op_err", ("e",), CLIENT, is_async=True),
    Method(Parser, "parse", ("data",), CLIENT, is_async=True),
    Method(
        Client,
        "subscribe",
        ("subject", "queue", "cb", "future", "max_msgs", "pending_msgs_limit", "pending_bytes_limit"),
        CLIENT,
        is_async=True,
    ),
    Method(Client, "_close", ("status", "do_cbs"), CLIENT, is_async=True),
    Method(Client, "_connect_command", (), CLIENT),
    Method(Subscription, "unsubscribe", ("limit",), CLIENT, is_async=True),
)

#: Attributes of an instance: owner, names and types, our file.
PROTOCOL_ATTRIBUTES: dict[str, Any] = {
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
    "max_message_size": int,
    "parser_exc": type(None),
    "close_rcvd": type(None),
    "close_sent": type(None),
    "close_rcvd_then_sent": type(None),
}
CLIENT_ATTRIBUTES: dict[str, Any] = {
    "_sid": int,
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
    check(protocol, PROTOCOL_ATTRIBUTES, DIRECT)
    check(protocol.conn, SANS_IO_ATTRIBUTES, DIRECT)
    check(Client(), CLIENT_ATTRIBUTES, f"{CLIENT} or {CONNECTION}")
    check(TcpTransport(), TCP_ATTRIBUTES, f"{STREAM} or {CLIENT}")  # type: ignore[no-untyped-call]
    check(uvicorn.Server(config), {"should_exit": bool, "started": bool, "server_state": ServerState}, SERVER)


def opened() -> ServerProtocol:
    return ServerProtocol(state=State.OPEN, max_size=100)


def sent(*frames: Frame) -> bytes:
    return b"".join(frame.serialize(mask=True) for frame in frames)


TEXT = Frame(Opcode.TEXT, b"x")


def test_the_echo_of_a_close_and_the_end_of_stream_are_the_last_two_writes() -> None:
    """``data_received`` holds the closing handshake back by leaving them out."""
    conn = opened()
    conn.receive_data(sent(Frame(Opcode.PING, b"p"), TEXT, Frame(Opcode.CLOSE, Close(1000, "").serialize())))
    assert [event.opcode for event in conn.events_received()] == [Opcode.PING, Opcode.TEXT, Opcode.CLOSE]  # type: ignore[union-attr]
    writes = conn.data_to_send()
    assert writes[:-2] == [Frame(Opcode.PONG, b"p").serialize(mask=False)], DIRECT
    assert writes[-2:] == [Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=False), b""], DIRECT
    assert conn.close_rcvd_then_sent is True, DIRECT
    assert conn.state is State.CLOSING, DIRECT


@pytest.mark.parametrize(
    ("data", "code"),
    [(sent(Frame(Opcode.CONT, b"")), 1002), (sent(Frame(Opcode.TEXT, bytes(101))), 1009), (b"\x81\x00", 1002)],
)
def test_what_came_before_a_violation_is_still_an_event(data: bytes, code: int) -> None:
    conn = opened()
    conn.receive_data(sent(TEXT) + data)
    assert len(conn.events_received()) == 1, DIRECT
    assert conn.parser_exc is not None, DIRECT
    assert conn.close_sent is not None, DIRECT
    assert conn.close_sent.code == code, DIRECT
    assert conn.data_to_send()[-1] == b"", DIRECT


def test_text_is_not_validated_by_the_library() -> None:
    """``_message_received`` does it, for whole messages."""
    conn = opened()
    conn.receive_data(sent(Frame(Opcode.TEXT, b"\xff")))
    assert len(conn.events_received()) == 1, DIRECT
    assert conn.parser_exc is None, DIRECT


def test_the_limit_of_a_message_can_be_changed_while_open() -> None:
    conn = opened()
    conn.max_message_size = 2
    conn.receive_data(sent(Frame(Opcode.BINARY, b"ab", False), Frame(Opcode.CONT, b"c")))
    assert conn.close_sent is not None, DIRECT
    assert conn.close_sent.code == 1009, DIRECT


async def test_a_subscription_with_a_future_has_no_task_and_the_next_number() -> None:
    client = Client()
    subscription = Subscription(client, 7, "x", future=asyncio.get_running_loop().create_future())
    subscription._start(None)  # type: ignore[no-untyped-call]
    assert subscription._id == 7, CLIENT
    assert subscription._wait_for_msgs_task is None, CLIENT
    source = inspect.getsource(Client.subscribe)
    assert source.index("self._sid += 1") < source.index("await"), f"the number is taken after a wait; {CLIENT}"


def test_the_flusher_writes_what_is_pending_for_any_kick() -> None:
    source = inspect.getsource(Client._flusher)
    assert "await self._flush_queue.get()" in source, CLIENT
    assert "self._transport.writelines(self._pending[:])" in source, CLIENT


def test_the_read_loop_is_started_when_the_greeting_is_over_and_reads_all_that_follows() -> None:
    source = inspect.getsource(Client._process_connect_init)
    assert "create_task(self._read_loop())" in source, CLIENT
    assert "readline()" not in source[source.index("_read_loop()") :], CLIENT
    assert "await self._ps.parse(b)" in inspect.getsource(Client._read_loop), CLIENT


def test_a_new_parser_of_an_open_connection_begins_with_frames() -> None:
    conn = opened()
    conn.parser = conn.parse()
    next(conn.parser)
    conn.receive_data(sent(TEXT))
    assert len(conn.events_received()) == 1, DIRECT
