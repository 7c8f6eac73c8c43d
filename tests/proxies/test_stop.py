"""A gateway behind a proxy that stops and comes back: what its clients see of that."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from helpers.authority import Authority
from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.ports import lasting_port
from helpers.proxied import site
from helpers.waiting import DEADLINE_SECONDS, eventually

from .conftest import configuration


async def test_a_stop_and_a_start(
    kind: str, nats: NatsServer, peer: Peer, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "gateway").mkdir()
    settings, port = configuration(nats, drain_delay="500ms"), lasting_port()
    gateway = GatewayProcess(tmp_path / "gateway", settings, "-p", str(port))
    asked, answer = asyncio.Event(), asyncio.Event()

    async def service(message: object) -> None:
        asked.set()
        await answer.wait()
        await message.respond(b"late")  # type: ignore[attr-defined]

    await peer.nats.subscribe("math.sum", cb=service)
    try:
        async with (
            site(kind, tmp_path, [gateway], authority) as served,
            served.websocket("/ws/BOTH") as client,
            served.websocket("/socket.io/?EIO=4&transport=websocket&channels=IN") as socketio,
            served.events("/sse/IN") as stream,
            served.http() as http,
        ):
            await socketio.recv()
            await socketio.send("40")
            await socketio.recv()
            asking = asyncio.create_task(http.post("/request/SUM", content=b"x"))
            await asked.wait()
            await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="IN") == 2, "subscribed")
            gateway.send(signal.SIGTERM)
            await eventually(lambda: gateway.readiness()[0] == 503, "a stop is announced")
            await client.send("as ever")
            assert await client.recv() == "as ever"
            await peer.publish("IN", "the last")
            answer.set()
            assert (await asking).content == b"late"
            async with asyncio.timeout(DEADLINE_SECONDS):
                assert (await stream.next()).data == "the last"
                with pytest.raises(StopAsyncIteration):  # in good order, not cut
                    await stream.next()
                with pytest.raises(ConnectionClosed):
                    await client.recv()
                assert await socketio.recv() == '42["IN","the last"]'
                with pytest.raises(ConnectionClosed):
                    await socketio.recv()
            assert (client.close_code, socketio.close_code) == (1001, 1001)
            assert await gateway.ended() == 0
            (tmp_path / "again").mkdir()
            gateway = GatewayProcess(tmp_path / "again", settings, "-p", str(port))
            await served.serves()
            async with served.websocket("/ws/BOTH") as back:
                await back.send("here again")
                assert await back.recv() == "here again"
    finally:
        gateway.kill()
