"""From a handshake's head to the accept: what is refused, and that nothing of what a client sent early is lost."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest

from helpers.link_server import LinkServer
from helpers.metrics import value
from helpers.raw_websocket import RawWebSocket, binary, close, more, ping, pong, serialized, text
from helpers.upgraded import HEADERS, upgraded
from helpers.waiting import arrived, eventually
from wsgw.transports.accept import refuse
from wsgw.transports.direct import DirectProtocol
from wsgw.transports.upgrading import EARLY_BYTES

Served = Any  # of the conftest


class TestHandshake:
    @pytest.mark.parametrize(
        ("target", "change", "status"),
        [
            (b"/", {b"sec-websocket-key": None}, 400),
            (b"/", {b"sec-websocket-key": b"short"}, 400),
            (b"/", {b"sec-websocket-key": b"\xff" * 24}, 400),
            (b"/", {b"sec-websocket-version": b"8"}, 400),
            (b"/", {b"sec-websocket-version": None}, 400),
            (b"/", {b"connection": b"close"}, 426),
            (b"/", {b"upgrade": b"h2c"}, 426),
            (b"/", {b"connection": b"\xff,,;"}, 400),
        ],
    )
    async def test_one_that_is_none(self, target: bytes, change: dict[bytes, bytes | None], status: int) -> None:
        headers = [(name, data) for name, data in {**HEADERS, **change}.items() if data is not None]
        protocol, transport, metrics = upgraded(target, headers)
        assert transport.data.startswith(b"HTTP/1.1 %d " % status)
        assert b"connection: close" in transport.data.lower()
        assert transport.closed
        assert value(metrics, "wsgw_rejected_total", reason="bad_request") == 1
        protocol.data_received(b"more")
        protocol.shutdown()
        protocol.connection_lost(None)
        assert protocol.held_bytes() == 0

    async def test_the_library_sets_no_limits_to_a_head(self) -> None:
        headers = [*HEADERS.items(), *[(b"x-%d" % number, b"x" * 10_000) for number in range(200)]]
        protocol, transport, _ = upgraded(b"/ws/" + b"a" * 4000, headers)
        assert protocol.scope["headers"] == headers
        assert protocol.held_bytes() > 2_000_000, "a large head counts while the application has not answered"
        protocol.accept(None)
        assert transport.data.startswith(b"HTTP/1.1 101 ")

    async def test_no_application_accepts_by_a_message(self) -> None:
        protocol, _, _ = upgraded()
        with pytest.raises(RuntimeError, match="open_link"):
            await protocol.send({"type": "websocket.accept"})

    @pytest.mark.parametrize("gone", [False, True])
    async def test_an_application_that_answers_nothing(self, gone: bool) -> None:
        """A fault of its, unless the client has gone meanwhile."""
        protocol, transport, _ = upgraded()

        async def silent(*_: object) -> None:
            transport.closed = gone

        protocol.app = silent
        protocol.logger = Mock()  # others' tests may have silenced uvicorn's
        await DirectProtocol.run_asgi(protocol)
        assert protocol.logger.error.called is not gone

    async def test_the_scope_is_uvicorns(self) -> None:
        scopes: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scopes.append({**scope})
            await receive()
            await refuse(scope, send, 503, b"")

        for direct in (True, False):
            server = LinkServer(app, direct=direct, root_path="/root")
            await server.start()
            client = RawWebSocket(server.port, "/ws/caf%C3%A9%2Fx?a=%20b&c")
            headers = {"Sec-WebSocket-Protocol": "a, b", "Cookie": "x" * 5000, "X-Odd": "é"}
            await client.connect(headers=headers)
            assert (await client.shake_hands()).status_code == 503
            client.close()
            await server.stop()
        ours, theirs = scopes
        assert ours["path"] == "/root/ws/café/x"
        assert ours["subprotocols"] == ["a", "b"]
        ours["extensions"].pop("wsgw.direct")
        for scope in scopes:
            assert scope.pop("client")[0] == "127.0.0.1"
            scope.pop("server")
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in (b"host", b"sec-websocket-key")]
        assert ours == theirs


class TestBeforeTheAccept:
    """What a client sends before it has its answer."""

    async def held(self, direct: Served, data: bytes, behind: bytes = b"") -> RawWebSocket:
        """A client that sent ``behind`` with its handshake and then ``data``, all of which the server has read."""
        direct.application.may_accept.clear()
        client: RawWebSocket = await direct.client(behind=behind)
        await direct.application.asked.wait()
        await client.send_bytes(data)
        await eventually(lambda: direct.server.edge.memory.used_bytes == len(behind + data), "the server has read it")
        return client

    async def test_frames_in_the_segment_of_the_handshake(self, direct: Served) -> None:
        client = await direct.client(behind=serialized([text("a"), binary(b"b"), ping(b"p"), text("c", fin=False)]))
        await client.shake_hands()
        await client.send(more(b"d"), text("e"))
        receiver = await direct.application.receiver()
        await arrived(receiver.messages, 4)
        assert [message.data for message in receiver.messages] == [b"a", b"b", b"cd", b"e"]
        assert await client.receive() == pong(b"p")
        assert direct.server.edge.memory.used_bytes == 0

    async def test_all_comes_in_order(self, direct: Served) -> None:
        client = await self.held(direct, serialized([text("2"), text("3", fin=False)]), serialized([text("1")]))
        direct.application.may_accept.set()
        await client.send(more(b"4"), text("5"))
        receiver = await direct.application.receiver()
        await arrived(receiver.messages, 4)
        assert [message.data for message in receiver.messages] == [b"1", b"2", b"34", b"5"]

    async def test_a_message_and_a_close(self, direct: Served) -> None:
        client = await self.held(direct, serialized([text("x"), close(4321, "bye"), text("late")]))
        direct.application.may_accept.set()
        assert await client.receive_close() == (4321, "")
        await client.end()
        receiver = await direct.application.receiver()
        await receiver.until("lost")
        assert receiver.events == [("message", True, b"x"), ("close", 4321, "bye"), ("lost", 4321)]

    async def test_a_violation(self, direct: Served) -> None:
        client = await self.held(direct, serialized([text("x"), more(b"y"), text("late")]))
        direct.application.may_accept.set()
        assert (await client.receive_close())[0] == 1002
        client.close()
        receiver = await direct.application.receiver()
        await receiver.until("lost")
        assert receiver.events == [("message", True, b"x"), ("lost", 1002)]

    @pytest.mark.parametrize("closes", [False, True])
    async def test_the_end_of_the_stream(self, direct: Served, closes: bool) -> None:
        client = await self.held(direct, serialized([text("x"), *([close(4321)] if closes else [])]))
        client.end_stream()
        (protocol,) = direct.server.uvicorn.server_state.connections
        await eventually(lambda: protocol._ended_early, "the server has seen the end")
        direct.application.may_accept.set()
        receiver = await direct.application.receiver()
        if closes:
            assert (await client.receive_close())[0] == 4321
        await client.end()
        await receiver.until("lost")
        middle = [("close", 4321, "")] if closes else []
        assert receiver.events == [("message", True, b"x"), *middle, ("lost", 4321 if closes else 1006)]

    async def test_a_receiver_that_reads_nothing_yet(self, direct: Served) -> None:
        direct.application.opened = lambda receiver: receiver.link.pause_reading()
        await self.held(direct, serialized([text("x")]))
        direct.application.may_accept.set()
        receiver = await direct.application.receiver()
        await asyncio.sleep(0)
        assert receiver.events == []
        assert direct.server.edge.memory.used_bytes > 0
        receiver.link.resume_reading()
        await arrived(receiver.messages, 1)
        assert direct.server.edge.memory.used_bytes == 0

    async def test_more_than_is_kept(self, direct: Served, caplog: pytest.LogCaptureFixture) -> None:
        direct.application.may_accept.clear()
        client = await direct.client()
        await direct.application.asked.wait()
        (protocol,) = direct.server.uvicorn.server_state.connections
        frames = [binary(bytes(1000)) for _ in range(20_000)]
        sending = asyncio.get_running_loop().create_task(client.send(*frames))
        await eventually(lambda: not protocol.transport.is_reading(), "it is not read any more")
        # what is kept is the bound and the read that went over it
        assert EARLY_BYTES < direct.server.edge.memory.used_bytes <= EARLY_BYTES + 256 * 1024
        direct.application.may_accept.set()
        await client.shake_hands()
        receiver = await direct.application.receiver()
        await arrived(receiver.messages, len(frames))
        await sending
        assert direct.server.edge.memory.used_bytes == 0
        assert not [record for record in caplog.records if record.levelname == "ERROR"]

    async def test_who_keeps_most_may_be_ended(self, direct: Served) -> None:
        client = await self.held(direct, bytes(5000))
        memory = direct.server.edge.memory
        memory.limit_bytes = 1000
        memory.add(0)
        await client.end()
        assert memory.used_bytes == 0
        direct.application.may_accept.set()
        await eventually(lambda: direct.application.failures, "the endpoint hears of it")
        assert direct.application.receivers == []

    async def test_one_that_goes_is_noticed(self, direct: Served) -> None:
        client = await self.held(direct, b"")
        client.close()
        await eventually(lambda: not direct.server.uvicorn.server_state.connections, "the loss is noticed")
        direct.application.may_accept.set()
        await eventually(lambda: direct.application.failures, "the endpoint hears of it")
        assert direct.application.receivers == []
