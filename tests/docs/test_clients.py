"""The client of docs/clients.md, as it stands there, with npm's WebSocket: it comes back, resumes and gives up."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.node import require_node, run
from helpers.node_program import NodeProgram
from helpers.peer import Peer
from helpers.tokens import SECRET, token
from helpers.waiting import eventually

CHANNELS = [
    {"name": "orders", "direction": "both", "durable": True},
    {"name": "double", "direction": "request"},
]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "clients.md"
_BLOCK = re.compile(r"```js\n(function follow.*?)```", re.DOTALL)
_SOCKETIO = re.compile(r"```js\n(function subscribe.*?)```", re.DOTALL)
_REQUESTS = re.compile(r"```js\n((?:async )?function ask.*?)```", re.DOTALL)
#: As a page has it: an error is told by the close alone.
WEBSOCKET = """
globalThis.WebSocket = class extends require("ws") {
  constructor(...asked) { super(...asked); this.on("error", () => {}); }
};
"""
_LISTEN = re.compile(r"```js\n(function listen.*?)```", re.DOTALL)
#: An EventSource that is told one event and then that it is over, for good each second time; and no time passes.
EVENTS = """
const urls = [];
globalThis.setTimeout = (again) => setImmediate(again);
globalThis.EventSource = class {
  static CLOSED = 2;
  constructor(url) {
    urls.push(url);
    if (urls.length === 4) { console.log(JSON.stringify(urls)); return; }
    setImmediate(() => {
      this.onopen();
      this.onmessage({ data: "x", lastEventId: urls.length === 1 ? "" : `1.a-${urls.length}` });
      this.readyState = 0;
      this.onerror();
      this.readyState = EventSource.CLOSED;
      this.onerror();
    });
  }
};
"""
#: Tokens are given in turn, and the last one for ever; an empty one cannot be had.
TOKENS = """
const tokens = process.argv.slice(4);
const next = async () => (tokens.length > 1 ? tokens.shift() : tokens[0]) || Promise.reject(new Error("no token"));
const token = tokens.length ? next : undefined;
"""
DRIVER = f"""
{TOKENS}
const tell = (line) => console.log(JSON.stringify(line));
const told = {{ message: (said) => tell(said.text), gap: (missed) => tell({{ gap: missed }}), token }};
follow(process.argv[2], process.argv[3], told);
"""


REQUESTS = """
(async () => {
  const [url, told] = [process.argv[2], []];
  const socket = require("socket.io-client").io(url, { query: { channels: "" } });
  for (const asking of [(body) => ask(url, "double", body), (body) => askOver(socket, "double", body)])
    for (const body of ["21", "x"])
      told.push(await asking(body).catch((error) => [error.message, error.code, error.service ?? error.service_code]));
  socket.close();
  console.log(JSON.stringify(told));
})();
"""


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[tuple[Peer, GatewayProcess, NatsServer]]:
    store = tmp_path / "store"
    store.mkdir()
    server = NatsServer(store, f"jetstream {{store_dir: {store}}}")
    gateway = GatewayProcess(tmp_path, {"nats": {"servers": [server.url]}, "channels": CHANNELS})
    await gateway.ready()
    peer = await Peer.connect(server.url)
    yield peer, gateway, server
    await peer.close()
    gateway.kill()
    server.stop()


SOCKETIO_DRIVER = f"""
{TOKENS}
const tell = (line) => console.log(JSON.stringify(line));
const told = {{ message: (channel, text) => tell(text), gap: (channels, missed) => tell({{ gap: channels }}), token }};
subscribe(require("socket.io-client").io, process.argv[2].replace("ws:", "http:"), [process.argv[3]], told);
"""


class PageClient(NodeProgram):
    """The page's code in a process of Node's, over Socket.IO or WebSocket; ``lines`` is what it was given."""

    def __init__(self, *, socketio: bool = False) -> None:
        super().__init__()
        self._socketio = socketio

    async def start(self, folder: Path, gateway: GatewayProcess, channel: str, *tokens: str) -> None:
        found = (_SOCKETIO if self._socketio else _BLOCK).search(PAGE.read_text())
        assert found is not None
        script = folder / "client.cjs"
        driver = SOCKETIO_DRIVER if self._socketio else DRIVER
        script.write_text(f"{'' if self._socketio else WEBSOCKET}\n{found[1]}\n{driver}")
        await self.run(script, f"ws://127.0.0.1:{gateway.port}", channel, *tokens)


@pytest.mark.parametrize("socketio", [False, True], ids=["websocket", "socketio"])
async def test_it_comes_back_and_resumes(
    peer: tuple[Peer, GatewayProcess, NatsServer], tmp_path: Path, *, socketio: bool
) -> None:
    publisher, gateway, server = peer
    client = PageClient(socketio=socketio)
    await client.start(tmp_path, gateway, "orders")
    try:
        await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="orders") == 1, "it follows")
        await publisher.nats.request("orders", b"one", timeout=10)
        await eventually(lambda: client.lines == ["one"], "the first one")
        gateway.kill()
        await publisher.nats.request("orders", b"two", timeout=10)
        configuration = {"nats": {"servers": [server.url]}, "channels": CHANNELS}
        again = GatewayProcess(tmp_path, configuration, "-p", str(gateway.port))
        try:
            await eventually(lambda: client.lines == ["one", "two"], "the one that came while it was away")
            await publisher.nats.request("$JS.API.STREAM.PURGE.orders", b"{}", timeout=10)
            await publisher.nats.request("orders", b"three", timeout=10)
            await eventually(lambda: client.lines[2:] == ["three"], "the next one")
        finally:
            again.kill()
    finally:
        await client.stop()


@pytest.mark.parametrize("socketio", [False, True], ids=["websocket", "socketio"])
async def test_it_shows_another_token_when_one_has_ended(
    peer: tuple[Peer, GatewayProcess, NatsServer], tmp_path: Path, *, socketio: bool
) -> None:
    publisher, plain, server = peer
    plain.kill()
    auth = {"jwt": {"secret": SECRET, "leeway": 0}, "default": {"subscribe": ["orders"]}}
    gateway = GatewayProcess(tmp_path, {"nats": {"servers": [server.url]}, "channels": CHANNELS, "auth": auth})
    client = PageClient(socketio=socketio)
    try:
        await gateway.ready()
        none = [] if socketio else [""]  # the stock client waits for the gateway to end such a connection: 45 s
        await client.start(tmp_path, gateway, "orders", token({"exp": time.time() + 6}), *none, token())
        await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="orders") == 1, "it follows")
        await publisher.nats.request("orders", b"one", timeout=10)
        await eventually(lambda: client.lines == ["one"], "the first one")
        await eventually(lambda: gateway.metric("wsgw_closes_total", code="4010") == 1, "the token has ended")
        await publisher.nats.request("orders", b"two", timeout=10)
        await eventually(lambda: client.lines == ["one", "two"], "the one that came while it was away")
    finally:
        await client.stop()
        gateway.kill()


async def test_it_gives_up_where_there_is_nothing(
    peer: tuple[Peer, GatewayProcess, NatsServer], tmp_path: Path
) -> None:
    client = PageClient()
    await client.start(tmp_path, peer[1], "nowhere")
    try:
        assert await asyncio.wait_for(client.ended(), 60) == 0
        assert client.lines == []
    finally:
        await client.stop()


async def test_requests(peer: tuple[Peer, GatewayProcess, NatsServer], tmp_path: Path) -> None:
    publisher, gateway, _ = peer

    async def answer(message: Msg) -> None:
        number = message.data.isdigit()
        headers = None if number else {"Nats-Service-Error": "no number", "Nats-Service-Error-Code": "422"}
        await publisher.nats.publish(message.reply, b"%d" % (2 * int(message.data)) if number else b"", headers=headers)

    await publisher.nats.subscribe("double", cb=answer)
    await publisher.fence()
    functions = _REQUESTS.findall(PAGE.read_text())
    assert len(functions) == 2
    script = tmp_path / "requests.cjs"
    script.write_text("\n".join([*functions, REQUESTS]))
    refused = ["no number", "service_error", "422"]
    assert json.loads(await run(script, gateway.url)) == ["42", refused, "42", refused]


async def test_an_event_source_that_was_ended_is_made_anew(tmp_path: Path) -> None:
    require_node()
    found = _LISTEN.search(PAGE.read_text())
    assert found is not None
    script = tmp_path / "events.cjs"
    script.write_text(f'{EVENTS}\n{found[1]}\nlisten("/sse/a", () => {{}});')
    urls = json.loads(await run(script))
    assert urls == ["/sse/a", "/sse/a", "/sse/a?last_event_id=1.a-2", "/sse/a?last_event_id=1.a-3"]
