"""Clients that send as much as TCP takes, and go on when they are refused, as well-behaved ones do: a moment later."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterator
from contextlib import suppress

from websockets.frames import Opcode

from helpers.flood_wire import FloodWire
from helpers.ledger import Passage, stamped
from helpers.raw import frame
from helpers.waiting import eventually

#: What a client gives to TCP at a time.
CHUNK_BYTES = 16 * 1024
#: What a client waits before it goes on, or connects again, when it was refused.
BACK_OFF_SECONDS = 0.5

_ACK = re.compile(rb'43(\d+)\[(?:true|\{"error":\{"code":"(\w+)",.*\}\})\]')


class WebSocketFlood:
    """A sender on ``/ws/{channel}``: closed by the gateway, it connects again."""

    acked = False

    def __init__(self, port: int, channel: str, number: int, size: int) -> None:
        self._port = port
        self._channel = channel
        self.number = number
        self._size = size
        self._stop = asyncio.Event()
        self.passages: list[Passage] = []

    def stop(self) -> None:
        """Send nothing more; ``run`` returns when everything is answered."""
        self._stop.set()

    async def run(self) -> None:
        """Send until told to stop."""
        for number in itertools.count():
            passage = Passage(self.number, number, acked=self.acked)
            wire = await self.open(passage)
            self.passages.append(passage)
            try:
                await self.enter(wire)
                while not self._stop.is_set() and not wire.closed.done():
                    await self.proceed(wire, passage)
                await self.finish(wire, passage)
                passage.code = await wire.close()
            finally:
                await wire.drop()
            if self._stop.is_set():
                return
            await self.back_off()

    async def open(self, passage: Passage) -> FloodWire:
        return await FloodWire.open(self._port, f"/ws/{self._channel}", lambda message: None)

    async def enter(self, wire: FloodWire) -> None:
        """What comes before the first message."""

    async def proceed(self, wire: FloodWire, passage: Passage) -> None:
        """Send some more."""
        chunk = b"".join(frame(Opcode.TEXT, payload) for _, payload in self.payloads(passage))
        await wire.send(chunk)

    async def finish(self, wire: FloodWire, passage: Passage) -> None:
        """What comes before a close."""

    def payloads(self, passage: Passage) -> Iterator[tuple[int, bytes]]:
        """The next messages, with their numbers."""
        first = passage.sent
        passage.sent += max(1, CHUNK_BYTES // self._size)
        for number in range(first, passage.sent):
            yield number, stamped(self.number, passage.number, number, self._size)

    async def back_off(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), BACK_OFF_SECONDS)


class SocketIOFlood(WebSocketFlood):
    """A sender of Socket.IO events with acks; an error in one of them makes it wait."""

    acked = True

    def __init__(self, port: int, channel: str, number: int, size: int) -> None:
        super().__init__(port, channel, number, size)
        self._connected = asyncio.Event()
        self._refused = False

    async def open(self, passage: Passage) -> FloodWire:
        def received(message: bytes) -> None:
            if ack := _ACK.fullmatch(message):
                number, error = int(ack[1]), (ack[2] or b"").decode()
                assert number not in passage.answers, f"{number} is answered twice"
                passage.answers[number] = error
                self._refused |= bool(error)
            elif message == b"2":  # Engine.IO's heartbeat
                wire.write(frame(Opcode.TEXT, b"3"))
            elif message.startswith(b"40"):
                self._connected.set()
            else:
                assert message.startswith(b"0"), message

        self._connected.clear()
        wire = await FloodWire.open(self._port, "/socket.io/?EIO=4&transport=websocket", received)
        return wire

    async def enter(self, wire: FloodWire) -> None:
        await wire.send(frame(Opcode.TEXT, b"40"))
        await eventually(lambda: self._connected.is_set() or wire.closed.done(), "the answer to CONNECT")

    async def proceed(self, wire: FloodWire, passage: Passage) -> None:
        if self._refused:
            self._refused = False
            await self.back_off()
            return
        start = f'["{self._channel}","'.encode()
        await wire.send(
            b"".join(
                frame(Opcode.TEXT, b'42%d%b%b"]' % (number, start, payload))
                for number, payload in self.payloads(passage)
            )
        )

    async def finish(self, wire: FloodWire, passage: Passage) -> None:
        await eventually(
            lambda: len(passage.answers) == passage.sent or wire.closed.done(),
            f"an answer to each message of {self.number}",
        )


class Flood:
    """Many senders at once; ``async with`` starts them, its end drops them."""

    def __init__(self, port: int, channel: str, *, websockets: int, socketios: int, size: int, first: int = 0) -> None:
        kinds = [WebSocketFlood] * websockets + [SocketIOFlood] * socketios
        self.senders = [kind(port, channel, number, size) for number, kind in enumerate(kinds, first)]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Flood:
        self._tasks = [asyncio.create_task(sender.run()) for sender in self.senders]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def passages(self) -> list[Passage]:
        return [passage for sender in self.senders for passage in sender.passages]

    @property
    def sent(self) -> int:
        return sum([passage.sent for passage in self.passages])

    async def stop(self) -> None:
        """Returns when all have sent, got their answers and closed; raises what went wrong with one of them."""
        for sender in self.senders:
            sender.stop()
        await asyncio.gather(*self._tasks)

    def check_running(self) -> None:
        """Raises what went wrong with one of them."""
        for task in self._tasks:
            if task.done():
                task.result()
