"""The keepalive of our protocol class: who is dead goes, and nobody is taken for dead because we did not listen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.frames import Opcode

from helpers.raw_websocket import RawWebSocket, binary, close, pong, serialized, text
from helpers.waiting import arrived, eventually
from wsgw.transports import closing as module
from wsgw.transports.direct import LARGE_READ_BYTES, DirectProtocol

Served = Any  # of the conftest

KEEPALIVE = {"ws_ping_interval": 0.05, "ws_ping_timeout": 0.05}
PATIENT = {"ws_ping_interval": 0.05, "ws_ping_timeout": 0.2}


@asynccontextmanager
async def answering(client: RawWebSocket) -> AsyncIterator[list[bytes]]:
    """While inside, ``client`` answers its pings; they are what is returned."""
    pings: list[bytes] = []

    async def answer() -> None:
        while True:
            frame = await client.receive()
            assert frame.opcode is Opcode.PING
            pings.append(bytes(frame.data))
            await client.send(pong(pings[-1]))

    task = asyncio.get_running_loop().create_task(answer())
    yield pings
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_client_that_does_not_answer(direct: Served) -> None:
    direct.options = KEEPALIVE
    client, receiver = await direct.open()
    assert await receiver.until("lost") == ("lost", 1011)
    assert await client.receive_close() == (1011, "keepalive ping timeout")


async def test_a_client_that_does_not_read(direct: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_TIMEOUT_SECONDS", 0.1)
    direct.options = KEEPALIVE
    _, receiver = await direct.open(receive_buffer_bytes=4096)
    while "paused" not in receiver.names():
        receiver.write(b"x" * 50_000)
        await asyncio.sleep(0)
    assert await receiver.until("lost") == ("lost", 1011)


async def test_it_can_be_stopped(direct: Served) -> None:
    direct.options = KEEPALIVE
    direct.application.opened = lambda receiver: receiver.link.stop_keepalive()
    client, receiver = await direct.open()
    await asyncio.sleep(0.25)
    receiver.write("x")
    assert await client.receive() == text("x")
    assert receiver.events == []


async def test_none_while_closing(direct: Served) -> None:
    direct.options = KEEPALIVE
    client, receiver = await direct.open()
    receiver.link.close(4000)
    assert await client.receive_close() == (4000, "")
    await asyncio.sleep(0.15)
    await client.send(close(4000))
    assert await receiver.until("lost") == ("lost", 4000)


async def test_a_client_that_is_held_back_is_not_taken_for_dead(direct: Served) -> None:
    direct.options = PATIENT
    direct.application.opened = lambda receiver: receiver.link.pause_reading()
    client, receiver = await direct.open()
    async with answering(client) as pings:
        await asyncio.sleep(6 * 0.2)
        assert receiver.events == []
        assert len(pings) == 1  # the next one would be sent on its answer
        receiver.link.resume_reading()
        await arrived(pings, 6)
        await client.send(text("still here"))
        await arrived(receiver.messages, 1)
    # and now no answer any more
    assert await receiver.until("lost") == ("lost", 1011)


async def test_one_that_was_held_back_has_all_its_time_again(direct: Served) -> None:
    direct.options = PATIENT
    client, receiver = await direct.open()
    receiver.link.pause_reading()
    assert (await client.receive()).opcode is Opcode.PING
    for _ in range(3):
        await asyncio.sleep(0.15)
        assert receiver.events == []
        receiver.link.resume_reading()
        released = time.monotonic()
        receiver.link.pause_reading()
    receiver.link.resume_reading()
    assert await receiver.until("lost") == ("lost", 1011)
    assert time.monotonic() - released >= 0.2
    assert await client.receive_close() == (1011, "keepalive ping timeout")


async def test_a_pong_that_waited_unread_counts(direct: Served) -> None:
    direct.options = {"ws_ping_interval": 0.05, "ws_ping_timeout": 0.1}
    client, receiver = await direct.open()
    protocol = receiver.link
    assert isinstance(protocol, DirectProtocol)
    receiver.link.pause_reading()
    frame = await client.receive()
    await client.send(pong(bytes(frame.data)))
    await asyncio.sleep(0.5)
    receiver.link.resume_reading()
    await eventually(lambda: protocol.pending_ping_payload is None, "the pong is heard")
    assert receiver.events == []
    assert protocol.last_ping_rtt < 0.4  # the hold is no part of it, or the next ping would be sent at once


async def test_none_that_rests_after_a_large_read_is_taken_for_dead(direct: Served) -> None:
    direct.options = {"ws_ping_interval": None, "ws_ping_timeout": 0.2}
    client, receiver = await direct.open()
    protocol = receiver.link
    assert isinstance(protocol, DirectProtocol)
    protocol.ping_interval = 0.05
    protocol.send_keepalive_ping()
    protocol.data_received(serialized([binary(bytes(LARGE_READ_BYTES))]))
    assert not protocol.transport.is_reading()
    at = time.monotonic()
    protocol.keepalive_timeout()  # what its timer calls
    assert await receiver.until("lost") == ("lost", 1011)
    assert time.monotonic() - at >= 0.2
    assert (await client.receive()).opcode is Opcode.PING
