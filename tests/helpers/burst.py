"""Numbered payloads of mixed sizes, and bare clients that read them, stop reading, leave and vanish."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from collections.abc import Sequence
from itertools import pairwise

from websockets.frames import Close, Frame, Opcode

from helpers.gateway import GatewayProcess
from helpers.raw import RawClient, frame

#: Mostly small; some need each of the longer forms of a frame's length.
SIZES = [8] * 20 + [60] * 10 + [300] * 6 + [5_000] * 2 + [40_000] + [100_000]
#: Keeps what the system holds for a client that does not read small on one side at least.
RECEIVE_BUFFER_BYTES = 16 * 1024


def numbered(count: int, seed: int, mark: str = "") -> list[bytes]:
    """Payloads that begin with ``mark`` and their number and hold nothing else; one in eight is no UTF-8."""
    rng = random.Random(seed)
    return [_payload(f"{mark}{number} ".encode(), rng) for number in range(count)]


def _payload(head: bytes, rng: random.Random) -> bytes:
    size = max(len(head), rng.choice(SIZES))
    middle = b"\xff" if rng.randrange(8) == 0 else b""
    return (head + middle + head * (size // len(head)))[: size + len(middle)]


def number_of(payload: bytes) -> int:
    """The number of an unmarked payload."""
    return int(payload.partition(b" ")[0])


def cut(data: bytes, rng: random.Random, around: range) -> list[bytes]:
    """``data`` in parts: at random places, and at each of ``around``, or at 300 of them where they are more."""
    places = {rng.randrange(1, len(data)) for _ in range(100)}
    places.update(around if len(around) <= 300 else rng.sample(around, 300))
    return [data[start:end] for start, end in pairwise([0, *sorted(places), len(data)])]


async def send_cut(client: RawClient, parts: Sequence[bytes]) -> None:
    """Send parts that shall arrive as parts: a reader that is slower than this joins them."""
    for part in parts:
        await client.send_bytes(part)
        await asyncio.sleep(0.001 if len(part) < 64 else 0)


async def received_bytes(client: RawClient) -> bytes:
    """What comes next, as it comes: for so many frames that taking them apart would take long. Empty at the end."""
    return await asyncio.get_running_loop().sock_recv(client._socket, 1024 * 1024)


def reset(client: RawClient) -> None:
    """Drop the connection with a RST: what the gateway still writes fails."""
    client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


class BurstClient(RawClient):
    """A client of one inbound channel; open it with ``subscriber``. ``numbers`` are those of the payloads it got."""

    numbers: list[int]
    #: how many it was told were dropped
    told: int
    socketio: bool

    @classmethod
    async def subscriber(cls, gateway: GatewayProcess, channel: str, *, socketio: bool) -> BurstClient:
        """Plain WebSocket, or Socket.IO over WebSocket."""
        path = f"/socket.io/?EIO=4&transport=websocket&channels={channel}" if socketio else f"/ws/{channel}"
        client = cls(gateway.port, path, RECEIVE_BUFFER_BYTES)
        client.numbers = []
        client.told = 0
        client.socketio = socketio
        await client.connect()
        assert (await client.shake_hands()).status_code == 101
        if socketio:
            await client.say_connect()
        return client

    async def read(self, payloads: Sequence[bytes], count: int) -> None:
        """Receive publications until ``count`` have come in all: the first of ``payloads``, each once and in order."""
        while len(self.numbers) < count:
            await self.read_one(payloads)
            assert self.numbers[-1] == len(self.numbers) - 1, self.numbers[-10:]

    async def read_one(self, payloads: Sequence[bytes]) -> None:
        """Receive a publication: one of ``payloads``, unharmed."""
        payload = await self._payload()
        number = number_of(payload)
        assert payload == payloads[number], f"{number}: {payload[:100]!r}... is not what was published"
        self.numbers.append(number)

    async def leave(self) -> int:
        """Close, and read what is still on its way; the code of the answer."""
        await self.send_bytes(frame(Opcode.CLOSE, Close(1000, "").serialize()))
        return await self.closed()

    async def _payload(self) -> bytes:
        while (received := await self._data()).data == b"2":  # a ping of Engine.IO
            assert self.socketio
        data = bytes(received.data)
        if not self.socketio:
            return data
        event = data.decode()
        if event.startswith("42["):
            name, argument = json.loads(event[2:])
            if name == "wsgw:dropped":
                self.told += argument["dropped"]
                return await self._payload()
            return str(argument).encode()
        assert event.startswith("451-["), event[:100]
        attachment = await self._data()  # directly behind: nothing may come between
        assert attachment.opcode is Opcode.BINARY
        return bytes(attachment.data)

    async def _data(self) -> Frame:
        while (received := await self.receive()).opcode is Opcode.PING:
            pass
        assert received.opcode in (Opcode.TEXT, Opcode.BINARY), received
        return received


class Stall:
    """Reads for a client in a task, and stops and goes on as told."""

    def __init__(self, client: BurstClient, payloads: Sequence[bytes]) -> None:
        self.client = client
        self._reads = asyncio.Event()
        self._reads.set()
        self.task = asyncio.create_task(self._run(payloads))

    def stop(self) -> None:
        """Read nothing more until ``go_on``."""
        self._reads.clear()

    def go_on(self) -> None:
        """Undo ``stop``."""
        self._reads.set()

    async def _run(self, payloads: Sequence[bytes]) -> None:
        while len(self.client.numbers) < len(payloads):
            await self._reads.wait()
            await self.client.read(payloads, len(self.client.numbers) + 1)
