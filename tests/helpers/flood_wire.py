"""A WebSocket that is cheap to send much on, and shows when TCP takes no more."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from websockets.frames import Close, Opcode

from helpers.raw import frame
from helpers.waiting import DEADLINE_SECONDS

#: What a client lets its own TCP keep: little, so that back-pressure is felt at once.
SEND_BUFFER_BYTES = 64 * 1024

_REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class FloodWire(asyncio.Protocol):
    """Open it with ``FloodWire.open``; ``on_message`` gets what comes."""

    def __init__(self, on_message: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._buffer = bytearray()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport
        self._response: asyncio.Future[bytes] = loop.create_future()
        self._closing = False
        self._lost = asyncio.Event()
        #: the gateway's close code, 1006 where it just ended
        self.closed: asyncio.Future[int] = loop.create_future()

    @classmethod
    async def open(cls, port: int, path: str, on_message: Callable[[bytes], None]) -> FloodWire:
        _, wire = await asyncio.get_running_loop().create_connection(lambda: cls(on_message), "127.0.0.1", port)
        wire._transport.write(_REQUEST.format(path=path).encode())
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                response = await wire._response
            assert response.startswith(b"HTTP/1.1 101 "), response
        except BaseException:
            await wire.drop()
            raise
        return wire

    async def send(self, data: bytes) -> None:
        """Returns when TCP has taken it all, or when the connection has ended."""
        self._transport.write(data)
        await asyncio.sleep(0)  # the others' turn
        await self._writable.wait()

    def write(self, data: bytes) -> None:
        """Send something small, behind what TCP has not taken yet."""
        self._transport.write(data)

    async def close(self) -> int:
        """The code that the gateway answers a close with, or closed with itself."""
        self._send_close(1000)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self._lost.wait()
        return self.closed.result()

    async def drop(self) -> None:
        """End the TCP connection, if it has not ended."""
        self._transport.abort()
        await self._lost.wait()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()
        if not self._response.done():
            self._response.set_result(b"")
        if not self.closed.done():
            self.closed.set_result(1006)
        self._lost.set()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if not self._response.done():
            head, end, _ = buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self._response.set_result(bytes(head))
            del buffer[: len(head) + 4]
        at = 0
        while len(buffer) >= at + 2:
            size, start = buffer[at + 1], at + 2
            if size == 126:  # the gateway has nothing longer to say to those who only send
                size, start = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            if len(buffer) < start + size:
                break
            self._received(buffer[at] & 15, bytes(buffer[start : start + size]))
            at = start + size
        del buffer[:at]

    # -- inside

    def _received(self, opcode: int, data: bytes) -> None:
        if opcode == Opcode.PING:
            self._transport.write(frame(Opcode.PONG, data))
        elif opcode != Opcode.CLOSE:
            self._on_message(data)
        elif not self.closed.done():
            code = Close.parse(data).code
            self.closed.set_result(code)
            self._send_close(code)

    def _send_close(self, code: int) -> None:
        if not self._closing:
            self._closing = True
            self._transport.write(frame(Opcode.CLOSE, Close(code, "").serialize()))
