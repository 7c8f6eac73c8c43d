"""``wsgw producer`` towards a gateway, over plain WebSocket and Socket.IO."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.utils import accept_key

from .wanted import NOTES, STOPPED

# ---- plain WebSocket


class WebSocketGateway:
    """Collects frames per path and accepts them all; BOTH sends to the client, too."""

    def __init__(self) -> None:
        self.frames: dict[str, list[str | bytes]] = {}

    async def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        path = connection.request.path
        self.frames[path] = []
        if path == "/ws/BOTH":
            for number in range(100):
                await connection.send(str(number))
        self.frames[path] += [frame async for frame in connection]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        async with serve(self.handle, "127.0.0.1", 0) as server:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_websocket(wsgw: Any, tmp_path: Path) -> None:
    gateway = WebSocketGateway()
    (tmp_path / "b").write_bytes(b"\xff")
    (tmp_path / "s.yml").write_text("[{topic: BOTH, message: x}, {message: ''}, {file: b}]")
    async with gateway.running() as url:
        command = await wsgw("producer", "-u", url, "-t", "OUT", "-m", NOTES, "-s", str(tmp_path / "s.yml"))
        assert await command.ended() == 0
    assert gateway.frames == {"/ws/OUT": [NOTES, "", b"\xff"], "/ws/BOTH": ["x"]}
    assert command.messages == [
        "info: App runs the jobs...",
        f"info: {NOTES} >> [OUT]",
        'info: "x" >> [BOTH]',
        'info: "" >> [OUT]',
        'info: base64:"/w==" >> [OUT]',
        "info: Successfully completed.",
        *STOPPED,
    ]


CLOSES = pytest.mark.parametrize(
    ("code", "reason"), [(1013, "no connection to NATS"), (4505, "OUT is inbound"), (1011, "")]
)


def closed_with(code: int, reason: str) -> str:
    return f"error: 'OUT' was closed with code {code}" + (f": {reason}" if reason else "")


@CLOSES
async def test_websocket_closed_by_the_other_side(wsgw: Any, code: int, reason: str) -> None:
    async with serve(lambda connection: connection.close(code, reason), "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        command = await wsgw("producer", "-u", url, "-t", "OUT", "-m", "1")
        assert await command.ended() == 1
    assert command.messages[-1] == closed_with(code, reason)
    assert "Successfully" not in command.output


@CLOSES
async def test_websocket_verdict_in_the_answer_to_the_close(wsgw: Any, code: int, reason: str) -> None:
    """A server on a bare socket, for it answers a close of 1000 with another code."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = request.partition("Sec-WebSocket-Key: ")[2].split("\r\n")[0]
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode()
        )
        header = b""
        while header[:1] != b"\x88":
            header = await reader.readexactly(2)
            await reader.readexactly(4 + (header[1] & 0x7F))
        answer = code.to_bytes(2, "big") + reason.encode()
        writer.write(bytes([0x88, len(answer)]) + answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    command = await wsgw("producer", "-u", f"ws://127.0.0.1:{port}", "-t", "OUT", "-m", "1")
    assert await command.ended() == 1
    assert command.messages[-1] == closed_with(code, reason)
    server.close()
    await server.wait_closed()


async def test_websocket_no_answer_to_the_close(wsgw: Any) -> None:
    release = asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await release.wait()

    async with serve(handle, "127.0.0.1", 0, close_timeout=1) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        command = await wsgw("producer", "-u", url, "-m", "1", "--timeout", "0.5")
        assert await command.ended() == 1
        release.set()
    assert command.messages[-1] == "error: 'message' was closed with code 1006: no closing handshake"


# ---- Socket.IO


async def test_socketio(wsgw: Any, gateway: Any, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"\xff")
    command = await wsgw("producer", "-u", gateway.url, "-t", "OUT", "-m", NOTES, "-c", str(tmp_path / "b"), "-m", '""')
    assert await command.ended() == 0
    assert gateway.received == [("OUT", NOTES), ("OUT", ""), ("OUT", b"\xff")]
    assert "channels=" in gateway.queries[0].split("&")  # none: a producer receives nothing
    assert command.messages == [
        "info: App runs the jobs...",
        f"info: {NOTES} >> [OUT]",
        'info: "" >> [OUT]',
        'info: base64:"/w==" >> [OUT]',
        "info: Successfully completed.",
        *STOPPED,
    ]


async def test_many_messages_over_socketio(wsgw: Any, gateway: Any, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps([{"message": str(number)} for number in range(2000)]))
    command = await wsgw("producer", "-u", gateway.url, "-t", "OUT", "-s", str(tmp_path / "s.json"))
    assert await command.ended() == 0, command.output[-500:]
    assert gateway.received == [("OUT", str(number)) for number in range(2000)]


async def test_socketio_refuses(wsgw: Any, gateway: Any, tmp_path: Path) -> None:
    command = await wsgw("producer", "-u", gateway.url, "-t", "NO", "-m", "1")
    assert await command.ended() == 1
    assert command.messages[-1] == "error: 'NO': unknown_channel: no channel NO"
    assert "Successfully" not in command.output


async def test_socketio_never_acks(wsgw: Any, gateway: Any) -> None:
    command = await wsgw("producer", "-u", gateway.url, "-t", "SILENT", "-m", "1", "--timeout", "0.5")
    assert await command.ended() == 1
    assert command.messages[-1] == "error: no ack on 'SILENT' within 0.5 s"


async def test_socketio_goes_away_before_the_ack(wsgw: Any, gateway: Any) -> None:
    command = await wsgw("producer", "-u", gateway.url, "-t", "GONE", "-m", "1")
    assert await command.ended() == 1
    assert command.messages[-1] == "error: unknown whether 'GONE' accepted: the connection was closed"


async def test_requests_over_socketio(wsgw: Any, gateway: Any) -> None:
    command = await wsgw("producer", "-u", gateway.url, "-t", "SUM", "-m", "[1,2]", "-m", '"binary"', "-r")
    assert await command.ended() == 0
    assert command.messages[1:5] == [
        "info: [1,2] >> [SUM]",
        '"3"',
        'info: "binary" >> [SUM]',
        'base64:"/w=="',
    ]
    plain = await wsgw("producer", "-u", gateway.url, "-t", "OUT", "-m", "1", "-r")
    assert await plain.ended() == 1
    assert "error: 'OUT' is no request channel" in plain.messages[-1]
