"""WebSockets that never finish what they began: a byte now and then, or as much as may be kept, and no end of it."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from websockets.frames import Opcode

from helpers.raw import frame
from hostile.attack import Seen
from hostile.form import MIB
from hostile.sockets import HANDSHAKE_HEADERS, SOCKETIO_PATH, Target, read_all, reset, send

_LONG = (MIB).to_bytes(8, "big") + b"mask"
#: Where a connection begins, what it sends first, and then again and again.
DRIPS: dict[str, tuple[str, bytes, bytes]] = {
    "a handshake": ("", b"GET /ws/OUT HTTP/1.1\r\n%bCookie: " % HANDSHAKE_HEADERS, b"a"),
    "a frame": ("/ws/OUT", b"\x82\xff" + _LONG, b"x"),
    "a frame of Socket.IO": (SOCKETIO_PATH, b"\x81\xff" + _LONG, b"x"),
    "fragments": ("/ws/OUT", frame(Opcode.TEXT, b"x", fin=False), frame(Opcode.CONT, b"x", fin=False)),
    "a frame's head": ("/ws/OUT", b"\x82", b""),
    "an attachment": (SOCKETIO_PATH, frame(Opcode.TEXT, b"40") + frame(Opcode.TEXT, b'451-["OUT",{}]'), b""),
}
#: What is kept of one that is not complete.
PIECES: dict[str, tuple[str, bytes]] = {
    "fragments": ("/ws/OUT", frame(Opcode.BINARY, bytes(16 * 1024), fin=False)),
    "a frame": ("/ws/OUT", b"\x82\xff" + _LONG),
    "attachments": (SOCKETIO_PATH, frame(Opcode.TEXT, b"40") + frame(Opcode.TEXT, b'459-["OUT",{}]')),
}
_PIECE_BYTES = 16 * 1024
_MORE = {"fragments": frame(Opcode.CONT, bytes(_PIECE_BYTES), fin=False), "a frame": bytes(_PIECE_BYTES)}


async def drip(target: Target, *, what: list[str], each: int, interval: float, seconds: float) -> Seen:
    """``each`` connections of every kind, a byte every ``interval`` seconds; how many were ended within that time.

    Pings are not answered.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds

    async def one(name: str) -> bool:
        path, begin, unit = DRIPS[name]
        with suppress(OSError), await (target.websocket(path) if path else target.connect()) as made:
            reading = asyncio.create_task(read_all(made, seconds))
            try:
                await send(made, begin)
                while loop.time() < deadline and not reading.done():
                    await send(made, unit)
                    await asyncio.wait([reading], timeout=interval)
            finally:
                ended = reading.done()
                reading.cancel()
            return ended
        return True

    ended = await asyncio.gather(*(one(name) for name in what for _ in range(each)))
    return {name: sum(ended[i * each : (i + 1) * each]) for i, name in enumerate(what)}


async def hoard(target: Target, *, connections: int, size: int, seconds: float) -> Seen:
    """All but the end of a message of ``size`` bytes, on so many connections of each kind, held for so many seconds."""
    made: list[socket.socket] = []
    seen = {"taken": 0}

    async def one(name: str) -> None:
        path, begin = PIECES[name]
        more = _MORE.get(name, frame(Opcode.BINARY, bytes(size // 9)))
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(seconds + 2):  # who is not welcome, or not read from, waits no longer
                made.append(connection := await target.websocket(path))
                await send(connection, begin)
                for _ in range((size - 1) // len(more)):
                    await send(connection, more)
                    seen["taken"] += len(more)

    await asyncio.gather(*(one(name) for name in PIECES for _ in range(connections)))
    await asyncio.sleep(seconds)
    for connection in made:
        reset(connection)
    return dict(seen)
