"""Every surface behind HAProxy, nginx and Caddy: with TLS in front, without, and below a path."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from helpers.peer import Peer
from helpers.proxied import Site
from helpers.proxies import ACCESS_LOG
from helpers.waiting import DEADLINE_SECONDS, eventually

LARGE = 1024 * 1024
SOCKETIO = """
const fs = require("node:fs");
const { io } = require("socket.io-client");
const [, , origin, path, ca] = process.argv;
const show = (what) => console.log(JSON.stringify(what));
const options = { path, reconnection: false, ca: ca ? fs.readFileSync(ca) : undefined };
const sent = { text: "hällo", binary: Buffer.from([0, 255, 10]), large: Buffer.alloc(1024 * 1024, 255) };
(async () => {
  for (const transports of WAYS) {
    const socket = io(origin, { ...options, transports, extraHeaders: { Origin: origin } });
    socket.on("connect_error", (error) => { show("refused: " + error.message); process.exit(1); });
    const upgraded = new Promise((done) => socket.io.engine.on("upgrade", ({ name }) => done(name)));
    await new Promise((done) => socket.on("connect", done));
    const how = transports.length === 1 ? socket.io.engine.transport.name : await upgraded;
    for (const [what, payload] of Object.entries(sent)) {
      const back = new Promise((done) => socket.once("BOTH", done));
      const accepted = await socket.timeout(20000).emitWithAck("BOTH", payload);
      show([how, what, accepted, Buffer.from(await back).equals(Buffer.from(payload))]);
    }
    socket.disconnect();
  }
})();
"""


async def test_websocket(served: Site) -> None:
    large = os.urandom(LARGE)
    async with served.websocket("/ws/BOTH") as client:
        for payload in ("hällo", b"\x00\xff\n", large, "x" * LARGE, ""):
            await client.send(payload)
            async with asyncio.timeout(DEADLINE_SECONDS):
                assert await client.recv() == payload
        await (await client.ping())
    assert client.close_code == 1000
    async with served.websocket("/ws/OUT") as client:
        await client.send("1")
    assert (client.close_code, client.close_reason) == (1000, "")


async def socketio(site: Site, folder: Path, *ways: list[str]) -> list[list[object]]:
    """What a page says whose clients have these transports."""
    page = await site.node(folder, SOCKETIO.replace("WAYS", json.dumps(ways)))
    try:
        async with asyncio.timeout(DEADLINE_SECONDS * 2):
            assert await page.ended() == 0, page.lines
    finally:
        await page.stop()
    return page.lines


async def test_socketio(served: Site, tmp_path: Path) -> None:
    """By polling, by WebSocket, and from the one to the other, as the stock client does unless told."""
    lines = await socketio(served, tmp_path, ["polling", "websocket"], ["polling"], ["websocket"])
    told = ("text", "binary", "large")
    assert lines == [[how, what, True, True] for how in ("websocket", "polling", "websocket") for what in told]


async def test_events(served: Site, peer: Peer) -> None:
    """Each comes before the next one is published; and that somebody has left is known."""
    large = "x" * (LARGE // 4)
    async with served.events("/sse/IN") as stream:
        assert stream.answer.status_code == 200
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        await eventually(lambda: served.gateway.metric("wsgw_subscriptions", channel="IN") == 1, "subscribed")
        for payload in ("1", "2", large, "3"):
            await peer.publish("IN", payload)
            async with asyncio.timeout(DEADLINE_SECONDS):
                assert (await stream.next()).data == payload
    await eventually(lambda: served.gateway.metric("wsgw_connections", transport="sse") == 0, "it has left")


async def test_posts(served: Site, peer: Peer) -> None:
    await peer.answer("math.sum", lambda payload: payload[::-1])
    got = await peer.listen("OUT")
    large = os.urandom(LARGE)
    async with served.http() as http:
        for payload in (b"1", b"\x00\xff", large):
            assert (await http.post("/publish/OUT", content=payload)).status_code == 202
            answer = await http.post("/request/SUM", content=payload)
            assert (answer.status_code, answer.content) == (200, payload[::-1])
        answers = await asyncio.gather(*(http.post("/publish/OUT", content=b"x") for _ in range(100)))
        assert {answer.status_code for answer in answers} == {202}
        refused = {
            "/publish/NOPE": (404, "unknown_channel", b""),
            "/publish/IN": (405, "wrong_direction", b""),
            "/publish/OUT": (413, "too_large", b"x" * (LARGE + 1)),
        }
        for path, (status, code, payload) in refused.items():
            answer = await http.post(path, content=payload)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), "the gateway's own answer"
    await eventually(lambda: got == [b"1", b"\x00\xff", large, *[b"x"] * 100], "all of it is on NATS")


async def test_pages_of_the_site_and_of_others(served: Site) -> None:
    """``origins: same`` is who the browser says it is, however the proxy asks."""
    other = served.origin.replace("rt.", "www.")
    elsewhere = {"headers": {"origin": other}}
    async with served.http() as own, served.http(**elsewhere) as foreign:
        answer = await own.post("/publish/OUT", content=b"x")
        assert answer.status_code == 202
        assert answer.headers["access-control-allow-origin"] == served.origin
        page = {"origin": "https://app.example"}
        answer = await own.post("/publish/OUT", content=b"x", headers=page)
        assert answer.status_code == 202
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        refused = await foreign.post("/publish/OUT", content=b"x")
        assert refused.status_code == 403
    async with served.websocket("/ws/OUT", origin=other) as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 4503


async def test_no_token_is_in_its_log(served: Site) -> None:
    """A query's may be one. What nginx writes of a request it writes at its end."""
    async with served.http() as http, http.stream("GET", "/sse/IN?token=s3cret") as stream:
        assert stream.status_code == 200
    log = served.proxy.folder / ACCESS_LOG
    if served.kind == "nginx":
        await eventually(lambda: '"GET /sse/IN" 200' in log.read_text(), "the request is in the log")
        assert log.read_text().startswith("127.0.0.1 ")
    said = served.proxy.output + (log.read_text() if log.exists() else "")
    assert "s3cret" not in said


async def test_below_a_path(below: Site, peer: Peer, tmp_path: Path) -> None:
    """It is there with all its surfaces, and nothing else of the site is the gateway's."""
    lines = await socketio(below, tmp_path, ["polling", "websocket"])
    assert lines == [["websocket", what, True, True] for what in ("text", "binary", "large")]
    got = await peer.listen("OUT")
    async with below.websocket("/ws/OUT") as client, below.http() as http, below.events("/sse/IN") as stream:
        await client.send("1")
        await eventually(lambda: got == [b"1"], "by WebSocket")
        assert (await http.post("/publish/OUT", content=b"2")).status_code == 202
        await eventually(lambda: got == [b"1", b"2"], "by HTTP")
        await eventually(lambda: below.gateway.metric("wsgw_subscriptions", channel="IN") == 1, "subscribed")
        await peer.publish("IN", "3")
        assert (await stream.next()).data == "3"
        for path in ("/healthz", "/metrics", "/ws/OUT", "/rtx/healthz"):
            answer = await http.get(below.origin + path)
            assert not answer.is_success or not answer.content, "that is not the gateway's"
    assert client.close_code == 1000
