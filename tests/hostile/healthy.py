"""Clients that behave, beside an attack: what they send comes back, and how long that takes is written down."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from websockets.frames import Opcode

from helpers.flood_wire import FloodWire
from helpers.ledger import Ledger, Passage, stamped
from helpers.raw import frame
from helpers.waiting import DEADLINE_SECONDS, eventually

#: Between two messages of one client; sent whether or not those before came back.
INTERVAL_SECONDS = 0.025
PROBE_SECONDS = 0.05
#: Health requests that may wait for their answers at a time.
MOST_PROBES = 100
#: How long they wait in the end for what is missing.
PATIENCE_SECONDS = 60.0
_SIZE = 64
_PROBE = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
_SOCKETIO_PATH = "/socket.io/?EIO=4&transport=websocket&channels=ECHO"


@dataclass
class Times:
    """Round trips: when each began (``time.monotonic``), and how many seconds it took."""

    trips: list[tuple[float, float]] = field(default_factory=list)

    def between(self, start: float, stop: float) -> list[float]:
        """Those that began then, sorted."""
        return sorted(took for began, took in self.trips if start <= began < stop)


def percentile(ordered: list[float], share: float) -> float:
    """The value that ``share`` of ``ordered`` do not exceed; not a number where there is none."""
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


class Echo:
    """A client of the channel ECHO over plain WebSocket: it publishes, and gets what it and the others publish."""

    acked = False

    def __init__(self, port: int, number: int, times: Times) -> None:
        self._port = port
        self._times = times
        self._sent_at: list[float] = []
        self._wire: FloodWire
        self.passage = Passage(number, 0, acked=self.acked)
        #: numbers that came, by sender
        self.heard: dict[int, list[int]] = {}

    async def open(self) -> None:
        self._wire = await FloodWire.open(self._port, "/ws/ECHO", self._echoed)

    def send(self) -> None:
        """The next message."""
        number = self.passage.sent
        self.passage.sent += 1
        self._sent_at.append(time.monotonic())
        self.say(number, stamped(self.passage.sender, 0, number, _SIZE))

    def say(self, number: int, payload: bytes) -> None:
        self._wire.write(frame(Opcode.TEXT, payload))

    @property
    def settled(self) -> bool:
        """Whether all that can be told before a close has been."""
        return self._wire.closed.done() or len(self.heard.get(self.passage.sender, [])) == self.passage.sent

    @property
    def lost(self) -> bool:
        return self._wire.closed.done()

    def give_up(self) -> None:
        """Count what never came back as having taken for ever."""
        came = set(self.heard.get(self.passage.sender, []))
        self._times.trips += [(began, math.inf) for number, began in enumerate(self._sent_at) if number not in came]

    async def close(self) -> None:
        self.passage.code = await self._wire.close()

    async def drop(self) -> None:
        await self._wire.drop()

    def _echoed(self, payload: bytes) -> None:
        sender, _, number = map(int, payload.split(b" ", 3)[:3])
        self.heard.setdefault(sender, []).append(number)
        if sender == self.passage.sender:
            began = self._sent_at[number]
            self._times.trips.append((began, time.monotonic() - began))


class SocketIOEcho(Echo):
    """The same over Socket.IO, with an ack for each message."""

    acked = True

    async def open(self) -> None:
        connected = asyncio.Event()

        def received(packet: bytes) -> None:
            if packet.startswith(b'42["ECHO",'):
                self._echoed(json.loads(packet[2:])[1].encode())
            elif packet.startswith(b"43"):
                number, _, arguments = packet[2:].partition(b"[")
                error = b"" if arguments == b"true]" else json.loads(b"[" + arguments)[0]["error"]["code"].encode()
                self.passage.answers[int(number)] = error.decode()
            elif packet == b"2":
                self._wire.write(frame(Opcode.TEXT, b"3"))
            elif packet.startswith(b"40"):
                connected.set()

        self._wire = await FloodWire.open(self._port, _SOCKETIO_PATH, received)
        self._wire.write(frame(Opcode.TEXT, b"40"))
        async with asyncio.timeout(DEADLINE_SECONDS):
            await connected.wait()

    def say(self, number: int, payload: bytes) -> None:
        self._wire.write(frame(Opcode.TEXT, b'42%d["ECHO","%b"]' % (number, payload)))

    @property
    def settled(self) -> bool:
        return self._wire.closed.done() or (super().settled and len(self.passage.answers) == self.passage.sent)


class Healthy:
    """Two such clients, a subscriber of NATS that keeps the ledger, and one who asks for health on new connections."""

    def __init__(self, port: int, nats_port: int) -> None:
        self._port = port
        self._nats_port = nats_port
        self.health = Times()
        self.echo = Times()
        #: what the answers to health requests were, other than 200
        self.unwell: list[str] = []
        self._echoes = [Echo(port, 0, self.echo), SocketIOEcho(port, 1, self.echo)]
        self._ledger: Ledger
        self._probes: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Healthy:
        self._ledger = await Ledger.connect(self._nats_port, "ECHO")
        for echo in self._echoes:
            await echo.open()
        self._tasks = [
            asyncio.create_task(_regularly(PROBE_SECONDS, self._begin_probe)),
            *(asyncio.create_task(_regularly(INTERVAL_SECONDS, echo.send)) for echo in self._echoes),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop()
        for task in self._probes:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._probes, return_exceptions=True)
        for echo in self._echoes:
            await echo.drop()
        await self._ledger.close()

    async def account(self) -> None:
        """Send nothing more; AssertionError where not everything sent was accepted, echoed to both, and acked."""
        self._stop()
        try:
            await eventually(
                lambda: all(echo.settled for echo in self._echoes) and not self._probes,
                "the healthy clients got their echoes and acks, and health answers",
                PATIENCE_SECONDS,
            )
        finally:
            for echo in self._echoes:
                echo.give_up()
        assert not self.unwell, f"{len(self.unwell)} health requests failed: {self.unwell[:3]}"
        for echo in self._echoes:
            assert not echo.lost, f"the healthy client {echo.passage.sender} lost its connection"
        for echo in self._echoes:
            await echo.close()
            assert echo.passage.code == 1000, echo.passage.code
        await self._ledger.fence()
        told = self._ledger.check([echo.passage for echo in self._echoes])
        assert told["sent"] == told["arrived"] == sum(echo.passage.sent for echo in self._echoes)
        assert set(self._echoes[1].passage.answers.values()) == {""}
        for echo in self._echoes:
            # of the other's, the last may come behind the close
            assert echo.heard[echo.passage.sender] == list(range(echo.passage.sent))
            for numbers in echo.heard.values():
                assert numbers == list(range(len(numbers)))

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _begin_probe(self) -> None:
        if len(self._probes) < MOST_PROBES:
            task = asyncio.create_task(self._probe())
            self._probes.add(task)
            task.add_done_callback(self._probes.discard)

    async def _probe(self) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    writer.write(_PROBE)
                    answer = await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            answer = repr(error).encode()
        if not answer.startswith(b"HTTP/1.1 200 "):
            self.unwell.append(answer[:100].decode(errors="replace"))
        self.health.trips.append((began, time.monotonic() - began))


async def _regularly(seconds: float, call: Callable[[], None]) -> None:
    """Call it for ever, every so many seconds."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        call()
        due = max(due + seconds, loop.time())
        await asyncio.sleep(due - loop.time())
