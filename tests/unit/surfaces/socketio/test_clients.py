"""Stock clients: npm socket.io-client and python-socketio, by polling, WebSocket and with the upgrade between them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import socketio

from helpers import node
from wsgw.protocols.socketio.arguments import Json

from .conftest import Board, until

TRANSPORTS = ["polling", "websocket", "polling,websocket"]
CLIENTS = 8
EVENTS = 500


#: Options of socket.io-client by which it speaks as few clients do.
OPTIONS = {"as it comes": "{}", "binary as text": '{"forceBase64":true}', "a subprotocol": '{"protocols":["x","y"]}'}


async def publish_until_finished(board: Board) -> None:
    """Numbers without a pause, every third as binary, until every client has emitted ``finished``."""
    i = 0
    while sum(event[0] == "finished" for event in board.events) < CLIENTS:
        board.publish(b"%s%d" % (b"" if i % 3 else b"\xff", i))
        i += 1
        await asyncio.sleep(0 if i % 7 else 0.001)
    board.publish(b"end")


def number(payload: Any) -> int:
    """The number in an event of clients.cjs: a string, an object or bytes."""
    if isinstance(payload, Json):
        value = json.loads(payload.raw)["i"]
        assert isinstance(value, int)
        return value
    return int(payload)


@pytest.mark.parametrize("transports", TRANSPORTS)
@pytest.mark.parametrize("options", OPTIONS)
async def test_npm_client_loses_repeats_and_reorders_nothing(board: Board, transports: str, options: str) -> None:
    publisher = asyncio.ensure_future(publish_until_finished(board))
    try:
        script = Path(__file__).with_name("clients.cjs")
        out = await node.run(script, board.url, transports, str(CLIENTS), str(EVENTS), OPTIONS[options])
    finally:
        publisher.cancel()
        await asyncio.gather(publisher, return_exceptions=True)
    for line in out.splitlines():
        client = json.loads(line)
        assert client["transport"] == transports.split(",")[-1]
        assert client["ordered"]
        assert client["got"], "nothing came while it was connected"
        assert client["got"] == list(range(client["got"][0], client["got"][-1] + 1))
        sent = [number(event[1]) for event in board.events if event[0] == f"n{client['id']}"]
        assert sent == list(range(EVENTS))
    assert len(out.splitlines()) == CLIENTS
    await until(lambda: all(handler.code is not None for handler in board.handlers))
    assert sorted(auth.raw for auth in board.auths if auth) == sorted(f'{{"token":{id}}}' for id in range(CLIENTS))


@pytest.mark.parametrize("transports", TRANSPORTS)
async def test_python_client(board: Board, transports: str) -> None:
    client = socketio.AsyncClient(reconnection=False)
    got: list[Any] = []
    client.on("IN", got.append)
    echoed: list[Any] = []
    client.on("echoed", lambda *args: echoed.append(args))
    await client.connect(board.url.removesuffix("/socket.io/"), transports=transports.split(","), auth={"token": 1})
    try:
        assert client.transport() == transports.split(",")[-1]
        assert await client.call("ask", ("a", b"\xff", {"b": [1.5, None]})) == ("a", b"\xff", {"b": [1.5, None]})
        for i in range(1000):  # a client by polling sends them in few POSTs, and must get them in answers of 16
            await client.emit("echo", str(i))
        await until(lambda: len(echoed) == 1000)
        assert echoed == [(str(i),) for i in range(1000)]
        board.publish(*[str(i).encode() for i in range(100)], b"\xff\x00", "é".encode())
        await until(lambda: len(got) == 102)
        assert got == [*(str(i) for i in range(100)), b"\xff\x00", "é"]
    finally:
        await client.disconnect()
    await until(lambda: board.handlers[0].code in (1000, 1005))


async def test_python_client_is_refused(board: Board) -> None:
    client = socketio.AsyncClient(reconnection=False)
    reasons: list[Any] = []
    client.on("connect_error", reasons.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(board.url.removesuffix("/socket.io/"), auth={"refuse": True})
    assert reasons == [{"message": "not you", "data": {"code": 1}}]
    await client.disconnect()
