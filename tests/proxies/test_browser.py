"""A page of the site in a real browser, by TLS and HTTP/2: nothing is configured but what docs/proxies.md says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.authority import Authority
from helpers.browser import Browser
from helpers.gateway import GatewayProcess
from helpers.node import SOCKET_IO_CLIENT, modules
from helpers.proxied import site
from helpers.proxies import NAME

PAGE = """async () => {
  const told = {};
  const socket = new WebSocket(location.origin.replace("http", "ws") + "/ws/BOTH");
  told.websocket = await new Promise((done) => {
    socket.onopen = () => socket.send("by WebSocket");
    socket.onmessage = ({ data }) => done(data);
    socket.onclose = ({ code, reason }) => done([code, reason]);
  });
  const events = new EventSource("/sse/BOTH");
  await new Promise((done) => Object.assign(events, { onopen: done, onerror: done }));
  const heard = new Promise((done) => Object.assign(events, { onmessage: ({ data }) => done(data), onerror: done }));
  const answer = await fetch("/publish/BOTH", { method: "POST", body: "to events" });
  told.publish = await answer.json();
  told.events = await heard;
  const client = io({ reconnection: false, query: { channels: "BOTH" } });
  const upgraded = new Promise((done) => client.io.engine.on("upgrade", ({ name }) => done(name)));
  told.socketio = await client.timeout(10000).emitWithAck("OUT", "x");
  told.upgraded = await upgraded;
  told.http = performance.getEntriesByType("resource").find(({ name }) => name.includes("/publish/")).nextHopProtocol;
  return told;
}"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    made = Browser(tmp_path_factory.mktemp("browser"), NAME, blind=True)
    yield made
    made.close()


async def test_a_page_of_the_site(
    browser: Browser, kind: str, gateways: dict[str, GatewayProcess], authority: Authority, tmp_path: Path
) -> None:
    script = (modules(SOCKET_IO_CLIENT) / "socket.io-client" / "dist" / "socket.io.min.js").read_text()
    async with (
        site(kind, tmp_path, [gateways[""]], authority, tls=True) as served,
        browser.page(f"{served.origin}/", f"<!doctype html><script>{script}</script>") as page,
    ):
        assert await page.run(PAGE) == {
            "websocket": "by WebSocket",
            "publish": {"accepted": True},
            "events": "to events",
            "socketio": True,
            "upgraded": "websocket",
            "http": "h2",
        }
