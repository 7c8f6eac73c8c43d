"""A TCP proxy that can be cut: the network between a gateway and a NATS server that both stay alive."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Proxy:
    """Forwards connections to ``target``, a local port, from ``port``. Open it with ``Proxy.start``."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cut = False

    @classmethod
    async def start(cls, target: int) -> Proxy:
        """A proxy that forwards."""
        proxy = cls(target)
        proxy._server = await asyncio.start_server(proxy._connected, "127.0.0.1", 0)
        proxy.port = proxy._server.sockets[0].getsockname()[1]
        return proxy

    _server: asyncio.Server
    port: int

    @property
    def url(self) -> str:
        """The address as a NATS URL."""
        return f"nats://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Drop every connection with what is under way in it, and refuse new ones."""
        self._cut = True
        for writer in self._writers:
            writer.transport.abort()

    def hold(self) -> None:
        """Forward nothing any more, but drop no connection: a network that swallows everything."""
        self._flowing.clear()

    def restore(self) -> None:
        """Undo ``cut`` and ``hold``."""
        self._cut = False
        self._flowing.set()

    async def close(self) -> None:
        """End it."""
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._forward(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
        self._writers.discard(sink)
        sink.transport.abort()
