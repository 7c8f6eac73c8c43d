"""Connections that are held open with as little as possible: each has its time, and gets its answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from helpers.nats_server import NatsServer
from hostile import form
from hostile.attacks.slow import BEGINNINGS
from hostile.battle import Battle
from hostile.form import MIB
from hostile.sockets import pour, send
from hostile.target import StartHostile

#: In the short form, instead of the defaults.
SHORT_CLOCKS = {
    "limits": {"head_timeout": "1s", "body_stall_timeout": "1s", "body_timeout": "3s", "idle_timeout": "2s"}
}


@pytest.fixture
async def hasty(nats: NatsServer, tmp_path: Path) -> AsyncIterator[Battle]:
    """Its clocks are those of the form."""
    async with Battle.begin(tmp_path, nats, **({} if form.LONG else SHORT_CLOCKS)) as battle:
        yield battle


async def test_slow_connections(hasty: Battle) -> None:
    """Nothing, half a head, half a handshake, no body: answered with 408 and ended, all of them."""
    seen = await hasty.fight("7 slow connections")
    assert set(seen.pop("nothing")) <= {"closed", "408"}, seen
    for name, answers in seen.items():
        assert set(answers) == {"408"}, (name, seen)


async def test_a_byte_at_a_time(hasty: Battle) -> None:
    """Progress alone does not keep a connection."""
    seen = await hasty.fight("7 a byte a second")
    assert None not in seen.values(), seen


async def test_a_stop_with_half_open_connections(nats: NatsServer, start_gateway: StartHostile) -> None:
    """It is no error that they are there (``check_log``)."""
    gateway = start_gateway(nats.url)
    await gateway.ready()
    target = gateway.target(nats)
    made = []
    for beginning in BEGINNINGS.values():
        for half_closed in (False, True):
            made.append(await target.connect())
            await send(made[-1], beginning)
            if half_closed:
                made[-1].shutdown(socket.SHUT_WR)
    unread = await target.connect(receive_buffer_bytes=4096)
    loop = asyncio.get_running_loop()
    await pour(unread, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", MIB, loop.time() + 1)  # answers not read
    made.append(unread)
    await gateway.ready()  # asked later: they have been read
    await gateway.stop(deadline_seconds=form.STOP_SECONDS)
    gateway.check_log()
    for connection in made:
        connection.close()
