"""POSTs on a bare socket: their bodies come when, and as far as, a test sends them."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from typing import NamedTuple


class RawPost(NamedTuple):
    """A connection on which a POST has begun. ``close`` it."""

    reader: StreamReader
    writer: StreamWriter

    @classmethod
    async def begin(cls, port: int, path: str, length: int | None, *headers: str) -> RawPost:
        """Ask for ``path`` with a body of ``length`` bytes, or (None) of chunks, of which none is sent yet."""
        self = cls(*await asyncio.open_connection("127.0.0.1", port))
        framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        lines = [f"POST {path} HTTP/1.1", "Host: x", framing, *headers, "", ""]
        self.writer.write("\r\n".join(lines).encode())
        return self

    @classmethod
    async def whole(cls, port: int, request: bytes) -> bytes:
        """What ``request``, as it is, is answered with, until the server ends the connection."""
        self = cls(*await asyncio.open_connection("127.0.0.1", port))
        self.writer.write(request)
        answer = await self.rest()
        self.close()
        return answer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def pour(self, size: int) -> None:
        """Send ``size`` bytes, whatever has been answered."""
        for _ in range(20):
            await self.send(bytes(size // 20))

    async def status(self) -> int:
        """The status of the answer."""
        async with asyncio.timeout(15):
            return int((await self.reader.readline()).split()[1])

    async def rest(self) -> bytes:
        """What comes until the server ends the connection."""
        async with asyncio.timeout(15):
            return await self.reader.read()

    def close(self) -> None:
        self.writer.close()
