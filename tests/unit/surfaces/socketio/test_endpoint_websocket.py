"""The endpoint over WebSocket: its own sessions, and the upgrade of polling ones."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from .conftest import Board, until
from .raw import Polling, opened, websocket


class TestWebSocket:
    async def test_messages_both_ways(self, board: Board) -> None:
        async with websocket(board) as ws:
            await opened(ws)
            await ws.send('42["echo","é",1.0]')
            assert await ws.recv() == '42["echoed","é",1.0]'
            await ws.send('451-7["ask",{"_placeholder":true,"num":0}]')
            await ws.send(b"\x00\xff")
            assert await ws.recv() == '461-7[{"_placeholder":true,"num":0}]'
            assert await ws.recv() == b"\x00\xff"
            board.publish(b"a", b"\xff")
            assert await ws.recv() == '42["IN","a"]'
            assert await ws.recv() == '451-["IN",{"_placeholder":true,"num":0}]'
            assert await ws.recv() == b"\xff"

    @pytest.mark.parametrize("packet", ["abc", "2", "2probe", "4abc", '42["disconnect"]', "42{}", b"x", '42/no,["x"]'])
    async def test_a_wrong_packet_closes_that_connection_alone(self, board: Board, packet: str | bytes) -> None:
        async with websocket(board) as other, websocket(board) as ws:
            await opened(other)
            await opened(ws)
            await ws.send(packet)
            await ws.send('42["x"]')
            with pytest.raises(ConnectionClosed) as caught:
                await ws.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1002
            await until(lambda: board.handlers[1].code == 1002)
            await other.send('42["echo"]')
            assert await other.recv() == '42["echoed"]'
            assert board.events == []

    async def test_binary_as_text(self, board: Board) -> None:
        """As socket.io-client's ``forceBase64`` sends it."""
        async with websocket(board) as ws:
            await opened(ws)
            await ws.send('451-7["ask",{"_placeholder":true,"num":0}]')
            await ws.send("bAP8=")
            assert await ws.recv() == '461-7[{"_placeholder":true,"num":0}]'
            assert await ws.recv() == b"\x00\xff"

    async def test_the_first_subprotocol_is_taken(self, board: Board) -> None:
        """Browsers fail a connection whose server takes none of those that they offer."""
        async with websocket(board, subprotocols=["a", "b"]) as ws:
            await opened(ws)
            assert ws.subprotocol == "a"
        async with websocket(board) as ws:
            assert ws.subprotocol is None

    async def test_an_empty_sid_and_j_are_no_matter(self, board: Board) -> None:
        url = board.url.replace("http", "ws") + "?EIO=4&transport=websocket&sid=&j=0"
        async with connect(url, proxy=None) as ws:
            await opened(ws)

    async def test_events_before_connect(self, board: Board) -> None:
        async with websocket(board) as ws:
            await ws.recv()
            await ws.send('42["x"]')
            with pytest.raises(ConnectionClosed):
                await ws.recv()
        assert board.handlers == []

    @pytest.mark.parametrize(
        ("how", "codes"),
        # plain ASGI under uvicorn does not tell a loss from a close without a code
        [("close", {1000}), ("leave", {1000}), ("own", {4321}), ("abort", {1006, 1005})],
    )
    async def test_close_codes(self, board: Board, how: str, codes: set[int]) -> None:
        async with websocket(board) as ws:
            await opened(ws)
            if how == "close":
                await ws.send("1")
            elif how == "leave":
                await ws.send("41")
            elif how == "own":
                await ws.close(4321)
            else:
                ws.transport.abort()
            await until(lambda: board.handlers[0].code in codes)

    async def test_the_application_closes(self, board: Board) -> None:
        async with websocket(board) as ws:
            await opened(ws)
            await ws.send('42["bye",1]')
            assert await ws.recv() == '42["parting",1]'
            with pytest.raises(ConnectionClosed) as caught:
                await ws.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 4010

    async def test_connect_may_be_refused_fail_or_be_given_up(
        self, board: Board, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with websocket(board) as ws:
            await ws.recv()
            await ws.send('40{"refuse":1}')
            assert await ws.recv() == '44{"message":"not you","data":{"code":1}}'
            await ws.send('40{"fail":1}')
            assert await ws.recv() == '44{"message":"a fault of the gateway"}'
            assert "ZeroDivisionError" in caplog.text
            await ws.send('40{"wait":1}')
            await until(lambda: len(board.auths) == 3)
        await until(lambda: not board.server._sessions)
        assert board.handlers == []

    async def test_connecting_and_leaving_again_costs_one_task(self, board: Board) -> None:
        """However long ``Namespace.connect`` would take."""
        async with websocket(board) as ws:
            await ws.recv()
            before = len(asyncio.all_tasks())
            for _ in range(500):
                await ws.send('40{"wait":1}')
                await ws.send("41")
            await ws.send('40{"token":1}')
            assert str(await ws.recv()).startswith("40{")
            await until(lambda: len(asyncio.all_tasks()) < before + 10)
            assert len(board.handlers) == 1

    async def test_a_client_that_does_not_read_costs_bounded_memory(self, board: Board) -> None:
        async with websocket(board, max_queue=1, close_timeout=0.1) as ws:
            await opened(ws)
            payload = b"x" * 100_000
            while board.totals.bytes < 5_000_000:
                board.publish(*[payload] * 10)
                await asyncio.sleep(0)
            board.handlers[0].socket.close(1001)
            assert board.totals.bytes == 0


class TestUpgrade:
    async def test_what_is_sent_meanwhile_waits_for_the_upgrade(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        poll = asyncio.ensure_future(session.get())
        async with websocket(board, session.sid) as ws:
            await ws.send("2probe")
            assert await ws.recv() == "3probe"
            assert (await poll).text == "6"
            board.publish(b"1")
            assert (await session.get()).text == "6"
            assert (await session.post('42["echo"]')).text == "ok"
            await ws.send("5")
            assert await ws.recv() == '42["IN","1"]'
            assert await ws.recv() == '42["echoed"]'
            board.publish(b"2")
            assert await ws.recv() == '42["IN","2"]'
            assert (await session.get()).json()["code"] == 3

    async def test_without_a_probe(self, board: Board, http: httpx.AsyncClient) -> None:
        """As an old client for microcontrollers does it."""
        session = await Polling.open(http)
        poll = asyncio.ensure_future(session.get())
        await until(lambda: next(iter(board.server._sessions.values())).engine.polled)
        async with websocket(board, session.sid) as ws:
            await ws.send("5")
            assert (await poll).text == "6"
            await ws.send('42["echo"]')
            assert await ws.recv() == '42["echoed"]'

    async def test_a_noop_behind_the_upgrade(self, board: Board, http: httpx.AsyncClient) -> None:
        """As the Swift client sends it where its POST was slow."""
        session = await Polling.open(http)
        async with websocket(board, session.sid) as ws:
            await ws.send("2probe")
            await ws.recv()
            for packet in ("5", "6", '42["echo"]'):
                await ws.send(packet)
            assert await ws.recv() == '42["echoed"]'

    async def test_a_probe_that_fails_leaves_everything_to_polling(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        async with websocket(board, session.sid) as ws:
            await ws.send("2probe")
            await ws.recv()
            board.publish(b"1")
        await until(lambda: next(iter(board.server._sessions.values())).websocket is None)
        board.publish(b"2")
        assert (await session.get()).text == '42["IN","1"]\x1e42["IN","2"]'

    async def test_only_one_websocket(self, board: Board, http: httpx.AsyncClient) -> None:
        session = await Polling.open(http)
        async with websocket(board, session.sid) as ws:
            await ws.send("2probe")
            await ws.recv()
            async with websocket(board, session.sid) as second:
                with pytest.raises(ConnectionClosed):
                    await second.recv()
            await ws.send("5")
            async with websocket(board, session.sid) as third:
                with pytest.raises(ConnectionClosed):
                    await third.recv()
            await ws.send('42["echo"]')
            assert await ws.recv() == '42["echoed"]'

    async def test_an_unknown_session(self, board: Board) -> None:
        with pytest.raises(InvalidStatus) as caught:
            await websocket(board, "none")
        assert caught.value.response.status_code == 400
