"""Sessions that have not connected: how many there may be, what they count, and what else a session keeps."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from helpers.metrics import value
from wsgw.fanout.frames import Message
from wsgw.protocols.engineio import packets as engineio
from wsgw.protocols.engineio.packets import RequestRefused
from wsgw.protocols.floods import FLOOD_SECONDS, MOST_PER_SECOND
from wsgw.shares import slices
from wsgw.surfaces.socketio import engineio as engineio_module
from wsgw.surfaces.socketio.session import LEAST_HELD_BYTES, POLLING_BYTES, SESSION_BYTES
from wsgw.surfaces.socketio.websocket import WebSocketEnd

from .conftest import until
from .endpoint import Endpoint, FakeLink, polling

HANDSHAKE: dict[str, Any] = {"type": "http", "method": "GET", "query_string": b"EIO=4&transport=polling"}
LIMITED = {"unconnected_sessions": 3}


def codes(endpoint: Endpoint) -> list[int | None]:
    return [service.code for service in endpoint.services]


async def test_beyond_the_bound_the_oldest_ends() -> None:
    endpoint = Endpoint(LIMITED)
    endpoint.accepting = False
    sessions = [endpoint.open(websocket=False) for _ in range(3)]
    assert codes(endpoint) == [None] * 3
    sessions[1].accepted()
    endpoint.open(websocket=True)
    assert codes(endpoint) == [None] * 4
    endpoint.open(websocket=False)
    endpoint.open(websocket=False)
    assert codes(endpoint) == [1013, None, 1013, None, None, None]
    assert value(endpoint.metrics, "wsgw_rejected_total", reason="too_many_sessions") == 2
    endpoint.services[3].connection.fail(1000)
    endpoint.open(websocket=False)
    assert codes(endpoint)[4:] == [None] * 3
    for service in endpoint.services:
        service.connection.fail(1000)
    assert not endpoint.server._unconnected


async def test_beyond_the_bound_of_bytes_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engineio_module, "MAX_UNCONNECTED_BYTES", 100_000)
    endpoint = Endpoint()
    endpoint.accepting = False
    sessions = [endpoint.open(websocket=False, headers=((b"cookie", bytes(60_000)),)) for _ in range(2)]
    sessions[0].accepted()
    endpoint.open(websocket=False, headers=((b"cookie", bytes(60_000)),))
    assert codes(endpoint) == [None] * 3
    endpoint.open(websocket=False)
    assert codes(endpoint) == [None, 1013, None, None]
    for service in endpoint.services:
        service.connection.fail(1000)
    assert endpoint.server._unconnected_bytes == 0


async def test_they_count_until_they_are_connected() -> None:
    endpoint = Endpoint()
    endpoint.accepting = False
    memory = endpoint.server.edge.memory
    small, large = endpoint.open(websocket=False), endpoint.open(websocket=False, headers=((b"cookie", bytes(50_000)),))
    assert 2 * SESSION_BYTES + 50_000 < memory.used_bytes < 2 * SESSION_BYTES + 51_000
    large.accepted()
    assert SESSION_BYTES + POLLING_BYTES <= memory.used_bytes < SESSION_BYTES + POLLING_BYTES + 1000
    small.fail(1000)
    assert memory.used_bytes == POLLING_BYTES
    large.fail(1000)
    assert memory.used_bytes == 0


async def test_the_largest_end_where_memory_is_short() -> None:
    endpoint = Endpoint({"memory": 1024**2})
    endpoint.accepting = False
    small = endpoint.open(websocket=False)
    large = [endpoint.open(websocket=False, headers=((b"cookie", bytes(60_000)),)) for _ in range(17)]
    with pytest.raises(RequestRefused) as refused:
        endpoint.server._find(small.handshake, "polling", "GET")
    assert refused.value.error is not engineio.NO_MEMORY  # it says nothing of a transport
    await endpoint.call(HANDSHAKE)
    assert endpoint.sent[0]["status"] == 503
    assert b"No memory" in endpoint.sent[1]["body"]
    assert len(endpoint.services) == 18
    await until(lambda: 4008 in codes(endpoint))
    assert not endpoint.server.edge.memory.full
    assert endpoint.services[0].code is None
    await endpoint.call(HANDSHAKE)
    assert endpoint.sent[2]["status"] == 200
    for service in endpoint.services:
        service.connection.fail(1000)
    assert large


async def test_a_body_counts_while_it_is_worked_off() -> None:
    endpoint = Endpoint()
    connection = endpoint.open(websocket=False)
    memory = endpoint.server.edge.memory
    connection.hold()
    size = 2 * LEAST_HELD_BYTES
    body = {"type": "http.request", "body": b"\x1e".join([b"4"] * (size // 2))}
    request = asyncio.ensure_future(endpoint.call(polling(connection, "POST"), body))
    await until(lambda: memory.used_bytes > POLLING_BYTES)
    assert memory.used_bytes == connection.held_bytes() == POLLING_BYTES + size - 1
    assert connection in memory._holders
    connection.release()
    await request
    assert memory.used_bytes == POLLING_BYTES
    connection.hold()
    request = asyncio.ensure_future(endpoint.call(polling(connection, "POST"), body))
    await until(lambda: memory.used_bytes > POLLING_BYTES)
    connection.evict()
    await request
    assert endpoint.services[0].code == 4008
    assert memory.used_bytes == 0


async def test_one_on_polling_counts_and_may_be_ended() -> None:
    """It has no connection that would be bounded, and takes memory for as long as its heartbeat allows."""
    endpoint = Endpoint({"memory": 1024**2})
    memory = endpoint.server.edge.memory
    for _ in range(1024**2 // POLLING_BYTES):
        endpoint.open(websocket=False)
    assert memory.used_bytes == 1024**2
    assert endpoint.open(websocket=False) in memory._holders
    await until(lambda: 4008 in codes(endpoint))
    assert memory.used_bytes <= 1024**2
    for service in endpoint.services:
        service.connection.fail(1000)
    assert memory.used_bytes == 0


@pytest.mark.parametrize("upgraded", [True, False])
async def test_one_on_a_websocket_does_not(upgraded: bool) -> None:
    endpoint = Endpoint()
    connection = endpoint.open(websocket=not upgraded)
    end = connection.websocket_opened() if upgraded else connection.use(WebSocketEnd(connection))
    end.opened(FakeLink(end))
    if upgraded:
        end.messages_received([Message(True, b"5")])
    memory = endpoint.server.edge.memory
    assert memory.used_bytes == 0
    assert connection not in memory._holders
    connection.fail(1000)


class Clock:
    """The loop's time, as far as a test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now


@pytest.mark.parametrize("packet", [b"6", b"3", b"0", b"5"])
@pytest.mark.parametrize("websocket", [True, False])
async def test_a_flood_of_needless_packets_ends_the_session(packet: bytes, websocket: bool) -> None:
    endpoint = Endpoint(ping_interval_seconds=1000)
    connection = endpoint.open(websocket=websocket)
    clock = connection._loop = Clock()  # type: ignore[assignment]
    if websocket:
        end = connection.use(WebSocketEnd(connection))
        end.opened(FakeLink(end))

    async def send(count: int) -> None:
        clock.now += 1
        if websocket:
            end.messages_received([Message(True, packet)] * count)
        else:
            body = {"type": "http.request", "body": b"\x1e".join([packet] * count)}
            await endpoint.call(polling(connection, "POST"), body)

    for _ in range(3 * FLOOD_SECONDS):
        await send(MOST_PER_SECOND)
    assert codes(endpoint) == [None]
    for _ in range(FLOOD_SECONDS):
        await send(MOST_PER_SECOND + 1)
    await send(1)
    assert codes(endpoint) == [1008]
    assert value(endpoint.metrics, "wsgw_rejected_total", reason="flood") == 1


async def test_a_stop_closes_many_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint()
    sessions = [endpoint.open(websocket=False) for _ in range(100)]
    monkeypatch.setattr(slices, "monotonic", lambda: math.inf)
    endpoint.server.close_all()
    assert sum(code is not None for code in codes(endpoint)) == 1
    await until(lambda: all(code == 1001 for code in codes(endpoint)))
    for session in sessions:
        session.fail(1000)
    assert await endpoint.server.wait_gone(10)
