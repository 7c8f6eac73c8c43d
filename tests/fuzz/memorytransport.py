"""A transport without a socket: what a protocol object sees of one, and what it writes, kept up to a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

KEPT_BYTES = 64 * 1024


class MemoryTransport(asyncio.Transport):
    """``protocol`` is who has the connection now. ``data`` is the beginning of what was written."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self.protocol: Any = None
        self.data = bytearray()
        self.lost = False
        self._closing = False
        self._reading = True

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """The connection is made."""
        self.protocol = protocol
        protocol.connection_made(self)

    def lose(self) -> None:
        """The connection is gone; harmless when it is."""
        self._closing = True
        if not self.lost:
            self.lost = True
            self.protocol.connection_lost(None)

    # -- asyncio.Transport

    def write(self, data: Any) -> None:
        if len(self.data) < KEPT_BYTES:
            self.data += data

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        for data in list_of_data:
            self.write(data)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self.lose)

    def abort(self) -> None:
        self.close()

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol  # type: ignore[no-any-return]

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits here."""

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 3007)}.get(name, default)
