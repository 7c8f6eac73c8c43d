"""A WebSocket client without manners: it reads only when told to, and sends the bytes it is given."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Generator

from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader as FrameReader
from websockets.utils import apply_mask

from helpers.gateway import GatewayProcess
from helpers.waiting import DEADLINE_SECONDS

_MASK = bytes.fromhex("37fa213d")


class RawWebSocket:
    """Open it with ``RawWebSocket.open``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._frames = FrameReader()

    @classmethod
    async def open(cls, gateway: GatewayProcess, path: str) -> RawWebSocket:
        """After the opening handshake on ``path``."""
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=4096)
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {b64encode(bytes(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        async with asyncio.timeout(DEADLINE_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return cls(reader, writer)

    async def say_connect(self) -> None:
        """Become a Socket.IO client: on return its CONNECT is accepted."""
        await self.send(frame(Opcode.TEXT, b"40"))
        for start in (b"0{", b"40{"):
            received = await self.receive()
            assert received is not None
            assert bytes(received.data).startswith(start)

    async def send(self, *parts: bytes) -> None:
        """Send bytes, each part by itself as far as the system lets it."""
        for part in parts:
            self._writer.write(part)
            await self._writer.drain()
            await asyncio.sleep(0)

    async def receive(self) -> Frame | None:
        """The next frame, None at the end of the connection."""
        parsing: Generator[None, None, Frame] = Frame.parse(self._frames.read_exact, mask=False, max_size=None)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                try:
                    next(parsing)
                except StopIteration as done:
                    frame: Frame = done.value
                    return frame
                data = await self._reader.read(65536)
                if not data:
                    return None
                self._frames.feed_data(data)

    async def closed(self) -> int:
        """The code the gateway closes with, whatever comes before it; 1006 when it just ends."""
        try:
            while (frame := await self.receive()) is not None:
                if frame.opcode is Opcode.CLOSE:
                    return Close.parse(bytes(frame.data)).code
        except ConnectionError:
            pass
        return 1006

    def abort(self) -> None:
        """Drop the connection."""
        self._writer.transport.abort()


#: A fixture that opens such clients, at a gateway and a path, and drops them in the end.
OpenRaw = Callable[[GatewayProcess, str], Awaitable[RawWebSocket]]


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """A client's frame (RFC 6455 section 5.2), or with the wrong arguments something that is none."""
    length = len(data)
    head = bytes(((fin << 7) | (reserved << 4) | opcode,))
    if length < 126:
        head += bytes(((masked << 7) | length,))
    elif length < 65536:
        head += bytes(((masked << 7) | 126,)) + length.to_bytes(2, "big")
    else:
        head += bytes(((masked << 7) | 127,)) + length.to_bytes(8, "big")
    return head + _MASK + apply_mask(data, _MASK) if masked else head + data
