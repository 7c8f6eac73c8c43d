"""The examples of docs/security.md, as they stand there, run with a gateway and NATS: who gets in, and who does not."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from helpers import node
from helpers.browser import Browser, Page
from helpers.gateway import GatewayProcess
from helpers.guide import Example
from helpers.nats_server import NatsServer
from helpers.node import SOCKET_IO_CLIENT
from helpers.node_program import NodeProgram
from helpers.peer import Peer
from helpers.tokens import jwk, jwks_server, rsa_key
from helpers.waiting import DEADLINE_SECONDS, eventually

PACKAGES = (SOCKET_IO_CLIENT, "eventsource@4", "jsonwebtoken@9")
#: What a page has, for its scripts in Node. A token comes from the application; a line of the test's begins a refresh.
NODE_PAGE = """
const { io } = require("socket.io-client");
const { EventSource } = require("eventsource");
const show = (what) => console.log(JSON.stringify(what));
const token = async () => (await fetch(process.argv[2] + "/token")).text();
const keycloak = { updateToken: async () => true, token: process.argv[2] };
let refresh = () => keycloak.onAuthRefreshSuccess();
const setInterval = (again) => (refresh = keycloak.onAuthRefreshSuccess ?? again);
process.stdin.on("data", () => refresh());
(async () => {
%s
})();
"""
EVENTS = """(url) => {
  const events = new EventSource(url, { withCredentials: true });
  events.onmessage = ({ data }) => document.querySelector("#shown").append(data);
}"""
SHOWN = "() => document.querySelector('#shown').textContent"


@pytest.fixture
def example(nats: NatsServer, tmp_path: Path) -> Iterator[Callable[..., Example]]:
    made: list[Example] = []

    def make(title: str, **options: str) -> Example:
        made.append(Example(title, tmp_path, nats, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    (tmp_path / "browser").mkdir()
    made = Browser(tmp_path / "browser")
    yield made
    made.close()


async def asked(base: str, path: str, method: str = "GET", **options: Any) -> httpx.Response:
    """Its answer, once somebody is there."""

    async def answer() -> httpx.Response | None:
        async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_SECONDS) as http:
            try:
                found = await http.request(method, base + path, **options)
            except httpx.ConnectError:
                return None
        return None if found.status_code == 503 else found

    found: httpx.Response | None = await eventually(answer, f"{path} is answered")
    assert found is not None
    return found


async def published(gateway: GatewayProcess, channel: str, **headers: str) -> int:
    return (await asked(gateway.url, f"/publish/{channel}", "POST", content=b"x", headers=headers)).status_code


async def closed(gateway: GatewayProcess, channel: str, token: str | None = None, **headers: str) -> int:
    """The code that a WebSocket is closed with that sends something and goes: 1000 where that was accepted."""
    offered = None if token is None else [Subprotocol("bearer"), Subprotocol(token)]
    async with connect(
        gateway.websocket(channel), subprotocols=offered, additional_headers=headers, proxy=None
    ) as socket:
        with suppress(ConnectionClosed):
            await socket.send("hello")
    assert socket.close_code is not None
    return socket.close_code


async def in_node(example: Example, name: str, base: str) -> NodeProgram:
    """A script of the example's page; ``base`` is what the page is told."""
    script = example.folder / f"{name}.cjs"
    script.write_text(NODE_PAGE % (example.folder / name).read_text())
    program = NodeProgram()
    await program.run(script, base, modules=node.modules(*PACKAGES))
    return program


def commented(text: str) -> list[str]:
    return [line[2:] for line in text.splitlines() if line.startswith("# ")]


@pytest.mark.parametrize("backend", ["backend.cjs", "backend.py"])
async def test_a_secret_of_your_own(example: Callable[..., Example], peer: Peer, backend: str) -> None:
    made = example("A secret of your own")
    making, trying = made.others["sh"]
    assert made.shell(making)[-1] == "wsgw.yml: good, 2 channels"
    gateway = made.gateway()
    base = f"http://localhost:{made.port}"
    try:
        await gateway.ready()
        assert "".join(made.shell(trying)) == "".join(commented(trying))  # curl ends no line
        made.start(backend, {"NODE_PATH": str(node.modules(*PACKAGES))})
        token = (await asked(base, "/token")).text
        wrong = jwt.encode({"sub": "ann"}, "another secret, and of as many bytes", "HS256")
        assert [await closed(gateway, "chat.lobby", text) for text in (token, wrong, None)] == [1000, 4501, 4501]
        assert await closed(gateway, "news", token) == 4505  # nothing is sent to it
        assert await published(gateway, "chat.a.b", Authorization=f"Bearer {token}") == 404
        await _node_page(made, base, gateway, peer)
    finally:
        gateway.kill()


async def _node_page(made: Example, base: str, gateway: GatewayProcess, peer: Peer) -> None:
    sent = await peer.listen("chat.lobby")
    fetch = await in_node(made, "fetch.js", base)
    await eventually(lambda: fetch.lines == [202], "fetch")
    await eventually(lambda: sent == [b"hello"], "it is on NATS")
    socketio = await in_node(made, "socketio.js", base)
    events = await in_node(made, "events.js", base)
    try:
        await eventually(lambda: gateway.metric("wsgw_subscriptions") == 3, "both are subscribed")
        await peer.publish("chat.lobby", "you")
        await peer.publish("news", "all")
        await eventually(lambda: (socketio.lines, events.lines) == (["you"], ["all"]), "they have it")
        socketio.tell("refresh")
        await eventually(lambda: socketio.lines[1:] == [True], "refreshed")
    finally:
        for program in (fetch, socketio, events):
            await program.stop()


async def test_its_page_comes_back_when_the_token_ends(example: Callable[..., Example], browser: Browser) -> None:
    made = example("A secret of your own")
    made.shell(made.others["sh"][0])
    made.change("wsgw.yml", "secret_file: secret.txt", "secret_file: secret.txt, leeway: 0")
    made.change("backend.py", "+ 300", "+ 3")
    gateway = made.gateway()
    try:
        made.start("backend.py")
        await asked(f"http://localhost:{made.port}", "/token")
        async with browser.page(f"http://localhost:{made.port}/") as page:

            async def shown() -> bool:
                ended = "(4010 the client's token has ended; come back with a new one\n)+"
                return re.search(f"hello\n{ended}hello\n", str(await page.run(SHOWN))) is not None

            back: bool = await eventually(shown, "it is back")
            assert back
    finally:
        gateway.kill()


async def test_an_event_source_comes_back_with_the_next_cookie(
    example: Callable[..., Example], browser: Browser, peer: Peer
) -> None:
    made = example("A secret of your own")
    made.shell(made.others["sh"][0])
    made.change("wsgw.yml", "secret_file: secret.txt", "secret_file: secret.txt, leeway: 0")
    made.change("wsgw.yml", "query_parameter: token", "cookie: wsgw_token")
    made.change("backend.py", "+ 300", "+ 4")
    attributes = "Path=/; HttpOnly; SameSite=Strict"
    setting = f'self.send_header("Set-Cookie", f"wsgw_token={{token(user)}}; {attributes}")'
    made.change("backend.py", "        self.end_headers()", f"        {setting}\n        self.end_headers()")
    gateway = made.gateway()
    base = f"http://localhost:{made.port}"
    try:
        made.start("backend.py")
        await asked(base, "/token")
        (made.folder / "index.html").write_text("<pre id=shown>")
        async with browser.page(f"{base}/") as page:
            await page.run(EVENTS, f"http://localhost:{gateway.port}/sse/news")
            for text in ("one", "two"):
                await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="news") == 1, "it listens")
                await peer.publish("news", text)
                shown: bool = await eventually(partial(_shows, page, text), f"it has {text}")
                assert shown
                await eventually(lambda: gateway.metric("wsgw_closes_total", code="4010") >= 1, "the token has ended")
                await page.run("() => fetch('/token').then((answer) => answer.ok)")  # and the next cookie
    finally:
        gateway.kill()


async def _shows(page: Page, text: str) -> bool:
    return text in str(await page.run(SHOWN))


async def test_an_identity_provider(example: Callable[..., Example], peer: Peer) -> None:
    async with jwks_server(jwk(rsa_key(), "key-1")) as provider:
        made = example("An identity provider", jwks=provider.url)
        said = json.loads(made.others["json"][0]) | {"exp": int(time.time()) + 60}

        def token(**claims: Any) -> str:
            return jwt.encode(said | claims, rsa_key(), "RS256", headers={"kid": "key-1"})

        gateway = made.gateway()
        try:
            await gateway.ready()
            sent = await peer.listen(f"desk.{said['sub']}.orders.1")
            told = {
                "trader": token(),
                "viewer": token(realm_access={"roles": ["viewer"]}),
                "nobody": token(realm_access={"roles": ["offline_access"]}),
                "another client's": token(aud="account"),
                "another realm's": token(iss="https://id.example/realms/other"),
                "another key's": jwt.encode(said, rsa_key(1), "RS256", headers={"kid": "key-1"}),
            }
            found = {who: await closed(gateway, "orders.1", text) for who, text in told.items()}
            found_prices = {who: await closed(gateway, "prices", text) for who, text in told.items()}
            wrong = dict.fromkeys(list(told)[3:], 4501)
            assert found == {"trader": 1000, "viewer": 4503, "nobody": 4503} | wrong
            assert found_prices == {"trader": 4505, "viewer": 4505, "nobody": 4503} | wrong
            await eventually(lambda: sent == [b"hello"], "it is on NATS")
            page = await in_node(made, "keycloak.js", told["viewer"])
            try:
                await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="prices") == 1, "subscribed")
                await peer.publish("prices", "7")
                await eventually(lambda: page.lines == ["7"], "it has it")
                page.tell("refresh")
                await eventually(lambda: page.lines == ["7", True], "refreshed")
            finally:
                await page.stop()
        finally:
            gateway.kill()


async def test_the_session_of_your_application(example: Callable[..., Example], browser: Browser) -> None:
    made = example("The session of your application")
    gateway = made.gateway()
    base = f"http://localhost:{made.port}"
    try:
        made.start("app.py")
        async with browser.page((await asked(base, "/")).url.__str__()) as page:

            async def shown() -> bool:
                return str(await page.run(SHOWN)).splitlines() == ["hello"]

            signed_in: bool = await eventually(shown, "it is in")
            assert signed_in
        assert (await asked(base, "/login", "POST", content=b'["ann", "open"]')).status_code == 403
        assert (await asked(base, "/login", "POST", content=b'["bob", null]')).status_code == 403
        answer = await asked(base, "/login", "POST", content=b'["ann", "open sesame"]')
        cookie = answer.headers["set-cookie"].partition(";")[0]
        assert await closed(gateway, "chat.lobby", Cookie=cookie) == 1000
        assert await closed(gateway, "chat.lobby", Cookie="session=x") == 4501
        assert await closed(gateway, "chat.lobby") == 4501
        assert await closed(gateway, "chat.lobby", Cookie=cookie, Origin="http://elsewhere.example") == 4503
    finally:
        gateway.kill()
    made.change("wsgw.yml", f'["http://localhost:{made.port}"]', "any")
    with pytest.raises(AssertionError, match=r"auth\.delegate\.headers"):
        made.shell("wsgw check-config wsgw.yml")


async def test_a_service_on_nats(example: Callable[..., Example]) -> None:
    made = example("A service on NATS")
    gateway = made.gateway()
    try:
        made.start("service.py")
        assert await published(gateway, "room.open", Cookie="session=a1") == 202  # once the service is there
        told = {
            (who, name): await closed(gateway, f"room.{name}", Cookie=f"session={who}")
            for who in ("a1", "b2", "c3")
            for name in ("open", "staff", "secret")
        }
        codes = {"a1": [1000, 1000, 4503], "b2": [1000, 4503, 4503], "c3": [4501] * 3}
        assert list(told.values()) == [code for who in codes.values() for code in who]
    finally:
        gateway.kill()
