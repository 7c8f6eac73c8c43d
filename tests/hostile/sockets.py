"""Bare sockets, as attackers use them: they send what they like, and read only what they have to."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass

from websockets.frames import Opcode

from helpers.raw import frame

#: What an attacker gives to the system at a time.
CHUNK_BYTES = 256 * 1024
#: What the system keeps for it on its way to the gateway: more would only be read later, when the attack is over.
SEND_BUFFER_BYTES = 128 * 1024
#: How long an attacker waits for an answer that it needs.
PATIENCE_SECONDS = 30.0

#: IP_BIND_ADDRESS_NO_PORT of Linux: the port is chosen when it is connected, and so each address has its own.
_NO_PORT_YET = 24

HANDSHAKE_HEADERS = (
    b"Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
SOCKETIO_PATH = "/socket.io/?EIO=4&transport=websocket&channels=IN"
POLLING_PATH = "/socket.io/?EIO=4&transport=polling&channels=IN"


@dataclass(frozen=True)
class Target:
    """What is attacked: the port of a gateway of this machine, and that of its NATS server."""

    port: int
    nats_port: int

    async def connect(self, receive_buffer_bytes: int | None = None, source: str | None = None) -> socket.socket:
        """A TCP connection to the gateway, from the address ``source``; raises OSError."""
        return await _connected(self.port, receive_buffer_bytes, source)

    async def connect_nats(self) -> socket.socket:
        """A TCP connection to the NATS server that takes publishes."""
        made = await _connected(self.nats_port, None)
        await send(made, b'CONNECT {"verbose":false,"headers":true}\r\n')
        return made

    async def websocket(self, path: str, receive_buffer_bytes: int | None = None) -> socket.socket:
        """A connection with the WebSocket handshake behind it; raises OSError where it is refused."""
        made = await self.connect(receive_buffer_bytes)
        await send(made, b"GET %b HTTP/1.1\r\n%b\r\n" % (path.encode(), HANDSHAKE_HEADERS))
        if not (await read_until(made, b"\r\n\r\n")).startswith(b"HTTP/1.1 101 "):
            made.close()
            raise ConnectionRefusedError(path)
        return made

    async def socketio(self, path: str = SOCKETIO_PATH) -> socket.socket:
        """A Socket.IO client over WebSocket, connected."""
        made = await self.websocket(path)
        await send(made, frame(Opcode.TEXT, b"40"))
        await read_until(made, b"40{")
        return made

    async def polling(self, more: bytes = b"") -> str:
        """The path of a new polling session, whose request had ``more`` header lines; raises OSError."""
        made = await self.connect()
        with made:
            await send(made, b"GET %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (POLLING_PATH.encode(), more))
            answer = await read_until(made, b'"sid":"', b'",')
        if b'"sid":"' not in answer:
            raise ConnectionRefusedError(answer[:100])
        return POLLING_PATH + "&sid=" + answer.partition(b'"sid":"')[2].partition(b'"')[0].decode()

    async def ask(self, request: bytes, patience_seconds: float = PATIENCE_SECONDS) -> int | None:
        """The status that ``request`` is answered with on a connection of its own; None where it just ends."""
        with await self.connect() as made:
            sending = asyncio.create_task(send(made, request))
            try:
                return await status(made, patience_seconds)
            finally:
                await ended(sending)


async def _connected(port: int, receive_buffer_bytes: int | None, source: str | None = None) -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if receive_buffer_bytes is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    try:
        if source is not None:
            made.setsockopt(socket.IPPROTO_IP, _NO_PORT_YET, 1)
            made.bind((source, 0))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    except BaseException:
        made.close()
        raise
    return made


async def send(to: socket.socket, data: bytes) -> None:
    """Returns when the system has taken all of it; raises OSError."""
    await asyncio.get_running_loop().sock_sendall(to, data)


async def pour(to: socket.socket, unit: bytes, size: int, deadline: float) -> int:
    """Send ``unit`` again and again, ``size`` bytes or until ``deadline`` (the loop's time); how many were taken.

    Less than that where the connection ends meanwhile.
    """
    chunk = memoryview(unit * max(1, CHUNK_BYTES // len(unit)))
    loop = asyncio.get_running_loop()
    sent = 0
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout_at(deadline):
            while sent < size:
                part = chunk[: size - sent]
                await loop.sock_sendall(to, part)
                sent += len(part)
                await asyncio.sleep(0)  # the others' turn
    return sent


async def read_until(of: socket.socket, *marks: bytes) -> bytes:
    """What comes up to all ``marks``, one behind the other; less where the connection ends."""
    received = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            at = 0
            for mark in marks:
                at = received.find(mark, at)
                if at < 0:
                    break
                at += len(mark)
            else:
                return received
            if not (data := await asyncio.get_running_loop().sock_recv(of, 65536)):
                return received
            received += data


async def read_all(of: socket.socket, patience_seconds: float = PATIENCE_SECONDS) -> bytes | None:
    """What comes until the gateway ends the connection; None where it does not within that time."""
    received = b""
    try:
        async with asyncio.timeout(patience_seconds):
            while data := await asyncio.get_running_loop().sock_recv(of, 65536):
                received += data
    except ConnectionError:
        pass
    except TimeoutError:
        return None
    return received


async def status(of: socket.socket, patience_seconds: float = PATIENCE_SECONDS) -> int | None:
    """The status of the answer that comes next; None where the connection ends without. Raises TimeoutError."""
    received = b""
    async with asyncio.timeout(patience_seconds):
        while b"\r\n" not in received:
            try:
                data = await asyncio.get_running_loop().sock_recv(of, 65536)
            except ConnectionError:
                return None
            if not data:
                return None
            received += data
    return int(received.split(b" ", 2)[1])


def reset(connection: socket.socket) -> None:
    """End a connection with a RST: what the other side still writes fails."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


async def ended(task: asyncio.Task[object]) -> None:
    """Cancel ``task``; returns when it has ended, whatever with."""
    task.cancel()
    with suppress(asyncio.CancelledError, OSError):
        await task
