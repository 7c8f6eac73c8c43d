"""What a live client cannot make happen at will: cancelled requests, links that pause, clients gone at odd moments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from helpers.fanout import batch
from wsgw.channels.channel import Channel, Direction
from wsgw.fanout import outbox
from wsgw.fanout.frames import Message
from wsgw.fanout.link import Receiver
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import Batch, Encoded
from wsgw.fanout.sender import Sender
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.socketio.packets import SOCKETIO_WIRE
from wsgw.surfaces.socketio import engineio
from wsgw.surfaces.socketio.engineio import EngineIOServer, Options
from wsgw.surfaces.socketio.session import EngineSession
from wsgw.surfaces.socketio.websocket import WebSocketEnd

from .conftest import until

PING_INTERVAL_SECONDS = 0.05
CHANNEL = Channel("IN", Direction.INBOUND)


class Service:
    """Keeps what it gets."""

    accepted = True

    def __init__(self, connection: EngineSession) -> None:
        self.connection = connection
        self.messages: list[str | bytes] = []
        self.code: int | None = None
        self.on_message: Callable[[], None] = lambda: None

    def message_received(self, data: str | bytes) -> None:
        self.messages.append(data)
        self.on_message()

    def closed(self, code: int) -> None:
        self.code = code


class FakeLink:
    """A link that keeps what it is told; ``full_after`` messages it pauses its receiver."""

    def __init__(self, receiver: Receiver, full_after: int = 1000) -> None:
        self.receiver = receiver
        self.written: list[bytes] = []
        self.full_after = full_after
        self.ended: int | None = None
        self.reading = True

    async def run(self) -> None: ...

    def write(self, item: Encoded) -> None:
        self.written += [message.data for message in item.messages]
        if len(self.written) >= self.full_after:
            self.receiver.writing_paused()

    def write_batch(self, batch: Batch) -> None:
        for item in batch.items:
            self.write(item)

    def buffered_bytes(self) -> int:
        return 0

    def close(self, code: int, reason: str = "") -> None:
        self.ended = self.ended or code

    def abort(self) -> None:
        self.ended = 1006

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def stop_keepalive(self) -> None: ...


class Endpoint:
    """A server whose services can be looked at, and ASGI by hand."""

    def __init__(self, **options: Any) -> None:
        self.services: list[Service] = []
        self.refused: list[str] = []
        self.server = EngineIOServer(
            self.service,
            Options(lambda: 1000, **options),
            open_sender=partial(Sender, SOCKETIO_WIRE, OutboxTotals()),
            rejected=self.refused.append,
        )
        self.sent: list[dict[str, Any]] = []

    def service(self, connection: EngineSession) -> Service:
        self.services.append(Service(connection))
        return self.services[-1]

    def open(self, *, websocket: bool) -> EngineSession:
        self.server._open(Handshake("/socket.io/", b"", (), ""), websocket=websocket)
        return self.services[-1].connection

    async def call(self, scope: dict[str, Any], *events: dict[str, Any] | Exception) -> None:
        """One ASGI call that receives ``events`` and then nothing; an exception is what a send then raises."""
        coming = list(events)

        async def receive() -> Any:
            while not coming or isinstance(coming[0], Exception):
                await asyncio.Event().wait()
            return coming.pop(0)

        async def send(event: Any) -> None:
            if coming and isinstance(coming[0], Exception):
                raise coming[0]
            self.sent.append(event)

        base: dict[str, Any] = {"path": "/socket.io/", "headers": [], "query_string": b"", "client": None}
        await self.server({**base, **scope}, receive, send)


def polling(connection: EngineSession, method: str) -> dict[str, Any]:
    query = f"EIO=4&transport=polling&sid={connection.sid}".encode()
    return {"type": "http", "method": method, "query_string": query}


WEBSOCKET = {"type": "websocket", "query_string": b"EIO=4&transport=websocket"}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_cancelled_request_ends_its_session(method: str) -> None:
    endpoint = Endpoint()
    connection = endpoint.open(websocket=False)
    more = {"type": "http.request", "body": b"4x", "more_body": True}
    request = asyncio.ensure_future(endpoint.call(polling(connection, method), more))
    await until(lambda: connection.engine.polled or connection.engine._posting)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert endpoint.services[0].code == 1006
    assert endpoint.services[0].messages == []
    assert await endpoint.server.wait_gone(1.0)


async def test_others_get_a_turn_while_a_post_is_taken() -> None:
    endpoint = Endpoint()
    connection = endpoint.open(websocket=False)
    body = b"\x1e".join([b"4"] * 400)
    request = asyncio.ensure_future(endpoint.call(polling(connection, "POST"), {"type": "http.request", "body": body}))
    seen = set()
    while not request.done():
        seen.add(len(endpoint.services[0].messages))
        await asyncio.sleep(0)
    assert {0, 100, 200, 300, 400} <= seen
    connection.fail(1001)


class TestHold:
    async def test_the_answer_to_a_post_waits(self) -> None:
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        endpoint.services[0].on_message = connection.hold
        body = b"\x1e".join([b"4"] * 400)
        request = asyncio.ensure_future(
            endpoint.call(polling(connection, "POST"), {"type": "http.request", "body": body})
        )
        for count in (100, 200, 300, 400):
            await until(lambda: len(endpoint.services[0].messages) == count)  # noqa: B023  # awaited in the loop
            for _ in range(10):
                await asyncio.sleep(0)
            assert len(endpoint.services[0].messages) == count
            assert not request.done()
            connection.release()
        await request
        assert endpoint.sent[0]["status"] == 200
        connection.fail(1001)

    async def test_but_not_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engineio, "MAX_HOLD_SECONDS", 0.05)
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        connection.hold()
        await endpoint.call(polling(connection, "POST"), {"type": "http.request", "body": b"4a\x1e4b"})
        assert endpoint.sent[0]["status"] == 200
        assert endpoint.services[0].messages == ["a", "b"]
        connection.fail(1001)

    async def test_and_not_when_the_session_ends(self) -> None:
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        connection.hold()
        body = {"type": "http.request", "body": b"4a"}
        request = asyncio.ensure_future(endpoint.call(polling(connection, "POST"), body))
        await until(lambda: endpoint.services[0].messages)
        connection.fail(4008)
        await request
        assert await endpoint.server.wait_gone(1.0)
        connection.hold()
        connection.release()

    async def test_a_websocket_is_not_read(self) -> None:
        endpoint = Endpoint()
        connection = endpoint.open(websocket=True)
        connection.hold()  # before there is a link
        end = connection.use(WebSocketEnd(connection))
        link = FakeLink(end)
        end.opened(link)
        assert not link.reading
        connection.release()
        assert link.reading
        connection.hold()
        connection.hold()
        assert not link.reading
        connection.fail(1001)
        assert link.reading

    async def test_an_upgrade_while_the_answer_to_a_post_waits(self) -> None:
        """As a client does that is in too much of a hurry: all its packets have been taken, so nothing is lost."""
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        connection.hold()
        end = connection.websocket_opened()
        end.opened(link := FakeLink(end))
        body = {"type": "http.request", "body": b"4a"}
        request = asyncio.ensure_future(endpoint.call(polling(connection, "POST"), body))
        await until(lambda: endpoint.services[0].messages)
        end.messages_received([Message(True, b"2probe"), Message(True, b"5"), Message(True, b"4b")])
        assert not link.reading
        assert not request.done()
        connection.release()
        await request
        assert endpoint.sent[0]["status"] == 200
        assert endpoint.services[0].messages == ["a", "b"]
        assert endpoint.services[0].code is None
        connection.fail(1001)

    async def test_nor_one_that_takes_over(self) -> None:
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        connection.hold()
        end = connection.websocket_opened()
        link = FakeLink(end)
        end.opened(link)
        end.messages_received([Message(True, b"2probe")])
        assert link.reading  # a probe is no message
        end.messages_received([Message(True, b"5")])
        assert not link.reading
        connection.fail(1001)


async def test_a_websocket_that_is_gone_before_its_turn() -> None:
    endpoint = Endpoint()
    await endpoint.call(WEBSOCKET, {"type": "websocket.disconnect", "code": 1006})
    assert endpoint.services == []


async def test_a_websocket_that_is_gone_at_its_accept() -> None:
    endpoint = Endpoint()
    with pytest.raises(ConnectionResetError):
        await endpoint.call(WEBSOCKET, {"type": "websocket.connect"}, ConnectionResetError())
    assert endpoint.services[0].code == 1006
    assert not endpoint.server._sessions


@pytest.mark.parametrize(("offered", "taken"), [(["", "a", "b"], "a"), ([""], None), ([], None)])
async def test_a_subprotocol_without_a_name_is_none(offered: list[str], taken: str | None) -> None:
    endpoint = Endpoint()
    gone = {"type": "websocket.disconnect", "code": 1006}
    await endpoint.call({**WEBSOCKET, "subprotocols": offered}, {"type": "websocket.connect"}, gone)
    assert endpoint.sent[0] == {"type": "websocket.accept", "subprotocol": taken}


async def test_a_refused_websocket_where_asgi_has_no_way_to_say_why() -> None:
    endpoint = Endpoint()
    await endpoint.call({**WEBSOCKET, "query_string": b""}, {"type": "websocket.connect"})
    assert endpoint.sent == [{"type": "websocket.close", "code": 1008}]


async def test_a_link_that_comes_too_late_is_closed() -> None:
    endpoint = Endpoint()
    connection = endpoint.open(websocket=True)
    end = connection.use(WebSocketEnd(connection))
    connection.fail(4008)
    link = FakeLink(end)
    end.opened(link)
    assert link.ended == 1002


async def test_a_full_link_is_written_to_again_when_it_takes_more() -> None:
    endpoint = Endpoint()
    connection = endpoint.open(websocket=True)
    end = connection.use(WebSocketEnd(connection))
    link = FakeLink(end, full_after=2)
    end.opened(link)
    for i in range(4):
        connection.sender.offer(batch(CHANNEL, Encoded(Message(True, b"%d" % i))))
    assert link.written == [b"0", b"1"]
    link.full_after = 1000
    end.writing_resumed()
    assert link.written == [b"0", b"1", b"2", b"3"]
    end.writing_paused()
    connection.send(Message(True, b"last"))
    connection.close(1001)
    assert link.written[-1] == b"last"
    assert link.ended == 1001
    end.writing_resumed()
    end.messages_received([Message(True, b"4late")])
    end.close_received(1001, "")
    assert endpoint.services[0].messages == []


async def test_an_upgrade_to_a_link_that_is_full_already() -> None:
    endpoint = Endpoint()
    connection = endpoint.open(websocket=False)
    end = connection.websocket_opened()
    link = FakeLink(end, full_after=1)
    end.opened(link)
    end.messages_received([Message(True, b"2probe")])
    connection.send(Message(True, b"4x"))
    end.messages_received([Message(True, b"5")])
    connection.send(Message(True, b"4y"))
    assert link.written == [b"3probe", b"4x"]
    end.writing_resumed()
    assert link.written == [b"3probe", b"4x", b"4y"]
    connection.fail(1006)
    assert link.ended == 1006


async def test_a_client_that_takes_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint(ping_interval_seconds=PING_INTERVAL_SECONDS)
    endpoint.open(websocket=False)
    monkeypatch.setattr(outbox, "MAX_CONTROL_ITEMS", 0)
    await until(lambda: endpoint.services[0].code == 4008)


async def test_one_timer_is_kept_while_nothing_is_due_earlier() -> None:
    endpoint = Endpoint(ping_interval_seconds=PING_INTERVAL_SECONDS)
    connection = endpoint.open(websocket=True)
    end = connection.use(WebSocketEnd(connection))
    link = FakeLink(end)
    end.opened(link)
    timer = connection._timer
    for _ in range(10):
        end.messages_received([Message(True, b"4x")])
        end.messages_received([Message(True, b"3")])
    assert connection._timer is timer
    for count in (1, 2, 3):
        await until(lambda: link.written.count(b"2") == count)  # noqa: B023  # awaited in the loop
        end.messages_received([Message(True, b"3")])
    connection.fail(1000)
    assert connection._timer is None
