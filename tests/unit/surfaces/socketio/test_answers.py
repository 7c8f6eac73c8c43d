"""A client that takes no answers: it is not read any more, and after a while closed. One that is only slow is not.

By polling that is so from one POST to the next: each is taken whole and answered.
"""

from __future__ import annotations

import asyncio
import math

import pytest

from wsgw.fanout.frames import Message
from wsgw.protocols.engineio.packets import NOOP_PACKET
from wsgw.surfaces.socketio import session, taking
from wsgw.surfaces.socketio.session import EngineSession
from wsgw.surfaces.socketio.websocket import WebSocketEnd

from .conftest import until
from .endpoint import Endpoint, FakeLink, polling

MOST = 100
ANSWER = Message(True, b"43[true]")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MAX_UNTAKEN_ITEMS", MOST)
    monkeypatch.setattr(session, "POLLING_SHARE", 1.0)


def body(count: int) -> dict[str, object]:
    return {"type": "http.request", "body": b"\x1e".join([b"4x"] * count)}


def answering(endpoint: Endpoint, connection: EngineSession) -> None:
    endpoint.services[-1].on_message = lambda: connection.send(ANSWER)


async def pause() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class TestPolling:
    async def test_a_post_is_taken_whole_and_the_next_waits(self) -> None:
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        answering(endpoint, connection)
        taken = endpoint.services[0].messages
        await asyncio.wait_for(endpoint.call(polling(connection, "POST"), body(20 * MOST)), 30)
        assert len(taken) == 20 * MOST
        assert endpoint.sent[0]["status"] == 200
        assert connection.is_held
        request = asyncio.ensure_future(endpoint.call(polling(connection, "POST"), body(1)))
        await pause()
        while len(connection.sender) > MOST / 2 + 16:
            assert isinstance(connection.poll(), bytes)
            assert connection.is_held
        await pause()
        assert len(taken) == 20 * MOST
        assert not request.done()
        assert isinstance(connection.poll(), bytes)
        await asyncio.wait_for(request, 30)
        assert len(taken) == 20 * MOST + 1
        assert endpoint.sent[2]["status"] == 200
        assert endpoint.services[0].code is None
        connection.fail(1000)

    async def test_one_with_more_answers_than_a_burst_waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(session, "MAX_POST_ITEMS", 2 * MOST)
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        answering(endpoint, connection)
        request = asyncio.ensure_future(endpoint.call(polling(connection, "POST"), body(10 * MOST)))
        await until(lambda: connection.is_held)
        await pause()
        assert 2 * MOST < len(endpoint.services[0].messages) < 3 * MOST
        assert not request.done()
        connection.websocket_opened().opened(FakeLink(WebSocketEnd(connection)))
        assert connection.websocket is not None
        connection.websocket.messages_received([Message(True, b"2probe")])
        await asyncio.wait_for(request, 30)
        assert len(endpoint.services[0].messages) == 10 * MOST
        connection.fail(1000)

    async def test_one_that_answers_come_after(self) -> None:
        """As acks do: when NATS has said so."""
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        await endpoint.call(polling(connection, "POST"), body(2 * MOST))
        assert not connection.is_held
        for _ in range(2 * MOST):
            connection.send(ANSWER)
        request = asyncio.ensure_future(endpoint.call(polling(connection, "POST"), body(1)))
        await pause()
        assert not request.done()
        assert len(endpoint.services[0].messages) == 2 * MOST
        while connection.is_held:
            connection.poll()
        await asyncio.wait_for(request, 30)
        connection.fail(1000)

    @pytest.mark.parametrize("posts", [1, 2])
    async def test_a_client_that_fetches_nothing_is_closed(self, monkeypatch: pytest.MonkeyPatch, posts: int) -> None:
        monkeypatch.setattr(session, "MAX_UNTAKEN_SECONDS", 0.05)
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        answering(endpoint, connection)
        for _ in range(posts):
            await endpoint.call(polling(connection, "POST"), body(10 * MOST))
        await until(lambda: endpoint.services[0].code == 4008)
        assert [event["status"] for event in endpoint.sent[::2]] == [200, 400][:posts]
        assert len(endpoint.services[0].messages) == 10 * MOST
        assert endpoint.server.edge.memory.used_bytes == 0

    async def test_one_that_fetches_slowly_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(session, "MAX_UNTAKEN_SECONDS", 10.0)
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        for _ in range(2 * MOST):
            connection.send(ANSWER)
        connection.check_answers()
        first = connection._take_by
        assert connection._timer is not None
        assert connection._timer.when() <= first  # and not when a ping is due
        await asyncio.sleep(0.01)
        connection.poll()
        assert connection.is_held
        assert connection._take_by > first
        connection.fail(1000)

    async def test_nats_holds_it_as_well(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Held for both reasons: when the answers are fetched, NATS' bound is left, and none of its time has gone."""
        monkeypatch.setattr(session, "MAX_HOLD_SECONDS", 0.02)
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        for _ in range(2 * MOST):
            connection.send(ANSWER)
        connection.hold()
        request = asyncio.ensure_future(endpoint.call(polling(connection, "POST"), body(1)))
        await asyncio.sleep(0.05)
        assert not request.done()
        while connection._behind:
            connection.poll()
        await asyncio.wait_for(request, 30)
        assert connection.is_held
        assert endpoint.sent[0]["status"] == 200
        connection.fail(1000)


class TestUpgrade:
    """The client sends ``5`` when its POST is answered, and fetches nothing meanwhile."""

    async def probing(self) -> tuple[Endpoint, EngineSession, WebSocketEnd, FakeLink]:
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        answering(endpoint, connection)
        end = connection.websocket_opened()
        end.opened(link := FakeLink(end, full_after=10**6))
        return endpoint, connection, end, link

    async def finish(self, endpoint: Endpoint, connection: EngineSession, end: WebSocketEnd, link: FakeLink) -> None:
        assert endpoint.services[0].code is None
        end.messages_received([Message(True, b"5")])
        assert not connection.is_held
        assert link.reading
        assert link.written == [b"3probe"] + [ANSWER.data] * len(endpoint.services[0].messages)
        connection.fail(1000)

    async def test_a_post_in_flight(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(taking, "monotonic", lambda: math.inf)  # a few packets a turn
        endpoint, connection, end, link = await self.probing()
        request = asyncio.ensure_future(endpoint.call(polling(connection, "POST"), body(100 * MOST)))
        await until(lambda: len(connection.sender) > 2 * MOST)
        end.messages_received([Message(True, b"2probe")])
        assert connection.poll() == NOOP_PACKET.data
        assert not request.done()
        await asyncio.wait_for(request, 30)
        assert endpoint.sent[0]["status"] == 200
        assert len(endpoint.services[0].messages) == 100 * MOST
        await self.finish(endpoint, connection, end, link)

    @pytest.mark.parametrize("probed", [True, False])
    async def test_a_post_that_waited_or_comes(self, probed: bool) -> None:
        endpoint, connection, end, link = await self.probing()
        await endpoint.call(polling(connection, "POST"), body(2 * MOST))
        if probed:
            end.messages_received([Message(True, b"2probe")])
        request = asyncio.ensure_future(endpoint.call(polling(connection, "POST"), body(2 * MOST)))
        await pause()
        if not probed:
            assert not request.done()
            end.messages_received([Message(True, b"2probe")])
        await asyncio.wait_for(request, 30)
        assert endpoint.sent[2]["status"] == 200
        assert len(endpoint.services[0].messages) == 4 * MOST
        await self.finish(endpoint, connection, end, link)

    async def test_one_that_does_not_finish_gets_no_more_time(self) -> None:
        endpoint, connection, end, link = await self.probing()
        await endpoint.call(polling(connection, "POST"), body(2 * MOST))
        end.messages_received([Message(True, b"2probe")])
        assert connection.is_held
        connection.engine.tick(connection.engine.deadline)
        assert connection.engine.state.name == "POLLING"
        assert link.ended == 1002
        assert connection.poll() != NOOP_PACKET.data
        connection.fail(1000)


class TestWebSocket:
    async def open(self, endpoint: Endpoint) -> tuple[EngineSession, WebSocketEnd, FakeLink]:
        connection = endpoint.open(websocket=True)
        answering(endpoint, connection)
        end = connection.use(WebSocketEnd(connection))
        end.opened(link := FakeLink(end))
        return connection, end, link

    async def test_it_is_not_read_until_answers_are_taken(self) -> None:
        connection, end, link = await self.open(Endpoint())
        end.messages_received([Message(True, b"4x")] * 2 * MOST)
        assert link.reading  # they went out
        link.full_after = 0
        end.messages_received([Message(True, b"4x")] * MOST)
        assert link.reading
        end.messages_received([Message(True, b"4x")] * MOST)
        assert not link.reading
        link.full_after = 10**6
        end.writing_resumed()
        assert link.reading
        connection.fail(1000)

    async def test_one_that_takes_nothing_is_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(session, "MAX_UNTAKEN_SECONDS", 0.02)
        endpoint = Endpoint()
        _, end, link = await self.open(endpoint)
        link.buffered = 1000
        end.writing_paused()
        end.messages_received([Message(True, b"4x")] * 2 * MOST)
        await until(lambda: endpoint.services[0].code == 4008)
        assert link.ended == 4008

    async def test_one_that_takes_a_little_is_not(self) -> None:
        endpoint = Endpoint()
        connection, end, link = await self.open(endpoint)
        link.buffered = 1000
        end.writing_paused()
        end.messages_received([Message(True, b"4x")] * 2 * MOST)
        for buffered in (900, 500, 499, 0):
            link.buffered = buffered
            connection._check_taken()
            assert endpoint.services[0].code is None
        connection._check_taken()
        assert endpoint.services[0].code == 4008

    async def test_pongs_may_be_late_meanwhile(self) -> None:
        connection, end, _ = await self.open(Endpoint())
        end.writing_paused()
        end.messages_received([Message(True, b"4x")] * 2 * MOST)
        now = asyncio.get_running_loop().time()
        connection.engine.tick(now + 25)
        connection.engine.tick(now + 60)
        assert connection.engine.state.name == "WEBSOCKET"
        connection.fail(1000)

    async def test_an_upgrade_takes_them(self) -> None:
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        for _ in range(2 * MOST):
            connection.send(ANSWER)
        connection.check_answers()
        assert connection.is_held
        end = connection.websocket_opened()
        end.opened(link := FakeLink(end))
        end.messages_received([Message(True, b"2probe"), Message(True, b"5")])
        assert not connection.is_held
        assert link.reading
        connection.fail(1000)


async def test_more_bytes_than_that_are_too_many_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MAX_UNTAKEN_BYTES", 1000)
    endpoint = Endpoint()
    connection = endpoint.open(websocket=False)
    connection.send(Message(True, bytes(500)))
    connection.check_answers()
    assert not connection.is_held
    connection.send(Message(True, bytes(501)))
    connection.check_answers()
    assert connection.is_held
    connection.fail(1000)


async def test_fewer_may_wait_where_there_is_no_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "POLLING_SHARE", 0.1)
    endpoint = Endpoint()
    connection = endpoint.open(websocket=False)
    for count in range(1, MOST // 10 + 2):
        assert not connection.is_held
        connection.send(ANSWER)
        connection.check_answers()
        assert connection.is_held is (count > MOST // 10)
    connection.fail(1000)
