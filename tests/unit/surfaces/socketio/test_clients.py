"""Stock clients: npm socket.io-client and python-socketio, by polling, WebSocket and with the upgrade between them."""

from __future__ import annotations

import asyncio
import json
from base64 import encodebytes
from pathlib import Path
from typing import Any

import httpx
import pytest
import socketio

from helpers import node
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.raw_websocket import text
from helpers.running import running
from helpers.waiting import arrived
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


async def polling_session(http: httpx.AsyncClient) -> str:
    """The URL of a new session by polling."""
    opening = await http.get("/socket.io/?EIO=4&transport=polling&channels=")
    return f"/socket.io/?EIO=4&transport=polling&sid={opening.headers['x-wsgw-sid']}"


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "asgi"])
@pytest.mark.parametrize("size", [0, 1, 57, 58, 100, 1000, 700_000])
async def test_java_client_sends_binary_by_polling(nats: NatsServer, size: int, direct: bool) -> None:
    """engine.io-client-java encodes with Android's default: lines of 76 characters, an end of line behind the last."""
    payload = bytes(range(256)) * (size // 256 + 1)
    payload = payload[:size]
    wrapped = encodebytes(payload)
    assert not payload or (wrapped.endswith(b"\n") and max(map(len, wrapped.splitlines())) <= 76)
    peer = await Peer.connect(nats.url)
    try:
        async with running(nats.url, direct=direct) as served:
            heard = await peer.listen("OUT")
            url = await polling_session(served.http)
            assert (await served.http.post(url, content=b"40")).text == "ok"
            header = b'451-7["OUT",{"_placeholder":true,"num":0}]'
            body = b"\x1e".join([header, b"b" + wrapped, b'42["OUT","after"]'])
            assert (await served.http.post(url, content=body)).text == "ok"
            await arrived(heard, 2)
            assert heard == [payload, b"after"]
            answers = ""
            while "437" not in answers:
                answers += (await served.http.get(url)).text
            assert "437[true]" in answers
            await served.http.post(url, content=b"1")
    finally:
        await peer.close()


async def test_rust_client_emits_right_behind_its_connect(nats: NatsServer) -> None:
    """rust_socketio sends CONNECT and does not wait for the answer to it."""
    peer = await Peer.connect(nats.url)
    try:
        async with running(nats.url) as served:
            heard = await peer.listen("OUT")
            client = await served.websocket("/socket.io/?EIO=4&transport=websocket&channels=IN")
            await client.send(*[text(packet) for packet in ("40", '421["OUT","a"]', '422["OUT","b"]')])
            got = [bytes((await client.receive()).data)[:3] for _ in range(4)]
            assert got == [b'0{"', b"40{", b"431", b"432"]
            url = await polling_session(served.http)
            assert (await served.http.post(url, content=b'40\x1e423["OUT","c"]')).text == "ok"
            await arrived(heard, 3)
            assert heard == [b"a", b"b", b"c"]
            await served.http.post(url, content=b"1")
    finally:
        await peer.close()
