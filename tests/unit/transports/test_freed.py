"""What ended is freed when it ends: nothing of a connection waits for the collector of cycles."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from helpers.cycles import nothing_left
from helpers.link_server import Recorder
from helpers.raw_websocket import RawWebSocket, close, more, serialized, text
from helpers.waiting import eventually
from wsgw.shares import slices

Served = Any  # of the conftest


async def closed_by_the_client(direct: Served, client: RawWebSocket, receiver: Recorder) -> None:
    await client.send(text("x"), close(1000))
    await client.end()


async def closed_by_the_server(direct: Served, client: RawWebSocket, receiver: Recorder) -> None:
    receiver.link.close(4000)
    await client.send(close(4000))
    await client.end()


async def aborted(direct: Served, client: RawWebSocket, receiver: Recorder) -> None:
    receiver.link.abort()
    await client.end()


async def gone(direct: Served, client: RawWebSocket, receiver: Recorder) -> None:
    client.close()


async def violating(direct: Served, client: RawWebSocket, receiver: Recorder) -> None:
    await client.send(more(b"x"))
    client.close()


async def timed_out(direct: Served, client: RawWebSocket, receiver: Recorder) -> None:
    protocol: Any = receiver.link
    protocol.keepalive_timeout()
    client.close()


async def closed_while_some_waits(direct: Served, client: RawWebSocket, receiver: Recorder) -> None:
    protocol: Any = receiver.link
    protocol.data_received(serialized([text("x")] * 1000 + [text("y", fin=False)]))
    assert len(direct.server.edge.slices) == 1
    receiver.link.abort()
    await client.end()


async def held(direct: Served, client: RawWebSocket, receiver: Recorder) -> None:
    protocol: Any = receiver.link
    receiver.on_message = lambda message: receiver.link.pause_reading()
    protocol.data_received(serialized([text("x")] * 1000))
    receiver.link.abort()
    await client.end()
    receiver.on_message = lambda message: None


ENDS: tuple[Callable[[Served, RawWebSocket, Recorder], Awaitable[None]], ...] = (
    closed_by_the_client,
    closed_by_the_server,
    aborted,
    gone,
    violating,
    timed_out,
    closed_while_some_waits,
    held,
)


async def forgotten(direct: Served) -> None:
    """All connections have ended, and their last callbacks have run."""
    await eventually(lambda: not direct.server.uvicorn.server_state.connections, "the connections have ended")
    await eventually(lambda: not len(direct.server.edge.slices), "nothing queues")
    for _ in range(5):
        await asyncio.sleep(0)
    for receiver in direct.application.receivers:
        vars(receiver).pop("link", None)  # the other half of the cycle is the receiver's to cut
        receiver.messages.clear()
        receiver.events.clear()


async def warmed_up(direct: Served) -> None:
    """What is made once is made."""
    client = await direct.client()
    await direct.application.receiver()
    client.close()
    await forgotten(direct)


@pytest.mark.parametrize("end", ENDS, ids=[end.__name__ for end in ENDS])
async def test_after_the_accept(direct: Served, end: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(slices, "LEAST_SECONDS", 0.0)
    await warmed_up(direct)
    left: list[str] = []
    with nothing_left(left):
        client, receiver = await direct.open()
        await end(direct, client, receiver)
        await receiver.until("lost")
        del client, receiver
        await forgotten(direct)
    assert left == []


@pytest.mark.parametrize("how", ["lost", "refused", "early"])
async def test_before_the_accept(direct: Served, how: str) -> None:
    await warmed_up(direct)
    left: list[str] = []
    with nothing_left(left):
        direct.application.may_accept.clear()
        direct.application.asked.clear()
        headers = {"Sec-WebSocket-Key": "short"} if how == "refused" else None
        client = await direct.client(headers=headers, behind=bytes(5000) if how == "early" else b"")
        if how == "refused":
            assert (await client.shake_hands()).status_code == 400
        else:
            await direct.application.asked.wait()
            (protocol,) = direct.server.uvicorn.server_state.connections
            protocol.transport.abort()
            del protocol
        await client.end()
        await forgotten(direct)
        direct.application.may_accept.set()
        await eventually(lambda: not direct.server.uvicorn.server_state.tasks, "the endpoint has ended")
        direct.application.failures.clear()
        await forgotten(direct)
    assert left == []
