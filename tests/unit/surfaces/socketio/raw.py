"""Engine.IO by hand: one polling session, and WebSockets."""

from __future__ import annotations

import json
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from .conftest import Board

POLLING = {"EIO": "4", "transport": "polling"}


class Polling:
    """One polling session, by hand."""

    def __init__(self, http: httpx.AsyncClient, sid: str) -> None:
        self.http = http
        self.sid = sid

    @classmethod
    async def open(cls, http: httpx.AsyncClient, connect: bool = True) -> Polling:
        answer = await http.get("", params=POLLING)
        session = cls(http, json.loads(answer.text[1:])["sid"])
        if connect:
            assert (await session.post("40")).text == "ok"
            assert (await session.get()).text.startswith('40{"sid":')
        return session

    async def get(self, **more: str) -> httpx.Response:
        return await self.http.get("", params={**POLLING, "sid": self.sid, **more})

    async def post(self, content: Any) -> httpx.Response:
        return await self.http.post("", params={**POLLING, "sid": self.sid}, content=content)


def websocket(board: Board, sid: str | None = None, **more: Any) -> connect:
    url = board.url.replace("http", "ws") + "?EIO=4&transport=websocket" + (f"&sid={sid}" if sid else "")
    return connect(url, proxy=None, **more)


async def opened(ws: ClientConnection) -> None:
    """Through both handshakes."""
    assert str(await ws.recv()).startswith("0{")
    await ws.send("40")
    assert str(await ws.recv()).startswith('40{"sid":')
