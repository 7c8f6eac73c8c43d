"""Two gateways behind one proxy: a session stays at one of them, and one that stops refuses nobody."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from helpers.authority import Authority
from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.proxied import Site, site
from helpers.proxies import configured

from .conftest import configuration
from .test_surfaces import socketio

#: Of clients, some of which come to the one gateway, some to the other; nginx looks at the first three numbers alone.
ADDRESSES = [f"127.0.{number}.{number}" for number in range(2, 34)]


@pytest.fixture
async def two(
    kind: str, nats: NatsServer, authority: Authority, tmp_path: Path
) -> AsyncIterator[tuple[Site, list[GatewayProcess]]]:
    folders = [tmp_path / name for name in ("first", "second", "proxy")]
    for folder in folders:
        folder.mkdir()
    settings = configuration(nats)
    if kind == "nginx":  # which does not ask whether a stop is announced
        settings["drain_delay"] = "500ms"
    gateways = [GatewayProcess(folder, settings) for folder in folders[:2]]
    try:
        text = configured(kind, tls=False, two=True)
        async with site(kind, folders[2], gateways, authority, text=text) as made:
            yield made, gateways
    finally:
        for each in gateways:
            each.kill()


def published(gateway: GatewayProcess) -> float:
    return gateway.metric("wsgw_published_messages_total", channel="OUT")


async def test_one_of_two_stops(two: tuple[Site, list[GatewayProcess]], peer: Peer, tmp_path: Path) -> None:
    served, gateways = two
    lines = await socketio(served, tmp_path, ["polling"])
    assert [line[2:] for line in lines] == [[True, True]] * 3, "polling stays where its session is"
    statuses: Counter[int] = Counter()
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(served.http(transport=httpx.AsyncHTTPTransport(local_address=address)))
            for address in ADDRESSES
        ]

        async def publish() -> None:
            answers = await asyncio.gather(*(client.post("/publish/OUT", content=b"x") for client in clients))
            statuses.update(answer.status_code for answer in answers)

        await publish()
        assert all(published(each) > 0 for each in gateways), "both are asked"
        gateways[0].send(signal.SIGTERM)
        while gateways[0].process.poll() is None:
            await publish()
            await asyncio.sleep(0.05)  # the pace, no state is waited for
        for _ in range(3):
            await publish()
    assert await gateways[0].ended() == 0
    refused = {status: count for status, count in statuses.items() if status != 202}
    if served.kind == "nginx":
        assert refused.keys() <= {503}, refused
    else:
        assert not refused, refused
