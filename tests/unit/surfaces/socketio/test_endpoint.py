"""The endpoint on the wire: what is answered to which request, and when sessions end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from helpers.metrics import value

from .conftest import Board, until
from .raw import POLLING, Polling, opened, websocket


class TestHandshake:
    async def test_answer(self, board: Board, http: httpx.AsyncClient) -> None:
        answer = await http.get("", params=POLLING)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
        assert answer.headers["cache-control"] == "no-store"
        sid = answer.headers["x-wsgw-sid"]
        assert answer.text == (
            f'0{{"sid":"{sid}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}'
        )
        assert len(board.server._sessions) == 1

    @pytest.mark.parametrize(
        ("method", "query", "code", "reason"),
        [
            ("GET", "", 0, "transport_unknown"),
            ("GET", "EIO=4", 0, "transport_unknown"),
            ("GET", "EIO=4&transport=webtransport", 0, "transport_unknown"),
            ("GET", "EIO=4&transport=polling&sid=none", 1, None),
            ("POST", "EIO=4&transport=polling&sid=none", 1, None),
            ("POST", "EIO=4&transport=polling", 2, "bad_handshake_method"),
            ("PUT", "EIO=4&transport=polling", 2, "bad_handshake_method"),
            ("GET", "EIO=4&transport=websocket", 3, "bad_request"),
            ("GET", "EIO=4&transport=polling&j=0", 3, "bad_request"),
            ("GET", "EIO=3&transport=polling", 5, "unsupported_protocol_version"),
            ("GET", "transport=polling", 5, "unsupported_protocol_version"),
        ],
    )
    async def test_refusals(
        self, board: Board, http: httpx.AsyncClient, method: str, query: str, code: int, reason: str | None
    ) -> None:
        answer = await http.request(method, f"?{query}")
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["code"] == code
        assert not board.server._sessions
        if reason is not None:
            assert value(board.metrics, "wsgw_rejected_total", reason=reason) == 1

    async def test_an_empty_sid_is_none(self, board: Board, http: httpx.AsyncClient) -> None:
        assert (await http.get("?EIO=4&transport=polling&sid=")).text.startswith('0{"sid":')
        assert (await http.get("?EIO=4&transport=polling&sid")).text.startswith('0{"sid":')
        assert (await http.post("?EIO=4&transport=polling&sid=")).json()["code"] == 2
        assert value(board.metrics, "wsgw_rejected_total", reason="bad_handshake_method") == 1

    async def test_j_matters_to_polling_handshakes_only(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        board.publish(b"x")
        assert (await session.get(j="0")).text == '42["IN","x"]'

    @pytest.mark.parametrize("query", ["EIO=3&transport=websocket", "EIO=4&transport=polling", "EIO=4", ""])
    async def test_refused_websocket(self, board: Board, query: str) -> None:
        with pytest.raises(InvalidStatus) as caught:
            await connect(board.url.replace("http", "ws") + "?" + query, proxy=None)
        assert caught.value.response.status_code == 400
        assert b'"code":' in (caught.value.response.body or b"")

    async def test_websocket(self, board: Board) -> None:
        async with websocket(board) as ws:
            answer = json.loads(str(await ws.recv())[1:])
            assert answer["upgrades"] == []
            assert list(answer) == ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]

    async def test_what_the_application_sees_of_the_request(self, board: Board, http: httpx.AsyncClient) -> None:
        answer = await http.get("?EIO=4&transport=polling&channels=A,%C3%A9&x=", headers={"X-Test": "1"})
        await Polling(http, answer.headers["x-wsgw-sid"]).post("40")
        handshake = board.handlers[0].socket.handshake
        assert handshake.path == "/socket.io/"
        assert (handshake.query["channels"], handshake.query["x"]) == ("A,é", "")
        assert handshake.headers["x-test"] == "1"
        assert handshake.client == "127.0.0.1"


class TestPolling:
    async def test_messages_both_ways(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        posted = await session.post('42["echo","é",1.0]\x1e451-["echo",{"_placeholder":true,"num":0}]\x1ebAQID')
        assert posted.headers["content-type"] == "text/html"
        answer = await session.get()
        assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
        assert answer.text == '42["echoed","é",1.0]\x1e451-["echoed",{"_placeholder":true,"num":0}]\x1ebAQID'

    async def test_a_poll_waits_for_what_comes(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        poll = asyncio.ensure_future(session.get())
        await until(lambda: next(iter(board.server._sessions.values())).engine.polled)
        board.publish(b"1", b"2")
        board.publish(b"\xff")
        # all of one tick in one answer
        assert (await poll).text == (
            '42["IN","1"]\x1e42["IN","2"]\x1e451-["IN",{"_placeholder":true,"num":0}]\x1eb/w=='
        )
        assert value(board.metrics, "wsgw_deliveries_total", channel="IN", transport="socketio") == 3

    async def test_all_packets_of_a_post_and_at_most_16_an_answer(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        body = "\x1e".join(f'42["echo",{i}]' for i in range(1000))
        assert (await session.post(body)).text == "ok"
        got: list[str] = []
        while len(got) < 1000:
            packets = (await session.get()).text.split("\x1e")
            assert len(packets) <= 16
            got += packets
        assert got == [f'42["echoed",{i}]' for i in range(1000)]

    async def test_an_answer_is_bounded_in_bytes(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        board.publish(*[b"x" * 700_000] * 3)
        for _ in range(3):
            assert len((await session.get()).content) < 1_000_000

    async def test_a_body_over_the_limit(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        answer = await session.post(b'42["x"]\x1e4' + b"x" * 2_000_000)
        assert (answer.status_code, answer.json()["message"]) == (413, "Payload too large")
        assert (await session.get()).status_code == 400
        assert board.handlers[0].code == 1009
        assert board.events == []

    async def test_a_body_of_the_limit(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        text = "x" * (2_000_000 - len('42["x",""]'))
        assert (await session.post(f'42["x","{text}"]')).status_code == 200
        assert board.events == [("x", text)]

    async def test_broken_packet(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        assert (await session.post('42["x"]\x1eabc\x1e42["y"]')).json()["code"] == 3
        assert (await session.get()).json()["code"] == 1
        assert board.handlers[0].code == 1002
        assert board.events == [("x",)]

    async def test_other_methods(self, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        answer = await http.put("", params={**POLLING, "sid": session.sid})
        assert (answer.status_code, answer.json()["code"]) == (400, 3)

    async def test_a_second_poll_closes(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        first = asyncio.ensure_future(session.get())
        await until(lambda: next(iter(board.server._sessions.values())).engine.polled)
        assert (await session.get()).status_code == 400
        assert (await first).text == "1"
        assert board.handlers[0].code == 1002

    async def test_a_poll_that_is_given_up_closes(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        poll = asyncio.ensure_future(session.get())
        await until(lambda: next(iter(board.server._sessions.values())).engine.polled)
        poll.cancel()
        await until(lambda: board.handlers[0].code == 1006)
        assert not board.server._sessions

    async def test_a_post_that_is_given_up_closes(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        started = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield b'42["x"]\x1e'
            started.set()
            await asyncio.Event().wait()

        post = asyncio.ensure_future(session.post(body()))
        await started.wait()
        await until(lambda: next(iter(board.server._sessions.values())).engine._posting)
        post.cancel()
        await until(lambda: board.handlers[0].code == 1006)
        assert board.events == []

    async def test_the_client_closes(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        poll = asyncio.ensure_future(session.get())
        await until(lambda: next(iter(board.server._sessions.values())).engine.polled)
        assert (await session.post("41\x1e1")).text == "ok"
        assert (await poll).text == "6"
        assert board.handlers[0].code == 1000
        assert not board.server._sessions

    async def test_the_application_closes(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        assert (await session.post('42["bye",1]\x1e42["x"]')).text == "ok"
        assert board.handlers[0].code == 4010
        assert (await session.get()).text == '42["parting",1]\x1e1'
        assert (await session.get()).json()["code"] == 1
        assert board.events == []


class TestTime:
    async def test_no_pong_in_time(self) -> None:
        async with (
            Board().serving(True, ping_interval_seconds=1.0, ping_timeout_seconds=0.5) as board,
            websocket(board) as ws,
            httpx.AsyncClient(base_url=board.url) as http,
        ):
            await opened(ws)
            await Polling.open(http)
            assert await ws.recv() == "2"
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            await until(lambda: [handler.code for handler in board.handlers] == [1006, 1006])
            assert not board.server._sessions

    async def test_no_connect_in_time(self) -> None:
        async with (
            Board().serving(True, connect_timeout_seconds=1.5) as board,
            websocket(board) as silent,
            websocket(board) as ws,
        ):
            await opened(ws)
            await silent.recv()
            with pytest.raises(ConnectionClosed):
                await silent.recv()
            await ws.send('42["echo"]')
            assert await ws.recv() == '42["echoed"]'


class TestDrain:
    async def test_every_client_is_told(self, board: Board, http: httpx.AsyncClient) -> None:
        polled, between = await Polling.open(http), await Polling.open(http)
        poll = asyncio.ensure_future(polled.get())
        await until(lambda: any(connection.engine.polled for connection in board.server._sessions.values()))
        async with websocket(board) as ws:
            await opened(ws)
            board.publish(b"last")
            board.server.close_all()
            assert (await poll).text == '42["IN","last"]\x1e1'
            assert await ws.recv() == '42["IN","last"]'
            with pytest.raises(ConnectionClosed) as caught:
                await ws.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1001
        assert not await board.server.wait_gone(0.01)
        assert (await between.get()).text == '42["IN","last"]\x1e1'
        assert await board.server.wait_gone(10)
        assert [handler.code for handler in board.handlers] == [1001] * 3
        refused = await http.get("", params=POLLING)
        assert refused.status_code == 503
        assert value(board.metrics, "wsgw_rejected_total", reason="draining") == 1
        with pytest.raises(InvalidStatus) as refusal:
            await websocket(board)
        assert refusal.value.response.status_code == 503
