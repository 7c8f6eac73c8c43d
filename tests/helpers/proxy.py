"""A TCP proxy that networks' faults are made with: cut, silent, slow, and connections of which one end is forgotten."""

from __future__ import annotations

import asyncio
import socket
from enum import Enum, auto

#: Of a slow connection, pieces a second.
_PIECES = 10


class Fate(Enum):
    """What becomes of a connection."""

    FLOWS = auto()
    #: nothing is taken from either end any more
    STANDS = auto()
    #: all is taken from both ends, and arrives nowhere
    SWALLOWED = auto()


class _Connection:
    """``ends`` are the writers to both sides; ``ways`` how many of its two directions go on."""

    def __init__(self, *ends: asyncio.StreamWriter) -> None:
        self.ends = ends
        self.fate = Fate.FLOWS
        self.ways = 2

    def abort(self) -> None:
        for end in self.ends:
            end.transport.abort()


class Proxy:
    """Forwards connections to ``target``, a local port, from ``port``. Open it with ``Proxy.start``.

    ``rate_bytes``, where it is not None, is what goes a second, each way of each connection.
    """

    def __init__(self, target: int, buffer_bytes: int | None = None) -> None:
        self._target = target
        self._buffer_bytes = buffer_bytes
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: set[_Connection] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cut = False
        self.rate_bytes: int | None = None

    @classmethod
    async def start(cls, target: int, buffer_bytes: int | None = None) -> Proxy:
        """A proxy that forwards. Of what is under way it keeps about ``buffer_bytes``, or what the system likes."""
        proxy = cls(target, buffer_bytes)
        limit = buffer_bytes or 65536
        proxy._server = await asyncio.start_server(proxy._connected, "127.0.0.1", 0, limit=limit, backlog=2048)
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
        self._drop_all()

    def lead(self, target: int) -> None:
        """Connections from now on go to that local port."""
        self._target = target

    def hold(self) -> None:
        """Forward nothing any more, but drop no connection: a network that swallows everything."""
        self._flowing.clear()

    def restore(self) -> None:
        """Undo ``cut``, ``hold`` and ``rate_bytes``."""
        self._cut = False
        self._flowing.set()
        self.rate_bytes = None

    def forsake(self, fate: Fate) -> None:
        """The connections there are become half-open: neither end hears of the other again, of its end neither.

        New ones are forwarded.
        """
        for connection in self._connections:
            connection.fate = fate

    async def close(self) -> None:
        """End it."""
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # what was dropped is gone in the next tick

    # -- inside

    def _drop_all(self) -> None:
        for connection in self._connections:
            connection.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            self._bound(writer.get_extra_info("socket"))
            far_reader, far_writer = await self._reach()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        finally:
            self._tasks.discard(task)
        connection = _Connection(writer, far_writer)
        if self._cut:  # meanwhile
            connection.abort()
            return
        self._connections.add(connection)
        for end in connection.ends:
            end.transport.set_write_buffer_limits(self._buffer_bytes)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._forward(connection, source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        far = socket.socket()
        try:
            self._bound(far)
            far.setblocking(False)
            await asyncio.get_running_loop().sock_connect(far, ("127.0.0.1", self._target))
            return await asyncio.open_connection(sock=far, limit=self._buffer_bytes or 65536)
        except OSError:
            far.close()
            raise

    def _bound(self, end: socket.socket) -> None:
        if self._buffer_bytes is not None:
            for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                end.setsockopt(socket.SOL_SOCKET, buffer, self._buffer_bytes)

    async def _forward(self, connection: _Connection, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._flowing.wait()
                if connection.fate is Fate.STANDS:
                    return
                if connection.fate is Fate.SWALLOWED:
                    continue
                await self._pour(data, sink)
        except OSError:
            if connection.fate is Fate.FLOWS:
                sink.transport.abort()
        if connection.fate is Fate.FLOWS:
            sink.close()  # behind what is on its way
            connection.ways -= 1
            if not connection.ways:
                self._connections.discard(connection)

    async def _pour(self, data: bytes, sink: asyncio.StreamWriter) -> None:
        while data:
            size = len(data) if self.rate_bytes is None else max(1, self.rate_bytes // _PIECES)
            sink.write(data[:size])
            data = data[size:]
            await sink.drain()
            if self.rate_bytes is not None:
                await asyncio.sleep(1 / _PIECES)
