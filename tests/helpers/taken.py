"""A connection to NATS as a stream takes it over from the library, without a socket."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace

from wsgw.broker.stream import Stream
from wsgw.fanout.turn import Turn


class Socket:
    """What a stream uses of a transport."""

    def __init__(self) -> None:
        self.protocol: asyncio.BaseProtocol | None = None
        self.told: list[str] = []
        self.closing = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.told.append(f"write {data!r}")

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def abort(self) -> None:
        self.told.append("abort")
        self.closing = True


class Tcp:
    """What the library has of a connection."""

    def __init__(self, reader: asyncio.StreamReader, socket: Socket) -> None:
        self._io_reader = reader
        self._io_writer = SimpleNamespace(transport=socket)


class Taken:
    """A stream, of a connection on which the library has read ``read`` already."""

    def __init__(self, *read: bytes) -> None:
        self.socket = Socket()
        self.fed: list[bytes] = []
        self.ends: list[Exception] = []
        reader = asyncio.StreamReader()
        for data in read:
            if data:
                reader.feed_data(data)
            else:
                reader.feed_eof()
        turn = Turn(asyncio.get_running_loop().call_soon)
        fed, ends = self.fed, self.ends

        def feed(data: bytes, until: float = math.inf) -> bool:
            fed.append(data)
            return False

        def end(error: Exception) -> None:
            ends.append(error)

        self.stream = Stream(Tcp(reader, self.socket), feed, turn, end)  # type: ignore[arg-type]
