"""A web server of a few fixed pages."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping


class PageServer:
    """``pages`` are by path; on a free ``port`` of 127.0.0.1."""

    def __init__(self, pages: Mapping[str, str]) -> None:
        self._pages = pages
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    def origin(self, host: str = "localhost") -> str:
        """That of its pages under the name ``host``."""
        return f"http://{host}:{self.port}"

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            page = self._pages.get(head.split()[1].decode())
            body = (page or "").encode()
            kind = "text/javascript" if head.split()[1].endswith(b".js") else "text/html"
            status = "404 Not Found" if page is None else "200 OK"
            lines = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
            writer.write(lines.encode() + b"\r\n" + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
