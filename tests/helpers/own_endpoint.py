"""An HTTP endpoint on a bare socket that says who clients are, as a test wants it to."""

from __future__ import annotations

import asyncio
import contextlib
import json


class OwnEndpoint:
    """``heads`` are those of requests; ``respond`` is the whole of each answer, which ``may_answer`` holds."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self.ended = 0  # of them, by whoever
        self.respond = b""
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        #: requests of a connection that are answered; the next one ends it
        self.requests_of_connection = 1_000_000
        self.say(200, {"user": "alice"})
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/auth"

    def say(self, status: int, body: object, *headers: str) -> None:
        """Answer with ``body``, which is bytes or becomes JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(raw)}", *headers, "", ""]
        self.respond = "\r\n".join(lines).encode() + raw

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                for _ in range(self.requests_of_connection):
                    self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                    await self.may_answer.wait()
                    writer.write(self.respond)
                    await writer.drain()
                await reader.readuntil(b"\r\n\r\n")
        finally:
            self._tasks.discard(task)
            self.ended += 1
            writer.close()


def handshake_headers(head: bytes) -> dict[str, str]:
    """The headers of a request, by lower-case name; fails where one is there twice."""
    lines = head.decode("latin-1").split("\r\n")[1:-2]
    pairs = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
    assert len(dict(pairs)) == len(pairs), head
    return dict(pairs)
