"""The upgrade from polling to WebSocket with messages flowing both ways: no gap, no repeat, no reorder.

The client here does by hand what engine.io-client does: before it sends ``5`` it waits for the answers to its poll
and its POST. (test_clients.py has the stock clients.)
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import httpx
from websockets.asyncio.client import ClientConnection, connect

from wsgw.protocols.engineio.packets import NOOP_PACKET

from .conftest import Board

ROUNDS = 40
QUERY = {"EIO": "4", "transport": "polling"}


class Client:
    """Emits numbers as event ``name`` and keeps what it gets on IN, by polling, then through the upgrade."""

    def __init__(self, board: Board, http: httpx.AsyncClient, name: str) -> None:
        self.board = board
        self.http = http
        self.name = name
        self.got: list[int] = []
        self.emitted = 0
        self.query = dict(QUERY)
        self.pausing = False
        self.random = random.Random(name)  # of its own: the order in which they run is not the test's

    async def run(self, before: int, after: int) -> None:
        """At least ``before`` polls before the probe, ``after`` messages by WebSocket after it."""
        answer = await self.http.get("", params=QUERY)
        self.query["sid"] = answer.headers["x-wsgw-sid"]
        await self.http.post("", params=self.query, content="40")
        async with AsyncExitStack() as stack:
            polling = asyncio.ensure_future(self.poll_on())
            posting = asyncio.ensure_future(self.post_on())
            await asyncio.sleep(self.random.random() * before / 1000)
            url = f"{self.board.url.replace('http', 'ws')}?EIO=4&transport=websocket&sid={self.query['sid']}"
            ws = await stack.enter_async_context(connect(url, proxy=None))
            await ws.send("2probe")
            assert await ws.recv() == "3probe"
            self.pausing = True
            await asyncio.gather(polling, posting)
            await ws.send("5")
            await self.exchange(ws, after)
            ws.transport.abort()  # a closing handshake would wait behind all that is still coming

    async def poll_on(self) -> None:
        while not self.pausing:
            for packet in (await self.http.get("", params=self.query)).text.split("\x1e"):
                self.keep(packet)

    async def post_on(self) -> None:
        while not self.pausing:
            body = "\x1e".join(self.next_event() for _ in range(self.random.randrange(1, 40)))
            assert (await self.http.post("", params=self.query, content=body)).text == "ok"

    async def exchange(self, ws: ClientConnection, count: int) -> None:
        for _ in range(count):
            await ws.send(self.next_event())
            self.keep(str(await ws.recv()))

    def next_event(self) -> str:
        self.emitted += 1
        return f'42["{self.name}","{self.emitted}"]'

    def keep(self, packet: str) -> None:
        if packet.startswith("42"):
            self.got.append(int(packet.removeprefix('42["IN","').removesuffix('"]')))
        else:
            assert packet == NOOP_PACKET.data.decode() or packet.startswith("40{")


async def test_nothing_is_lost_repeated_or_reordered(board: Board) -> None:
    async def publish() -> None:
        i = 0
        while True:
            board.publish(*[str(i + k).encode() for k in range(3)])
            i += 3
            await asyncio.sleep(0 if i % 4 else 0.001)

    publishing = asyncio.ensure_future(publish())
    try:
        async with httpx.AsyncClient(base_url=board.url, timeout=60) as http:
            clients = [Client(board, http, f"c{i}") for i in range(ROUNDS)]
            for i in range(0, ROUNDS, 4):
                await asyncio.gather(*[client.run(before=30, after=60) for client in clients[i : i + 4]])
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
    emitted: dict[str, list[int]] = {client.name: [] for client in clients}
    for name, number in board.events:
        emitted[name].append(int(number))
    for client in clients:
        assert client.got
        assert client.got == list(range(client.got[0], client.got[-1] + 1))
        # the last by WebSocket may not have arrived when the client left
        received = emitted[client.name]
        assert received == list(range(1, len(received) + 1))
        assert client.emitted - 60 <= len(received) <= client.emitted
