"""Many clients of a durable channel come back at once: the history serves them, the stream is asked little.

``WSGW_HERD=10000`` makes the long form (``make herd``), which prints its figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from helpers.gateway import GatewayProcess, StartGateway
from helpers.herd import Herd
from helpers.nats_server import StartNats
from helpers.peer import Peer
from helpers.waiting import eventually

CLIENTS = int(os.environ.get("WSGW_HERD", "1000"))
#: Each has a core's work with some thousands.
PROCESSES = max(1, CLIENTS // 2500)
DEADLINE_SECONDS = 60.0 + CLIENTS / 50
#: Messages that were stored before the gateway began, and since: only these are in its history.
BEFORE, SINCE = 2000, 1000
#: One in so many is further behind than the history.
BEHIND = 10
#: Messages published while they come, at least; each is a delivery to everybody, of which there are so many a second.
MEANWHILE = 20
DELIVERIES = 20_000
#: The pages of what is before the history, and what some of them cost again: see ``bridges.pages``.
MOST_READS = 4 * (BEFORE // 512 + 1)


class Live:
    """A client that was there before: what it got, and the longest that a message took to it."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.texts: list[str] = []
        self.slowest_seconds = 0.0
        self.stored_at: dict[str, float] = {}

    async def run(self) -> None:
        async for message in self._socket:
            said = json.loads(message)
            if "text" not in said:
                self.texts.append(str(said))
                continue
            text = said["text"]
            self.texts.append(text)
            self.slowest_seconds = max(
                self.slowest_seconds, time.monotonic() - self.stored_at.get(text, time.monotonic())
            )
            if text == "end":
                return


@pytest.fixture
async def site(
    start_nats: StartNats, start_gateway: StartGateway, tmp_path: Path
) -> AsyncIterator[tuple[GatewayProcess, Peer]]:
    server = start_nats(f"jetstream {{store_dir: {tmp_path}}}")
    peer = await Peer.connect(server.url)
    stream = {"name": "ORDERS", "subjects": ["orders"], "allow_direct": True}
    await peer.nats.request("$JS.API.STREAM.CREATE.ORDERS", json.dumps(stream).encode(), timeout=10)
    await store(peer, 1, BEFORE)
    held = {"stream": "ORDERS", "managed": False}
    gateway = start_gateway(server.url, [{"name": "orders", "direction": "both", "durable": held}])
    await gateway.ready()
    yield gateway, peer
    await peer.close()


async def store(peer: Peer, first: int, count: int) -> None:
    """Messages ``first`` and so on of the stream, each with its sequence as payload."""
    for at in range(first, first + count, 500):
        numbers = range(at, min(at + 500, first + count))
        answers = await asyncio.gather(*(peer.nats.request("orders", b"%d" % n, timeout=60) for n in numbers))
        assert [json.loads(answer.data)["seq"] for answer in answers] == list(numbers)


async def consumers(peer: Peer) -> list[str]:
    answer = json.loads((await peer.nats.request("$JS.API.CONSUMER.NAMES.ORDERS", b"", timeout=60)).data)
    return answer["consumers"] or []


async def subscribed(http: httpx.AsyncClient, gateway: GatewayProcess) -> int:
    """How many clients are live."""
    text = (await http.get(f"{gateway.url}/metrics", timeout=DEADLINE_SECONDS)).text
    found = re.search(r'^wsgw_subscriptions\{channel="orders"\} (\d+)', text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def cpu_seconds(gateway: GatewayProcess) -> float:
    fields = Path(f"/proc/{gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_the_history_serves_a_herd(site: tuple[GatewayProcess, Peer]) -> None:
    gateway, peer = site
    async with asyncio.timeout(DEADLINE_SECONDS), connect(gateway.websocket("orders?envelope=1"), proxy=None) as socket:
        joined = json.loads(await socket.recv())
        identity = joined["id"].rpartition("-")[0]
        live = Live(socket)
        following = asyncio.create_task(live.run())
        await store(peer, BEFORE + 1, SINCE)
        last = BEFORE + SINCE
        await eventually(lambda: len(live.texts) == SINCE, "all of it came")

        chance = random.Random(1)
        stand = [
            chance.randrange(BEFORE // 2, BEFORE) if number % BEHIND == 0 else chance.randrange(last - 200, last)
            for number in range(CLIENTS)
        ]
        ids = [f"{identity}-{sequence}" for sequence in stand]
        before, began = cpu_seconds(gateway), time.monotonic()
        herds = [await Herd.start(gateway.port, "orders", ids[number::PROCESSES]) for number in range(PROCESSES)]
        try:
            seen: list[list[str]] = []
            there, slowest = 0, 0.0
            while there < CLIENTS + 1 or last < BEFORE + SINCE + MEANWHILE:
                last += 1
                live.stored_at[str(last)] = time.monotonic()
                await store(peer, last, 1)
                await asyncio.sleep(CLIENTS / DELIVERIES)
                if last % 5 == 0:
                    seen.append(await consumers(peer))
                    asked = time.monotonic()
                    async with httpx.AsyncClient(trust_env=False) as http:  # a new connection, behind all others
                        there = await subscribed(http, gateway)
                    slowest = max(slowest, time.monotonic() - asked)
                for herd in herds:
                    herd.check()
            took, worked = time.monotonic() - began, cpu_seconds(gateway) - before
            await peer.publish("orders", "end")
            results = await asyncio.gather(*(herd.result() for herd in herds))
        finally:
            for herd in herds:
                herd.kill()
        await following
    reads = gateway.metric("wsgw_stream_reads_total", channel="orders")
    print(
        f"\n{CLIENTS} clients came back, in {PROCESSES} processes: all live after {took:.1f} s, "
        f"{worked / CLIENTS * 1e6:.0f} us of the gateway's CPU each, {reads:g} reads of the stream, "
        f"{sum(count for count, _ in results)} messages to them; "
        f"a live client waited {live.slowest_seconds * 1000:.0f} ms at most, "
        f"who asked for metrics {slowest * 1000:.0f} ms; {gateway.resident_bytes() / 2**20:.0f} MiB"
    )
    assert [fault for _, faults in results for fault in faults] == []
    wanted = sum(last - sequence for sequence in stand)
    assert sum(count for count, _ in results) == wanted
    assert live.texts == [*map(str, range(BEFORE + 1, last + 1)), "end"]
    assert 0 < reads <= MOST_READS
    assert {len(names) for names in seen} == {1}, "the bridge's own"
    assert gateway.metric("wsgw_resumes_total", channel="orders", result="recovered") == CLIENTS
    assert gateway.metric("wsgw_resumes_total", channel="orders", result="gap") == 0
