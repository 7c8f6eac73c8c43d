"""Many clients of a site, cheap ones, of three kinds in turn: plain WebSocket, Socket.IO over one, server-sent events.

Each gets what is published on IN, numbered; those of Socket.IO publish on OUT, with acks.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

from websockets.frames import Opcode

from helpers.proxies import NAME
from helpers.raw import frame
from helpers.waiting import DEADLINE_SECONDS

KINDS = ("websocket", "socketio", "sse")
#: How many connect at a time.
AT_ONCE = 100

_PATHS = {"websocket": "/ws/IN", "socketio": "/socket.io/?EIO=4&transport=websocket&channels=IN", "sse": "/sse/IN"}
_UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
#: A publication's number, whatever the protocol puts around it.
_NUMBER = re.compile(rb"<(\d+)>")


class Member(asyncio.Protocol):
    """One of them. ``came`` is how many publications did, in order; ``acked`` how many of its own were taken."""

    def __init__(self, kind: str, number: int) -> None:
        self.kind = kind
        self.came = 0
        self.acked = 0
        self.fault = ""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._number = number
        self._kept = b""
        self._heads = 1
        self._transport: asyncio.Transport

    def publish(self) -> None:
        self._write(b'42%d["OUT","%d"]' % (self.acked, self._number))

    def close(self) -> None:
        self._transport.abort()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        upgrade = "" if self.kind == "sse" else _UPGRADE
        self._transport.write(f"GET {_PATHS[self.kind]} HTTP/1.1\r\nHost: {NAME}\r\n{upgrade}\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._kept += data
        if self._heads and not self._take_head():
            return
        if self.kind == "sse":
            lines = self._kept.rsplit(b"\n", 1)
            self._kept = lines.pop()
            self._read(b"".join(lines))
            return
        for opcode, payload in self._frames():
            if opcode == Opcode.PING:
                self._transport.write(frame(Opcode.PONG, payload))
            elif opcode == Opcode.CLOSE:
                self._fail(f"closed: {payload[2:]!r}")
            elif payload == b"2":
                self._write(b"3")
            elif payload.startswith(b"0{"):
                self._write(b"40")
            elif payload.startswith(b"40{"):
                self.opened.set_result(None)
            elif payload.startswith(b"43"):
                self.acked += payload.endswith(b"[true]")
            else:
                self._read(payload)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"lost: {error}")

    # -- inside

    def _take_head(self) -> bool:
        head, found, rest = self._kept.partition(b"\r\n\r\n")
        if not found:
            return False
        self._heads, self._kept = 0, rest
        if not head.startswith((b"HTTP/1.1 101 ", b"HTTP/1.1 200 ")):
            self._fail(head.decode("latin-1"))
        elif self.kind != "socketio":
            self.opened.set_result(None)
        return True

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        """What has come whole; a server's frames are not masked, and these are short."""
        while len(self._kept) >= 2:
            size, start = self._kept[1], 2
            if size == 126:
                size, start = int.from_bytes(self._kept[2:4], "big"), 4
            if len(self._kept) < start + size:
                return
            opcode, payload = self._kept[0] & 15, self._kept[start : start + size]
            self._kept = self._kept[start + size :]
            yield opcode, payload

    def _read(self, data: bytes) -> None:
        for found in _NUMBER.finditer(data):
            if int(found[1]) != self.came:
                self._fail(f"{int(found[1])} came where {self.came} was due")
            self.came += 1

    def _write(self, packet: bytes) -> None:
        self._transport.write(frame(Opcode.TEXT, packet))

    def _fail(self, fault: str) -> None:
        self.fault = self.fault or fault
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(fault))


async def connect(port: int, count: int) -> list[Member]:
    """``count`` of them, all of them there; whoever is refused is an error."""
    members: list[Member] = []
    loop = asyncio.get_running_loop()
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            member = Member(KINDS[number % len(KINDS)], number)
            members.append(member)
            make: Callable[[], Member] = partial(_same, member)
            await loop.create_connection(make, "127.0.0.1", port)
            async with asyncio.timeout(DEADLINE_SECONDS * 2):
                await member.opened

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return members


def _same(member: Member) -> Member:
    return member
