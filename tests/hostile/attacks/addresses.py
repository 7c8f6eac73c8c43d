"""Clients of one address that come, again and again, whatever they are told."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from contextlib import suppress

from hostile.attack import Seen
from hostile.sockets import HANDSHAKE_HEADERS, POLLING_PATH, Target, read_until, send

#: What each of them asks for, by turns.
_REQUESTS = (
    b"GET /ws/IN HTTP/1.1\r\n%b\r\n" % HANDSHAKE_HEADERS,
    b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % POLLING_PATH.encode(),
    b"GET /sse/IN HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /publish/OUT HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
)


async def connects(target: Target, *, count: int, at_once: int, address: str) -> Seen:
    """So many clients of ``address``, the next one as soon as one is answered; who is let in stays."""
    statuses: Counter[str] = Counter()
    kept: list[socket.socket] = []
    began = time.monotonic()

    async def one(numbers: range) -> None:
        for number in numbers:
            try:
                made = await target.connect(source=address)
            except OSError:
                statuses["none"] += 1
                continue
            answer = b""
            with suppress(OSError):
                await send(made, _REQUESTS[number % len(_REQUESTS)])
                answer = await read_until(made, b"\r\n\r\n")
            status = answer[9:12].decode() or "none"
            if status == "200" and b"event-stream" in answer:
                if b"retry:" not in answer:
                    with suppress(OSError):
                        answer += await read_until(made, b"\n\n")
                status = "stream refused" if b"wsgw:error" in answer else "stream"
            statuses[status] += 1
            if status in ("101", "stream"):
                kept.append(made)
            else:
                made.close()

    await asyncio.gather(*(one(range(first, count, at_once)) for first in range(at_once)))
    seconds = time.monotonic() - began
    for made in kept:
        made.close()
    return {"statuses": statuses, "each_second": round(count / seconds)}
