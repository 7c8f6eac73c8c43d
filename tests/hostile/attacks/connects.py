"""Connections, as many and as fast as can be, from several addresses of this machine, held while there is room."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from contextlib import suppress

from hostile.attack import Seen
from hostile.sockets import HANDSHAKE_HEADERS, POLLING_PATH, SOCKETIO_PATH, Target, reset, send, status

#: What one connection in turn says, and with what it is answered; nothing where nothing is.
KINDS: list[tuple[str, bytes, int | None]] = [
    ("websocket", b"GET /ws/IN HTTP/1.1\r\n%b\r\n" % HANDSHAKE_HEADERS, 101),
    ("socketio", b"GET %b HTTP/1.1\r\n%b\r\n" % (SOCKETIO_PATH.encode(), HANDSHAKE_HEADERS), 101),
    ("polling", b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % POLLING_PATH.encode(), 200),
    ("half a head", b"GET /ws/IN HTTP/1.1\r\nHo", None),
    ("nothing", b"", None),
]
#: Files of this process that are for other things.
_OWN_FILES = 100


def room(spare: int) -> int:
    """How many connections to one process there can be at a time, where it needs ``spare`` files for others."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**30 if files == resource.RLIM_INFINITY else files - max(spare, _OWN_FILES)


async def flood(target: Target, *, count: int, addresses: int, at_once: int, spare: int) -> Seen:
    """``count`` connections from ``addresses`` loopback ones, ``at_once`` being made at a time.

    Those of a batch are held until all of it are there, and then closed or reset in one moment; it is as large as
    files allow, of which the gateway needs ``spare`` for others. Seen is when each batch came (``time.monotonic``).
    """
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    seen: Seen = {"answers": {}, "batches": [], "came": []}
    left = count
    while left:
        batch = min(left, room(spare))
        began = time.monotonic()
        held = await _batch(target, range(left - batch, left), addresses, at_once, seen["answers"])
        seen["came"].append((began, time.monotonic()))
        seen["batches"].append(len(held))
        left -= batch
        for number, made in enumerate(held):
            (reset if number % 2 else socket.socket.close)(made)
        held.clear()
        await target.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")  # they have left
    return seen


async def _batch(
    target: Target, numbers: range, addresses: int, at_once: int, answers: dict[str, dict[str, int]]
) -> list[socket.socket]:
    waiting, held = iter(numbers), []

    async def one() -> None:
        for number in waiting:
            name, request, expected = KINDS[number % len(KINDS)]
            answer = "no answer"
            with suppress(OSError, TimeoutError):
                held.append(made := await target.connect(source=f"127.0.0.{2 + number % addresses}"))
                answer = "held"
                await send(made, request)
                if expected is not None:
                    answer = f"{await status(made)}"
            tally = answers.setdefault(name, {})
            tally[answer] = tally.get(answer, 0) + 1

    await asyncio.gather(*(one() for _ in range(at_once)))
    return held
