"""A gateway that listens in several places: every surface at each of them, and what is left when it ends."""

from __future__ import annotations

import signal
import stat
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect, unix_connect

from helpers.gateway import StartGateway
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import DEADLINE_SECONDS, eventually

CHANNELS = [{"name": "IN", "direction": "inbound"}, {"name": "OUT", "direction": "outbound"}]


async def test_both_loopbacks_and_a_unix_socket(
    start_gateway: StartGateway, nats_server: NatsServer, tmp_path: Path
) -> None:
    path = tmp_path / "w.sock"
    listen = ["localhost:0", f"unix:{path}?mode=600"]
    gateway = start_gateway(nats_server.url, CHANNELS, listen=listen, base_path="/rt")
    await gateway.ready()
    lines = gateway.messages
    assert f"listening on 127.0.0.1:{gateway.port}" in lines
    assert f"listening on unix:{path}" in lines
    assert lines.count(f"Server listening on port {gateway.port}") == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    peer = await Peer.connect(nats_server.url)
    got = await peer.listen("OUT")
    async with (
        connect(f"ws://127.0.0.1:{gateway.port}/rt/ws/IN", proxy=None) as by_tcp,
        unix_connect(str(path), "ws://rt.example/rt/ws/IN") as by_unix,
        unix_connect(str(path), "ws://rt.example/rt/socket.io/?EIO=4&transport=websocket") as socketio,
        httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path)), timeout=DEADLINE_SECONDS) as http,
        httpx.AsyncClient(trust_env=False) as tcp,
        http.stream("GET", "http://rt.example/rt/sse/IN") as stream,
    ):
        assert (await http.post("http://rt.example/rt/publish/OUT", content=b"1")).status_code == 202
        await socketio.recv()
        await socketio.send("40")
        await socketio.recv()
        await socketio.send('42["OUT","2"]')
        await eventually(lambda: got == [b"1", b"2"], "published")
        await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="IN") == 4, "subscribed")
        await peer.publish("IN", "x")
        assert [await by_tcp.recv(), await by_unix.recv(), await socketio.recv()] == ["x", "x", '42["IN","x"]']
        read = ""
        async for part in stream.aiter_text():
            read += part
            if "data: x\n" in read:
                break
        for base in (f"http://127.0.0.1:{gateway.port}", f"http://[::1]:{gateway.port}"):
            if f"listening on {base[7:]}" in lines:
                assert (await tcp.get(f"{base}/rt/healthz")).status_code == 200
        refused = await tcp.get(f"{gateway.url}/rt/sse/IN", headers={"host": "rt.example"})
        assert refused.status_code == 403, "a page of anybody could ask so by TCP; by the unix socket none can"
    await peer.close()
    await gateway.stop()
    assert not path.exists()


async def test_the_socket_of_one_that_was_killed(
    start_gateway: StartGateway, nats_server: NatsServer, tmp_path: Path
) -> None:
    path = tmp_path / "w.sock"
    listen = ["127.0.0.1:0", f"unix:{path}"]
    killed = start_gateway(nats_server.url, CHANNELS, listen=listen)
    killed.send(signal.SIGKILL)
    await killed.ended(DEADLINE_SECONDS)
    assert path.exists()
    gateway = start_gateway(nats_server.url, CHANNELS, listen=listen)
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path))) as http:
        assert (await http.get("http://x/healthz")).json()["status"] == "ok"
    with pytest.raises(AssertionError, match=f"cannot listen on unix:{path}: another program listens there"):
        start_gateway(nats_server.url, CHANNELS, listen=listen)
    await gateway.stop()
