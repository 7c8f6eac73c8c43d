"""The keepalive of our protocol class: who is dead goes, and nobody is taken for dead because we did not listen."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest
from websockets.frames import Opcode

from helpers.link_server import Recorder
from helpers.raw_websocket import RawWebSocket, close, pong, serialized, text
from helpers.timers import Timers
from helpers.waiting import arrived, eventually
from wsgw.fanout.frames import Message
from wsgw.fanout.link import CLOSE_TIMEOUT_SECONDS
from wsgw.transports.closing import LINGER_SECONDS
from wsgw.transports.direct import DirectProtocol

Served = Any  # of the conftest

INTERVAL, TIMEOUT = 20.0, 7.0


async def watched(
    direct: Served, receive_buffer_bytes: int | None = None
) -> tuple[RawWebSocket, Recorder, DirectProtocol, Timers]:
    """A client whose keepalive has just begun, and the clock that it goes by."""
    direct.options = {"ws_ping_interval": None}
    client, receiver = await direct.open(receive_buffer_bytes)
    protocol, clock = receiver.link, Timers()
    assert isinstance(protocol, DirectProtocol)
    protocol.loop = clock  # type: ignore[assignment]
    protocol.ping_interval, protocol.ping_timeout = INTERVAL, TIMEOUT
    protocol.start_keepalive()
    return client, receiver, protocol, clock


async def answer(client: RawWebSocket, protocol: DirectProtocol) -> None:
    """Let the client answer the ping that comes next, until that is heard."""
    frame = await client.receive()
    assert frame.opcode is Opcode.PING
    await client.send(pong(bytes(frame.data)))
    await eventually(lambda: protocol.pending_ping_payload is None, "the pong is heard")


async def test_a_client_that_answers_and_then_does_not(direct: Served) -> None:
    client, receiver, protocol, clock = await watched(direct)
    for _ in range(3):
        clock.advance(INTERVAL)
        await answer(client, protocol)
        assert receiver.events == []
    assert protocol._flood is None  # which would cost memory for all that only answer
    clock.advance(INTERVAL)
    assert (await client.receive()).opcode is Opcode.PING
    clock.advance(TIMEOUT - 1)
    assert not protocol.close_sent
    clock.advance(1)
    assert await client.receive_close() == (1011, "keepalive ping timeout")
    clock.advance(LINGER_SECONDS)
    assert await receiver.until("lost") == ("lost", 1011)


async def test_a_pong_that_is_none_of_ours_is_no_answer(direct: Served) -> None:
    client, receiver, _, clock = await watched(direct)
    clock.advance(INTERVAL)
    frame = await client.receive()
    await client.send(pong(), pong(b"\0" + bytes(frame.data)), text("x"))
    await arrived(receiver.messages, 1)
    clock.advance(TIMEOUT)
    assert await client.receive_close() == (1011, "keepalive ping timeout")


@pytest.mark.parametrize("reset", [True, False])
async def test_a_client_that_goes_while_nothing_is_read(direct: Served, reset: bool) -> None:
    """It may be held back for hours, by its rates: its files and its place among connections are not."""
    client, receiver, protocol, clock = await watched(direct)
    protocol.pause_reading()
    if reset:
        client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    clock.advance(INTERVAL)  # by the ping it is found out

    def is_lost() -> bool:
        clock.advance(TIMEOUT)
        return receiver.names() == ["lost"]

    await eventually(is_lost, "it is gone")
    assert receiver.events == [("lost", 1006)]


async def test_a_client_that_does_not_read(direct: Served) -> None:
    _, receiver, _, clock = await watched(direct, receive_buffer_bytes=4096)
    while "paused" not in receiver.names():
        receiver.write(b"x" * 50_000)
        await asyncio.sleep(0)
    clock.advance(INTERVAL + TIMEOUT)
    clock.advance(LINGER_SECONDS)
    assert "lost" not in receiver.names()
    clock.advance(CLOSE_TIMEOUT_SECONDS)
    assert await receiver.until("lost") == ("lost", 1011)


async def test_it_can_be_stopped(direct: Served) -> None:
    client, receiver, _, clock = await watched(direct)
    receiver.link.stop_keepalive()
    clock.advance(10 * INTERVAL)
    receiver.write("x")
    assert await client.receive() == text("x")
    assert receiver.events == []


async def test_none_while_closing(direct: Served) -> None:
    client, receiver, _, clock = await watched(direct)
    clock.advance(INTERVAL - 1)
    receiver.link.close(4000)
    clock.advance(2)
    assert await client.receive_close() == (4000, "")
    await client.send(close(4000))
    await client.end()
    assert await receiver.until("lost") == ("lost", 4000)


async def test_a_client_that_is_held_back_is_not_taken_for_dead(direct: Served) -> None:
    client, receiver, protocol, clock = await watched(direct)
    receiver.link.pause_reading()
    clock.advance(INTERVAL + 6 * TIMEOUT)
    assert receiver.events == []
    receiver.link.resume_reading()
    await answer(client, protocol)
    receiver.write("x")
    assert await client.receive() == text("x")  # one ping: the next one would be sent on its answer
    clock.advance(INTERVAL)
    assert (await client.receive()).opcode is Opcode.PING
    clock.advance(TIMEOUT)
    assert (await client.receive_close())[0] == 1011


async def test_one_that_was_held_back_has_all_its_time_again(direct: Served) -> None:
    client, receiver, protocol, clock = await watched(direct)
    receiver.link.pause_reading()
    clock.advance(INTERVAL)
    assert (await client.receive()).opcode is Opcode.PING
    for _ in range(3):
        clock.advance(TIMEOUT - 1)
        receiver.link.resume_reading()
        receiver.link.pause_reading()
    receiver.link.resume_reading()
    clock.advance(TIMEOUT - 1)
    assert not protocol.close_sent
    clock.advance(1)
    assert await client.receive_close() == (1011, "keepalive ping timeout")


async def test_to_resume_what_was_not_paused_gives_no_time(direct: Served) -> None:
    client, receiver, _, clock = await watched(direct)
    clock.advance(INTERVAL)
    for _ in range(3):
        receiver.link.resume_reading()
        clock.advance(TIMEOUT / 4)
    receiver.link.resume_reading()
    clock.advance(TIMEOUT / 4)
    assert (await client.receive()).opcode is Opcode.PING
    assert await client.receive_close() == (1011, "keepalive ping timeout")


async def test_a_pause_while_no_ping_is_out_waits_for_no_pong(direct: Served) -> None:
    client, receiver, protocol, clock = await watched(direct)
    receiver.link.pause_reading()
    receiver.link.resume_reading()
    clock.advance(INTERVAL - 1)
    assert not protocol.close_sent
    clock.advance(1)
    await answer(client, protocol)


async def test_a_connection_that_is_over_has_no_clock(direct: Served) -> None:
    _, receiver, _, clock = await watched(direct)
    receiver.link.pause_reading()
    clock.advance(INTERVAL)
    receiver.link.abort()
    clock.advance(10 * TIMEOUT)
    receiver.link.resume_reading()
    receiver.link.pause_reading()
    assert [timer for timer in clock.set if not timer.cancelled] == []


async def test_a_pong_that_waited_unread_counts(direct: Served) -> None:
    client, receiver, protocol, clock = await watched(direct)
    receiver.link.pause_reading()
    clock.advance(INTERVAL)
    frame = await client.receive()
    await client.send(pong(bytes(frame.data)))
    clock.advance(10 * TIMEOUT)
    receiver.link.resume_reading()
    clock.advance(1)
    await eventually(lambda: protocol.pending_ping_payload is None, "the pong is heard")
    assert receiver.events == []
    assert protocol.last_ping_rtt == 1  # the hold is no part of it, or the next ping would be sent at once


async def test_one_of_whom_something_waits_to_be_worked_off_is_not_taken_for_dead(direct: Served) -> None:
    client, receiver, protocol, clock = await watched(direct)
    clock.advance(INTERVAL)
    frame = await client.receive()

    def hold(message: Message) -> None:
        receiver.link.pause_reading()
        receiver.on_message = lambda message: None

    receiver.on_message = hold
    protocol.data_received(serialized([text("x")] * 200 + [pong(bytes(frame.data))]))
    receiver.link.resume_reading()
    assert len(receiver.messages) == receiver.messages_at_a_time
    assert not protocol.transport.is_reading()
    clock.advance(3 * TIMEOUT)
    assert not protocol.close_sent
    await eventually(lambda: protocol.pending_ping_payload is None, "the pong is heard")
    assert len(receiver.messages) == 200
