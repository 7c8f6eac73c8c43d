"""Clients that go at any stage of anything, by a reset or in good order: nobody counts for them afterwards."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Iterator

import pytest

from helpers.identities import Tokens
from helpers.nats_server import NatsServer
from helpers.raw import frame
from helpers.running import Running, running
from helpers.waiting import eventually
from wsgw.access.identity import Identity
from wsgw.protocols.handshake import Handshake

UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
ENGINE = "/socket.io/?EIO=4&transport"
POLLING = f"{ENGINE}=polling"
CONNECT = '40{"token":"a"}'

#: What a client sends, and what it waits for before it goes on; it goes before each of them, and in their middle.
Talk = list[tuple[str | bytes, bytes]]


def head(path: str, *headers: str, method: str = "GET") -> str:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""))


def post(path: str, body: str) -> str:
    return head(path, f"Content-Length: {len(body)}", method="POST") + body


def packet(text: str) -> bytes:
    return frame(1, text.encode())


TALKS: dict[str, Talk] = {
    "websocket": [(head("/ws/BOTH?token=a", *UPGRADE), b"101 "), (packet("x"), b"x"), (frame(8, b"\x03\xe8"), b"\x88")],
    "forbidden": [(head("/ws/BOTH?token=b", *UPGRADE), b"\x88")],
    "unauthenticated": [(head("/ws/BOTH?token=c", *UPGRADE), b"\x88")],
    "origin": [(head("/ws/BOTH?token=a", *UPGRADE, "Origin: http://evil.example"), b"\x88")],
    "stream": [(head("/sse/BOTH?token=a"), b"retry:")],
    "head of a stream": [(head("/sse/BOTH?token=a", method="HEAD"), b"200 ")],
    "no stream": [(head("/sse/nowhere?token=a"), b"404 ")],
    "post": [(post("/publish/OUT?token=a", "x" * 2000), b"202 ")],
    "engine": [
        (head(f"{ENGINE}=websocket", *UPGRADE), b"0{"),
        (packet(CONNECT), b"40{"),
        (packet('420["wsgw:refresh","a"]') + packet('421["wsgw:refresh","b"]'), b"431["),
        (packet("41") + packet(CONNECT), b"40{"),
        (packet("41"), b""),
        (packet("1"), b"\x88"),
    ],
    "refused": [
        (head(f"{ENGINE}=websocket", *UPGRADE), b"0{"),
        (packet('40{"token":"c"}'), b"44{"),
        (packet("40"), b"44{"),
    ],
    "twice": [(head(f"{ENGINE}=websocket", *UPGRADE), b"0{"), (packet(CONNECT) * 2, b"\x88")],
    "polling": [
        (head(POLLING), b"pingInterval"),
        (post(f"{POLLING}&sid=SID", CONNECT), b"ok"),
        (head(f"{POLLING}&sid=SID"), b"40{"),
        (post(f"{POLLING}&sid=SID", "41"), b"ok"),
        (head(f"{POLLING}&sid=SID"), b""),
    ],
}
#: Of a session that a client of "polling" has begun, on another connection.
PROBE: Talk = [
    (head(f"{ENGINE}=websocket&sid=SID", *UPGRADE), b"101 "),
    (packet("2probe"), b"3probe"),
    (packet("5") + packet(CONNECT), b"40{"),
]


class Late(Tokens):
    """It needs some rounds of the loop."""

    async def identify(self, handshake: Handshake, token: str | None = None) -> Identity:
        for _ in range(20):
            await asyncio.sleep(0)
        found = super().identify(handshake, token)
        assert isinstance(found, Identity)
        return found


def stages(talk: Talk) -> Iterator[tuple[int, float]]:
    """After how many steps, and how much of the next one, a client goes."""
    for step in range(len(talk)):
        yield from ((step, 0.0), (step, 0.5), (step, 1.0))
    yield len(talk), 0.0


class Going:
    """A client that goes on the way."""

    def __init__(self, port: int, sid: str = "") -> None:
        self._port = port
        self.sid = sid

    async def talk(self, talk: Talk, steps: int, share: float, *, reset: bool) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            for said, wanted in talk[:steps]:
                await self._send(writer, self._filled(said))
                await self._hear(reader, wanted)
            if share:
                said = self._filled(talk[steps][0])
                await self._send(writer, said[: int(len(said) * share)])
        except ConnectionError:
            assert steps < len(talk)
        finally:
            if reset:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            else:
                writer.close()

    def _filled(self, said: str | bytes) -> bytes:
        return said if isinstance(said, bytes) else said.replace("SID", self.sid).encode()

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    async def _hear(self, reader: asyncio.StreamReader, wanted: bytes) -> None:
        got = b""
        while wanted not in got:
            part = await reader.read(65536)
            if not part:
                raise ConnectionResetError
            got += part
        if b'"sid"' in got and not self.sid:
            self.sid = json.loads(got[got.index(b"0{") + 1 :].partition(b"}")[0] + b"}")["sid"]


async def begun(served: Running) -> str:
    """The sid of a session on polling."""
    answer = await served.http.get(POLLING)
    sid: str = json.loads(answer.text[1:])["sid"]
    return sid


def counted(served: Running) -> dict[str, int]:
    """Connections, by who they count for."""
    seats = served.gateway.edge.seats
    books = filter(None, (seats.users, seats.addresses))
    return {name: entry.connections for book in books for name, entry in book._busy.items()}


@pytest.mark.parametrize("address", [{"connections": 1000}, {}], ids=["by address", "by user"])
async def test_nothing_is_left(nats: NatsServer, address: dict[str, int]) -> None:
    tokens = Late()
    tokens.add("a", "ann", publish=[">"], subscribe=[">"])
    tokens.add("b", "bob")
    limits = {"user": {"connections": 1000}, "address": address}
    async with running(nats.url, authenticator=tokens, trusted_proxies=[], limits=limits) as served:
        port = served.server.port
        for reset in (True, False):
            going = [
                Going(port).talk(talk, *stage, reset=reset) for talk in TALKS.values() for stage in stages(talk)
            ] + [Going(port, await begun(served)).talk(PROBE, *stage, reset=reset) for stage in stages(PROBE)]
            await asyncio.gather(*going)
        served.app.state.socketio.close_all()  # else some on polling are waited for
        await eventually(lambda: counted(served) == {}, "all are gone")
        assert sum(served.gateway.connected.values()) == 0
        assert not served.gateway.sessions
