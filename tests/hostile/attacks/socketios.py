"""Socket.IO clients that send what is refused, or what makes work and says nothing."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import suppress

from websockets.frames import Opcode

from helpers.raw import frame
from hostile.attack import Seen
from hostile.sockets import PATIENCE_SECONDS, SOCKETIO_PATH, Target, pour, read_until, send

_ACK = re.compile(rb'43\d+\[(true|\{"error")')
_NAMES_AT_ONCE = 500
_REFUSED = b'42["n","x"]'
_REFUSED_WITH_ACK = b'421["n","x"]'
_UNITS = {
    "refused": [_REFUSED],
    "refused with acks": [_REFUSED_WITH_ACK],
    "subscriptions": [b'42["wsgw:subscribe","chat.x"]', b'42["wsgw:unsubscribe","chat.x"]'],
    "connect and disconnect": [b"40", b"41"],
    "pongs": [b"3"],
    "needless": [b"6"],
}
#: Within a body of polling: packets are separated by it.
_BETWEEN = b"\x1e"


async def flood(target: Target, *, what: list[str], connections: int, each: int, seconds: float) -> Seen:
    """``each`` rounds of packets of these kinds in turn on so many connections, opened again where they end."""
    deadline = asyncio.get_running_loop().time() + seconds
    seen = {"taken": 0, "ended": 0}

    async def one(kind: str) -> None:
        unit = b"".join(frame(Opcode.TEXT, packet) for packet in _UNITS[kind])
        size = each * len(unit)
        taken = 0
        while taken < size and asyncio.get_running_loop().time() < deadline:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout_at(deadline):
                    made = await (target.websocket(SOCKETIO_PATH) if _UNITS[kind][0] == b"40" else target.socketio())
                with made:
                    now = await pour(made, unit, size - taken, deadline)
                    taken += now
                    if taken == size:  # what was taken by the system is still to be read by the gateway
                        await _read_for(made, deadline)
                    else:
                        seen["ended"] += 1
            await asyncio.sleep(0.01)
        seen["taken"] += taken

    await asyncio.gather(*(one(what[number % len(what)]) for number in range(connections)))
    return dict(seen)


async def many_arguments(target: Target, *, connections: int, arguments: int) -> Seen:
    """One event each with so many arguments; how many of them were answered or ended."""
    packet = frame(Opcode.TEXT, b'421["OUT"' + b",1" * arguments + b"]")

    async def one() -> bool:
        with await target.socketio() as made, suppress(OSError):
            await send(made, packet)
            await read_until(made, b"431[")
        return True

    return {"answered": sum(await asyncio.gather(*(one() for _ in range(connections))))}


async def silent_requests(target: Target, *, connections: int, each: int, seconds: float) -> Seen:
    """So many requests on each connection to a responder that never replies; then the clients wait for a while."""
    unit = frame(Opcode.TEXT, b'421["silent","x"]')
    with await target.connect_nats() as responder:
        await send(responder, b"SUB silent 1\r\n")
        made = [await target.socketio() for _ in range(connections)]
        deadline = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(pour(connection, unit, each * len(unit), deadline) for connection in made))
        await asyncio.gather(*(_read_for(connection, deadline) for connection in made))
        for connection in made:
            connection.close()
    return {"requests": connections * each}


async def names(target: Target, *, count: int, seconds: float) -> Seen:
    """One client subscribes to so many names of a pattern, and keeps them for a while; what its acks said."""
    made, acks = await subscribe(target, count)
    with made:
        await asyncio.sleep(seconds)
    return {"accepted": acks.count(True), "refused": acks.count(False)}


async def subscribe(target: Target, count: int) -> tuple[socket.socket, list[bool]]:
    """A client that has asked for so many names, some at a time, and whether it got each."""
    made = await target.socketio()
    acks: list[bool] = []
    received = b""
    while len(acks) < count:
        asked = range(len(acks), min(count, len(acks) + _NAMES_AT_ONCE))
        packets = [frame(Opcode.TEXT, b'42%d["wsgw:subscribe","chat.n%d"]' % (n, n)) for n in asked]
        await send(made, b"".join(packets))
        answers: list[bytes] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(answers) < len(packets):
                if not (data := await asyncio.get_running_loop().sock_recv(made, 256 * 1024)):
                    return made, acks
                received += data
                answers = _ACK.findall(received)
        received = b""
        acks += [answer == b"true" for answer in answers]
    return made, acks


async def sessions(target: Target, *, count: int, connections: int) -> Seen:
    """So many polling handshakes, and no CONNECT; how many were refused, and what the first and the last get."""
    refused = 0
    paths: list[str] = []

    async def one() -> None:
        nonlocal refused
        for _ in range(count // connections):
            try:
                paths.append(await target.polling(b"Connection: close\r\n"))
            except OSError:
                refused += 1

    await asyncio.gather(*(one() for _ in range(connections)))
    connect = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n40"
    first, last = [await target.ask(connect % path.encode()) for path in (paths[0], paths[-1])]
    return {"sessions": count, "refused": refused, "first": first, "last": last}


async def posts(target: Target, *, what: str, sessions: int, each: int, patience: float) -> Seen:
    """Polling sessions that post so many packets, all at once, and never poll; what they are answered."""
    packets = {"refused": [b"40", *[_REFUSED_WITH_ACK] * each], "connects": [b"40/a,"] * each}[what]
    body = _BETWEEN.join(packets)
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"

    async def one(path: bytes) -> str:
        try:
            return str(await target.ask(head % (path, len(body)) + body, patience))
        except TimeoutError:
            return "held"

    paths = [(await target.polling()).encode() for _ in range(sessions)]
    statuses = await asyncio.gather(*map(one, paths))
    return {"body": len(body), "statuses": {status: statuses.count(status) for status in set(statuses)}}


async def _read_for(connection: socket.socket, deadline: float) -> bytes:
    """What comes until ``deadline``, or until the connection ends."""
    received = bytearray()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout_at(deadline):
            while data := await asyncio.get_running_loop().sock_recv(connection, 256 * 1024):
                received += data
    return bytes(received)
