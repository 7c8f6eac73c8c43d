"""Clients as pages have them: they come back, at any of several gateways, and say where they stood.

Another kind of client is a subclass of ``ChaosClient`` in ``KINDS``: fields have some of each, and every fault meets
them. It connects to the port that it is given, for that may be the one of a network with faults.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
from abc import ABC, abstractmethod
from collections import Counter
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection, connect

from chaos.ledger import GAP, Got, number_of, position_of
from helpers.event_stream import EventParser

RECONNECT_SECONDS = (0.02, 0.2)
#: For a connection to be open.
OPEN_SECONDS = 10.0


class ChaosClient(ABC):
    """Follows ``channel`` at one of ``ports`` at a time until ``stop``; ``entries`` is what it got.

    ``far`` says that a network with faults is between it and the gateways. It connects only while ``may_connect`` is
    set. ``ends`` counts what its connections ended with: close codes, names of errors, "lost".
    """

    def __init__(self, ports: list[int], channel: str, chance: random.Random, *, far: bool = False) -> None:
        self.ports = ports
        self.channel = channel
        self.far = far
        self.entries: list[Got] = []
        self.ends: Counter[str] = Counter()
        self.may_connect = asyncio.Event()
        self.may_connect.set()
        #: the highest number of what it got
        self.newest = -1
        self._chance = chance
        self._id = ""
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def joined(self) -> bool:
        """Whether it was connected, and knows where it stands."""
        return bool(self._id)

    @property
    def position(self) -> tuple[str, int]:
        """Where it stands; ("", 0) before it knows."""
        return position_of(self._id) if self._id else ("", 0)

    @abstractmethod
    def cut(self) -> None:
        """Lose the connection, without a word."""

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    # -- for subclasses

    def _opened(self) -> None:  # noqa: B027  most need not know
        """A connection is open."""

    @abstractmethod
    async def _follow(self, port: int) -> None:
        """Connect, from where it stood, and write down what comes until that is over."""

    def _stands(self, id: str) -> None:
        """The client was told where it stands."""
        if not self._id:
            self.entries.append(Got(*position_of(id), payload=None))
        self._id = id

    def _came(self, id: str, payload: bytes) -> None:
        self._id = id
        self.entries.append(Got(*position_of(id), payload))
        self.newest = max(self.newest, number_of(payload))

    # -- inside

    async def _run(self) -> None:
        while True:
            await self.may_connect.wait()
            try:
                await self._follow(self._chance.choice(self.ports))
            except (OSError, EOFError, TimeoutError, websockets.WebSocketException):
                self.ends["lost"] += 1
            await asyncio.sleep(self._chance.uniform(*RECONNECT_SECONDS))


class WebSocketClient(ChaosClient):
    """Plain WebSocket with an envelope and ``after``. As a browser it sends no pings, and takes what comes."""

    _socket: ClientConnection | None = None

    def cut(self) -> None:
        if self._socket is not None:
            self._socket.transport.abort()

    async def _follow(self, port: int) -> None:
        after = f"&after={self._id}" if self._id else ""
        url = f"ws://127.0.0.1:{port}/ws/{self.channel}?envelope=1{after}"
        socket = await connect(
            url, open_timeout=OPEN_SECONDS, proxy=None, compression=None, max_queue=None, ping_interval=None
        )
        self._socket = socket
        self._opened()
        try:
            while True:
                self._said(json.loads(await socket.recv()))
        except websockets.ConnectionClosed:
            self.ends[str(socket.close_code)] += 1
        finally:
            socket.transport.abort()

    def _said(self, said: dict[str, Any]) -> None:
        if said.get("event") == "gap":
            self.entries.append(GAP)
        elif said.get("event") == "joined":
            self._stands(said["id"])
        else:
            payload = said["text"].encode() if "text" in said else base64.b64decode(said["base64"])
            self._came(said["id"], payload)


class SseClient(ChaosClient):
    """As an EventSource: ``Last-Event-ID``, and back after any end."""

    _writer: asyncio.StreamWriter | None = None

    def cut(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()

    async def _follow(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self._writer = writer
        try:
            after = f"Last-Event-ID: {self._id}\r\n" if self._id else ""
            writer.write(f"GET /sse/{self.channel} HTTP/1.0\r\nHost: x\r\n{after}\r\n".encode())
            async with asyncio.timeout(OPEN_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head[:20]:
                self.ends[head[:20].decode()] += 1
                return
            self._opened()
            parser = EventParser()
            while data := await reader.read(65536):
                for event in parser.feed(data):
                    self._said(event.event, event.id, event.data)
                if parser.stands and parser.stands != self._id:
                    self._stands(parser.stands)
            self.ends["lost"] += 1
        finally:
            writer.transport.abort()

    def _said(self, event: str, id: str, data: str) -> None:
        if event == "wsgw:gap":
            self.entries.append(GAP)
        elif event == "wsgw:error":
            self.ends[json.loads(data)["error"]["code"]] += 1
        elif event in ("message", "binary") and id:
            self._came(id, base64.b64decode(data) if event == "binary" else data.encode())


class SocketIOClient(ChaosClient):
    """Connection state recovery as socket.io-client has it: the last pid, and the last argument of the last event."""

    _socket: ClientConnection | None = None
    _pid = ""
    _offset = ""

    def cut(self) -> None:
        if self._socket is not None:
            self._socket.transport.abort()

    async def _follow(self, port: int) -> None:
        url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket&recovery=1&channels={self.channel}"
        socket = await connect(
            url, open_timeout=OPEN_SECONDS, proxy=None, compression=None, max_queue=None, ping_interval=None
        )
        self._socket = socket
        try:
            await socket.send("40" + json.dumps({"pid": self._pid, "offset": self._offset} if self._pid else {}))
            while True:
                packet = str(await socket.recv())
                if packet == "2":
                    await socket.send("3")
                elif packet.startswith("40"):
                    self._opened()
                    self._connected(json.loads(packet[2:])["pid"])
                elif packet.startswith("42"):
                    self._said(*json.loads(packet[2:]))
        except websockets.ConnectionClosed:
            self.ends[str(socket.close_code)] += 1
        finally:
            socket.transport.abort()

    def _connected(self, pid: str) -> None:
        if pid != self._pid:  # for the first time, or not recovered: then an event tells
            self._pid = pid
            self._stands(pid.partition("~")[2])

    def _said(self, name: str, argument: Any, offset: str = "") -> None:
        self._offset = offset
        if name == "wsgw:gap":
            self.entries.append(GAP)
            self._stands(offset)
        else:
            self._came(offset, argument.encode())


KINDS: tuple[type[ChaosClient], ...] = (WebSocketClient, SseClient, SocketIOClient)
