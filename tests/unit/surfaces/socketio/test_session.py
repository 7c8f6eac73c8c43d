"""What a live client cannot make happen at will: cancelled requests, links that pause, clients gone at odd moments."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from helpers.fanout import batch
from helpers.metrics import value
from wsgw.channels.channel import Channel, Direction
from wsgw.fanout import outbox
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.protocols.engineio.engine import MAX_PACKETS_AT_ONCE
from wsgw.surfaces.socketio import engineio, session, taking
from wsgw.surfaces.socketio.websocket import WebSocketEnd

from .conftest import until
from .endpoint import WEBSOCKET, Endpoint, FakeLink, polling

PING_INTERVAL_SECONDS = 0.05
CHANNEL = Channel("IN", Direction.INBOUND)


class Clock:
    """The loop, whose time is as a test says."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio.get_running_loop(), name)


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


@pytest.fixture
def one_unit_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is always past what a turn may take."""
    monkeypatch.setattr(engineio, "SMALL_BODY_BYTES", 0)
    monkeypatch.setattr(taking, "monotonic", lambda: math.inf)


@pytest.mark.usefixtures("one_unit_a_turn")
async def test_others_get_a_turn_while_a_post_is_taken() -> None:
    endpoint = Endpoint()
    connection = endpoint.open(websocket=False)
    body = b"\x1e".join([b"4"] * 4 * MAX_PACKETS_AT_ONCE)
    request = asyncio.ensure_future(endpoint.call(polling(connection, "POST"), {"type": "http.request", "body": body}))
    seen = set()
    while not request.done():
        seen.add(len(endpoint.services[0].messages))
        await asyncio.sleep(0)
    assert {n * MAX_PACKETS_AT_ONCE for n in range(5)} <= seen
    connection.fail(1001)


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize(
    ("last", "status", "answer", "code"), [(b"1", 200, b"ok", 1000), (b"9", 400, b'"code":3', 1002)]
)
async def test_a_post_that_ends_the_session(
    monkeypatch: pytest.MonkeyPatch, inline: bool, last: bytes, status: int, answer: bytes, code: int
) -> None:
    """By its last packet, which comes at once or in a turn of its own: it is answered as what it is."""
    monkeypatch.setattr(engineio, "SMALL_BODY_BYTES", 10**6 if inline else 0)
    endpoint = Endpoint()
    connection = endpoint.open(websocket=False)
    body = b"\x1e".join([b"4"] * 4 * MAX_PACKETS_AT_ONCE + [last])
    await endpoint.call(polling(connection, "POST"), {"type": "http.request", "body": body})
    assert endpoint.sent[0]["status"] == status
    assert answer in endpoint.sent[1]["body"]
    assert endpoint.services[0].code == code
    assert len(endpoint.services[0].messages) == 4 * MAX_PACKETS_AT_ONCE


@pytest.mark.usefixtures("one_unit_a_turn")
@pytest.mark.parametrize("stop", [True, False])
async def test_a_session_that_ends_in_the_middle_of_a_post(stop: bool) -> None:
    endpoint = Endpoint()
    connection = endpoint.open(websocket=False)
    body = {"type": "http.request", "body": b"\x1e".join([b"4"] * 100 * MAX_PACKETS_AT_ONCE)}
    request = asyncio.ensure_future(endpoint.call(polling(connection, "POST"), body))
    while not endpoint.services[0].messages:  # noqa: ASYNC110  every tick counts
        await asyncio.sleep(0)
    endpoint.server.close_all() if stop else connection.fail(4008)
    await request
    assert endpoint.sent[0]["status"] == (503 if stop else 400)
    assert (b"Draining" if stop else b"Session ID unknown") in endpoint.sent[1]["body"]
    connection.fail(1000)
    assert endpoint.server.edge.memory.used_bytes == 0


class TestHold:
    async def test_the_answer_to_a_post_waits(self) -> None:
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        endpoint.services[0].on_message = connection.hold
        body = b"\x1e".join([b"4"] * 4 * MAX_PACKETS_AT_ONCE)
        request = asyncio.ensure_future(
            endpoint.call(polling(connection, "POST"), {"type": "http.request", "body": body})
        )
        for unit in range(4):
            count = (unit + 1) * MAX_PACKETS_AT_ONCE
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
        monkeypatch.setattr(session, "MAX_HOLD_SECONDS", 0.05)
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        connection.hold()
        await endpoint.call(polling(connection, "POST"), {"type": "http.request", "body": b"4a\x1e4b"})
        assert endpoint.sent[0]["status"] == 200
        assert endpoint.services[0].messages == ["a", "b"]
        connection.fail(1001)

    async def test_what_is_not_taken_by_then_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(session, "MAX_HOLD_SECONDS", 0.05)
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        connection.hold()
        body = b"\x1e".join([b"4"] * 4 * MAX_PACKETS_AT_ONCE)
        await endpoint.call(polling(connection, "POST"), {"type": "http.request", "body": body})
        assert endpoint.sent[0]["status"] == 503
        assert b"Overloaded" in endpoint.sent[1]["body"]
        assert len(endpoint.services[0].messages) == MAX_PACKETS_AT_ONCE
        assert endpoint.services[0].code == 1013
        assert value(endpoint.metrics, "wsgw_rejected_total", reason="overloaded") == 1
        connection.fail(1001)
        assert endpoint.server.edge.memory.used_bytes == 0

    async def test_each_time_anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A POST may take longer, as long as NATS takes some of it."""
        monkeypatch.setattr(session, "MAX_HOLD_SECONDS", 30)
        endpoint = Endpoint()
        connection = endpoint.open(websocket=False)
        now = connection._loop.time()
        clock = connection._loop = Clock(now)  # type: ignore[assignment]
        endpoint.services[0].on_message = connection.hold
        body = {"type": "http.request", "body": b"\x1e".join([b"4"] * 4 * MAX_PACKETS_AT_ONCE)}
        request = asyncio.ensure_future(endpoint.call(polling(connection, "POST"), body))
        for unit in range(4):
            count = (unit + 1) * MAX_PACKETS_AT_ONCE
            await until(lambda: connection._changed and len(endpoint.services[0].messages) == count)  # noqa: B023
            clock.now += 20
            connection.release()
        await request
        assert endpoint.sent[0]["status"] == 200
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


@pytest.mark.parametrize(
    ("offered", "taken"), [(["", "a", "b"], "a"), ([""], None), ([], None), (["a.token", "bearer"], "bearer")]
)
async def test_a_subprotocol_without_a_name_is_none_and_a_token_is_not_told(
    offered: list[str], taken: str | None
) -> None:
    endpoint = Endpoint()
    gone = {"type": "websocket.disconnect", "code": 1006}
    await endpoint.call({**WEBSOCKET, "subprotocols": offered}, {"type": "websocket.connect"}, gone)
    assert endpoint.sent[0] == {"type": "websocket.accept", "subprotocol": taken}


async def test_a_refused_websocket_where_asgi_has_no_way_to_say_why() -> None:
    endpoint = Endpoint()
    await endpoint.call({**WEBSOCKET, "query_string": b""}, {"type": "websocket.connect"})
    assert endpoint.sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize("code", [4008, 1013, 1006])
async def test_a_link_that_comes_too_late_is_closed_as_its_session_was(code: int) -> None:
    endpoint = Endpoint()
    connection = endpoint.open(websocket=True)
    end = connection.use(WebSocketEnd(connection))
    connection.fail(code)
    link = FakeLink(end)
    end.opened(link)
    assert link.ended == code


async def test_one_that_was_never_its_sessions_broke_the_protocol() -> None:
    endpoint = Endpoint()
    connection = endpoint.open(websocket=False)
    connection.websocket_opened()
    second = connection.websocket_opened()
    second.opened(link := FakeLink(second))
    assert link.ended == 1002
    connection.fail(1000)


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


async def test_a_session_that_was_accepted_has_nothing_due_but_pings() -> None:
    """Its time to connect would else be over for ever, and the timer due at once, again and again."""
    endpoint = Endpoint(connect_timeout_seconds=0.01, ping_interval_seconds=1000.0)
    connection = endpoint.open(websocket=True)
    ticks = 0
    tick = connection._tick

    def counted() -> None:
        nonlocal ticks
        ticks += 1
        tick()

    connection._tick = counted  # type: ignore[method-assign]
    connection._timer.cancel()  # type: ignore[union-attr]
    connection._timer = None
    connection._arm()
    await asyncio.sleep(0.05)
    assert ticks <= 1
    assert connection._timer is not None
    assert connection._timer.when() > asyncio.get_running_loop().time() + 100
    assert endpoint.services[0].code is None
    connection.fail(1000)


async def test_a_probe_ends_in_its_own_time() -> None:
    """And not when a ping is due next."""
    endpoint = Endpoint(ping_interval_seconds=1000.0)
    connection = endpoint.open(websocket=False)
    end = connection.websocket_opened()
    end.opened(link := FakeLink(end))
    now = asyncio.get_running_loop().time()
    assert connection._timer is not None
    assert connection._timer.when() <= now + endpoint.server.timing.probe_timeout
    connection.engine.tick(now + endpoint.server.timing.probe_timeout)
    assert link.ended == 1002
    connection.fail(1000)
