"""More connections than the process may have open files: operators still see it, clients are told, nothing spins."""

from __future__ import annotations

import asyncio
import socket

import httpx

from helpers.nats_server import NatsServer
from helpers.raw import RawClient, frame
from helpers.waiting import eventually
from hostile import form
from hostile.sockets import Target, reset, send
from hostile.target import StartHostile
from hostile.watch import Watch

FILES = 1000
CONNECTIONS = 1300
#: More of them, which meet the reserve again after those with a short clock have gone.
FILLING = 600
#: How long the process is looked at, with the connections there; and the share of a core that it may use: 16 health
#: requests a second are in it.
WATCHED_SECONDS = form.either(5, 2)
MOST_CPU = 0.3


async def _answers(target: Target) -> None:
    """Health, readiness and metrics, each on a new connection; and what is for clients is refused."""
    for path in (b"/healthz", b"/readyz", b"/metrics"):
        assert await target.ask(b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path, 20) == 200, path


async def _healthy(target: Target) -> bool:
    return await target.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 20) == 200


async def test_idle_connections(nats: NatsServer, start_gateway: StartHostile) -> None:
    gateway = start_gateway(nats.url, files=FILES, limits={"head_timeout": "600s"})  # they stay as long as they may
    await gateway.ready()
    target = gateway.target(nats)
    watch = Watch(gateway)
    before = watch.open_files()
    early = await RawClient.open(gateway, "/ws/ECHO")
    idle: list[socket.socket] = []
    try:
        for number in range(CONNECTIONS):
            made = await target.connect()
            idle.append(made)
            if number % 2:
                await send(made, b"GET /healthz HT")
        # so many at once fill the reserve, until the short clock of those in it has run, and the oldest have made room
        for _ in range(100):
            if await _healthy(target):
                break
            await asyncio.sleep(0.1)
        cpu = watch.cpu_seconds()
        for _ in range(WATCHED_SECONDS * 4):
            await _answers(target)
            await asyncio.sleep(0.25)
        used = watch.cpu_seconds() - cpu
        assert used < MOST_CPU * WATCHED_SECONDS, f"{used} s of CPU in {WATCHED_SECONDS} s"

        idle += [await target.connect() for _ in range(FILLING)]
        publish = b"POST /publish/OUT HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
        assert await target.ask(publish, 20) == 503
        assert await target.ask(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n", 20) == 503
        await early.send_bytes(frame(1, b"still here"))
        assert bytes((await early.receive()).data) == b"still here"
        assert watch.open_files() < FILES
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            metrics = (await http.get(f"{gateway.url}/metrics")).text
        assert "wsgw_open_files_limit 1000.0" in metrics
        assert 'wsgw_rejected_total{reason="no_files"} ' in metrics
    finally:
        for number, made in enumerate(idle):
            (reset if number % 2 else socket.socket.close)(made)
    await eventually(lambda: watch.open_files() <= before + 2, "the files are given back")
    assert await target.ask(publish, 20) == 202
    early.close()
    await gateway.stop(deadline_seconds=form.STOP_SECONDS)
    gateway.check_log()
