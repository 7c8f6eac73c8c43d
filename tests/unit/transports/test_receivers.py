"""A fault in a receiver, on both ways from a WebSocket to a link: it is told, and hurts only that one client."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from helpers.link_server import Fault
from helpers.raw_websocket import RawWebSocket, close, text
from helpers.waiting import arrived, eventually
from wsgw.closecodes import INTERNAL_ERROR

Served = Any  # of the conftest


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged with the traceback of a Fault, at error level, to our logger; nothing else may be an error."""
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    for record in errors:
        assert record.name == "wsgw.websocket", record
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], Fault)
        assert record.exc_info[2] is not None
    return [record.getMessage() for record in errors]


async def fill(receiver: Any) -> int:
    """Write until the link's buffer is full; the number of bytes."""
    size = 0
    while "paused" not in receiver.names():
        receiver.write(b"x" * 50_000)
        size += 50_000
        await asyncio.sleep(0)
    return size


async def read_to_close(client: RawWebSocket, size: int) -> int:
    """The code of the close frame behind ``size`` bytes of messages."""
    while size > 0:
        size -= len((await client.receive()).data)
    return (await client.receive_close())[0]


async def test_a_fault_at_a_message(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    client, receiver = await served.open()
    other, other_receiver = await served.open()
    receiver.failing = {"message"}
    await client.send(text("x"))
    assert await client.receive_close() == (INTERNAL_ERROR, "a fault of the gateway")
    await client.send(text("too late"), close(INTERNAL_ERROR))
    await client.end()
    await receiver.until("lost")
    assert receiver.events == [("message", True, b"x"), ("lost", INTERNAL_ERROR)]
    assert len(faults(caplog)) == 1
    await other.send(text("y"))
    await arrived(other_receiver.messages, 1)
    other_receiver.write("z")
    assert await other.receive() == text("z")


async def test_a_fault_at_a_message_that_came_before_the_accept(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    served.application.opened = lambda receiver: receiver.failing.add("message")
    served.application.may_accept.clear()
    client = await served.client()
    await served.application.asked.wait()
    await client.send(text("early"))
    await asyncio.sleep(0.05)
    served.application.may_accept.set()
    await client.shake_hands()
    assert (await client.receive_close())[0] == INTERNAL_ERROR
    client.close()
    receiver = await served.application.receiver()
    assert await receiver.until("lost") == ("lost", INTERNAL_ERROR)
    assert len(faults(caplog)) == 1


async def test_a_fault_at_the_clients_close(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    client, receiver = await served.open()
    receiver.failing = {"close"}
    await client.send(close(4321))
    # plain ASGI has answered the client by then
    assert (await client.receive_close())[0] == (INTERNAL_ERROR if served.direct else 4321)
    assert await receiver.until("lost") == ("lost", INTERNAL_ERROR)
    await client.end()
    assert receiver.names() == ["close", "lost"]
    assert len(faults(caplog)) == 1


async def test_a_fault_at_a_full_buffer(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    client, receiver = await served.open(receive_buffer_bytes=4096)
    receiver.failing = {"paused"}
    size = await fill(receiver)  # and who writes hears nothing of it
    assert await read_to_close(client, size) == INTERNAL_ERROR
    client.close()
    assert await receiver.until("lost") == ("lost", INTERNAL_ERROR)
    assert receiver.names().count("lost") == 1
    assert len(faults(caplog)) == 1


async def test_a_fault_when_the_buffer_has_room_again(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    client, receiver = await served.open(receive_buffer_bytes=4096)
    receiver.failing = {"resumed"}
    size = await fill(receiver)
    assert await read_to_close(client, size) == INTERNAL_ERROR
    client.close()
    assert await receiver.until("lost") == ("lost", INTERNAL_ERROR)
    assert receiver.names() == ["paused", "resumed", "lost"]
    assert len(faults(caplog)) == 1


async def test_a_fault_at_the_end(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    client, receiver = await served.open()
    receiver.failing = {"lost"}
    client.close()
    await receiver.until("lost")
    await eventually(lambda: faults(caplog), "it is logged")
    await asyncio.sleep(0.02)
    assert receiver.names().count("lost") == 1
    assert len(faults(caplog)) == 1
