"""Pages of other origins in a real browser: what they can do, what they are told, and what reaches NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from helpers.browser import Browser, Page
from helpers.nats_server import NatsServer
from helpers.pages import PageServer
from helpers.peer import Peer
from helpers.running import CHANNELS, Running, running
from helpers.tokens import SECRET, token
from helpers.waiting import eventually
from wsgw.access.pages import Pages

from .conftest import NAMED, REBOUND

WEBSOCKET = """(url) => new Promise((done) => {
  const told = [], socket = new WebSocket(url);
  socket.onopen = () => { told.push("open"); socket.send("ws"); };
  socket.onmessage = (event) => { told.push(event.data); socket.close(); };
  socket.onclose = ({ code, reason }) => done({ told, code, reason });
})"""
EVENTS = """(url, withCredentials) => new Promise((done) => {
  const events = new EventSource(url, { withCredentials });
  const end = (told) => { done([told, events.readyState]); events.close(); };
  events.onopen = () => end("open");
  events.onerror = () => end("error");
})"""
FETCH = """(url, options) => fetch(url, options).then(
  async (answer) => [answer.type, answer.status, await answer.text()], (error) => [error.name])"""
SOCKETIO = """(url, transports, withCredentials) => new Promise((done) => {
  const socket = io(url, { transports, withCredentials, timeout: 10000 });
  socket.on("connect", async () => {
    const accepted = await socket.timeout(10000).emitWithAck("OUT", "sio");
    done(["connect", accepted]); socket.close();
  });
  socket.on("connect_error", (error) => { done(["connect_error", error.message]); socket.close(); });
})"""

Ask = Callable[[Page, str, bool], Awaitable[Any]]


def _fetch(path: str, **options: Any) -> Ask:
    def ask(page: Page, base: str, credentials: bool) -> Awaitable[Any]:
        return page.run(FETCH, base + path, options | {"credentials": "include" if credentials else "omit"})

    return ask


def _socketio(*transports: str) -> Ask:
    return lambda page, base, credentials: page.run(SOCKETIO, base, transports, credentials)


#: What a page may do over HTTP and Socket.IO: how, and what comes of it where it may, and where it may not.
ASKED: dict[str, tuple[Ask, Any, Any]] = {
    "events": (
        lambda page, base, credentials: page.run(EVENTS, f"{base}/sse/IN", credentials),
        ["open", 1],
        ["error", 2],
    ),
    "publish, simple": (
        _fetch("/publish/OUT", method="POST", body="simple"),
        ["cors", 202, '{"accepted":true}'],
        ["TypeError"],
    ),
    "publish, after a preflight": (
        _fetch(
            "/publish/OUT",
            method="POST",
            body="{}",
            headers={"Content-Type": "application/json", "Authorization": "Bearer x"},
        ),
        ["cors", 202, '{"accepted":true}'],
        ["TypeError"],
    ),
    "request": (_fetch("/request/SUM", method="POST", body="ab"), ["cors", 200, "ba"], ["TypeError"]),
    "polling": (_socketio("polling"), ["connect", True], ["connect_error", "xhr poll error"]),
    "polling, then websocket": (
        _socketio("polling", "websocket"),
        ["connect", True],
        ["connect_error", "xhr poll error"],
    ),
    "websocket": (_socketio("websocket"), ["connect", True], ["connect_error", "origin {} is not in 'origins'"]),
    "refusal": (
        _fetch("/publish/IN", method="POST", body="x"),
        [
            "cors",
            405,
            '{"error":{"code":"wrong_direction",'
            '"message":"channel \'IN\' is inbound; outbound or both is needed here"}}',
        ],
        ["TypeError"],
    ),
    "not found": (
        _fetch("/nothing"),
        ["cors", 404, '{"error":{"code":"not_found","message":"nothing is served on /nothing"}}'],
        ["TypeError"],
    ),
}
ALL = pytest.mark.parametrize("how", ASKED)
HOSTS = pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])


@pytest.fixture
async def got(peer: Peer) -> list[bytes]:
    await peer.answer("math.sum", lambda payload: payload[::-1])
    return await peer.listen(">")


@pytest.fixture
async def serve(nats: NatsServer) -> AsyncIterator[Callable[..., Awaitable[Running]]]:
    made: list[Any] = []

    async def start(**settings: Any) -> Running:
        # a request may take long on a machine that does other things, too
        channels = [channel | ({"timeout": "20s"} if channel["name"] == "SUM" else {}) for channel in CHANNELS]
        context = running(nats.url, channels=channels, **settings)
        served = await context.__aenter__()
        made.append(context)
        return served

    yield start
    for context in made:
        await context.__aexit__(None, None, None)


def address(served: Running, host: str = "127.0.0.1", scheme: str = "http") -> str:
    return f"{scheme}://{host}:{served.server.port}"


async def nothing_came(served: Running, got: list[bytes]) -> None:
    """To NATS, but what the test publishes itself, and the gateway's empty fences."""
    answer = await served.http.post("/publish/OUT", content=b"the last")
    assert answer.status_code == 202
    await eventually(lambda: b"the last" in got, "it came")
    assert set(got) <= {b"the last", b""}


@HOSTS
async def test_pages_of_others_are_refused_by_default(
    browser: Browser, pages: PageServer, serve: Callable[..., Awaitable[Running]], got: list[bytes], host: str
) -> None:
    served = await serve()
    origin = pages.origin(host)
    async with browser.page(f"{origin}/") as page:
        for base in (address(served), address(served, "localhost")):
            for how, (ask, _, refused) in ASKED.items():
                told = await ask(page, base, False)
                assert told == [each.format(origin) if isinstance(each, str) else each for each in refused], how
            for channel in ("BOTH", "IN", "NOPE"):
                told = await page.run(WEBSOCKET, f"{base.replace('http', 'ws')}/ws/{channel}")
                assert told["told"] == ["open"]
                assert (told["code"], told["reason"]) == (4503, f"origin {origin} is not in 'origins'")
    await nothing_came(served, got)
    for transport in ("websocket", "socketio", "sse"):
        assert served.value("wsgw_connections", transport=transport) == 0


async def test_what_is_sent_without_asking_publishes_nothing(
    browser: Browser, pages: PageServer, serve: Callable[..., Awaitable[Running]], got: list[bytes]
) -> None:
    served = await serve()
    async with browser.page(f"{pages.origin()}/") as page:
        for path in ("/publish/OUT", "/request/SUM", "/socket.io/?EIO=4&transport=polling&sid=x"):
            ask = _fetch(path, method="POST", body="x", mode="no-cors")
            assert await ask(page, address(served), False) == ["opaque", 0, ""]
        form = """(url) => new Promise((done) => {
          const frame = Object.assign(document.createElement("iframe"), { name: "f", onload: () => done(true) });
          const form = Object.assign(document.createElement("form"),
            { action: url, method: "post", target: "f", enctype: "text/plain" });
          form.append(Object.assign(document.createElement("input"), { name: "a", value: "b" }));
          document.body.append(frame, form);
          frame.onload = () => done(true);
          form.submit();
        })"""
        assert await page.run(form, f"{address(served)}/publish/OUT")
        assert await page.run("(url) => navigator.sendBeacon(url, 'x')", f"{address(served)}/publish/OUT")
        await eventually(lambda: served.value("wsgw_rejected_total", reason="forbidden") >= 5, "all were refused")
    await nothing_came(served, got)


@pytest.mark.parametrize("wildcard", [False, True])
async def test_pages_that_are_named_may_do_all(
    browser: Browser,
    pages: PageServer,
    serve: Callable[..., Awaitable[Running]],
    got: list[bytes],
    wildcard: bool,
) -> None:
    name = f"www.{REBOUND}" if wildcard else "localhost"
    origin = pages.origin(name)
    served = await serve(origins=[origin.replace("www.", "*.")])
    async with browser.page(f"{origin}/") as page:
        for how, (ask, allowed, _) in ASKED.items():
            assert await ask(page, address(served), False) == allowed, how
        told = await page.run(WEBSOCKET, f"{address(served, scheme='ws')}/ws/BOTH")
        assert told == {"told": ["open", "ws"], "code": 1000, "reason": ""}
        # nothing that needs cookies can be read where none are used
        assert await ASKED["publish, simple"][0](page, address(served), True) == ["TypeError"]
        assert await ASKED["events"][0](page, address(served), True) == ["error", 2]
    assert {b"simple", b"{}", b"sio", b"ws"} <= set(got)
    other = pages.origin("127.0.0.1")
    async with browser.page(f"{other}/") as page:
        told = await page.run(WEBSOCKET, f"{address(served, scheme='ws')}/ws/BOTH")
        assert (told["code"], told["reason"]) == (4503, f"origin {other} is not in 'origins'")


@ALL
async def test_with_credentials_where_cookies_are_used(
    browser: Browser, pages: PageServer, serve: Callable[..., Awaitable[Running]], got: list[bytes], how: str
) -> None:
    origin = pages.origin()
    served = await serve(origins=[origin])
    served.gateway.edge.pages = Pages([origin], None, ["127.0.0.1"], credentials=True)
    ask, allowed, _ = ASKED[how]
    async with browser.page(f"{origin}/") as page:
        for credentials in (True, False):
            assert await ask(page, address(served), credentials) == allowed


async def test_any_is_for_everybody_but_not_with_credentials(
    browser: Browser, pages: PageServer, serve: Callable[..., Awaitable[Running]], got: list[bytes]
) -> None:
    served = await serve(origins="any")
    async with browser.page(f"{pages.origin()}/") as page:
        for how, (ask, allowed, _) in ASKED.items():
            assert await ask(page, address(served), False) == allowed, how
        assert await ASKED["publish, simple"][0](page, address(served), True) == ["TypeError"]
        told = await page.run(WEBSOCKET, f"{address(served, scheme='ws')}/ws/BOTH")
        assert told["code"] == 1000
        # what operators read is for no page of another origin
        assert await _fetch("/metrics")(page, address(served), False) == ["TypeError"]


def own_page(script: str) -> str:
    return f"<!doctype html><script>{script}</script>"


def of_its_own(expected: Any) -> Any:
    return ["basic", *expected[1:]] if expected[0] == "cors" else expected


@HOSTS
async def test_the_gateways_own_pages_may_do_all(
    browser: Browser,
    serve: Callable[..., Awaitable[Running]],
    socketio_script: str,
    got: list[bytes],
    host: str,
) -> None:
    served = await serve()
    base = address(served, host)
    async with browser.page(f"{base}/", own_page(socketio_script)) as page:
        for how, (ask, allowed, _) in ASKED.items():
            assert await ask(page, base, True) == of_its_own(allowed), how
        told = await page.run(WEBSOCKET, f"{base.replace('http', 'ws')}/ws/BOTH")
        assert told == {"told": ["open", "ws"], "code": 1000, "reason": ""}


async def test_a_name_that_was_rebound_to_this_machine_gets_nothing(
    browser: Browser, serve: Callable[..., Awaitable[Running]], socketio_script: str, got: list[bytes]
) -> None:
    """Origin is Host then: it is the name that is refused, and where no names are checked nothing is."""
    served = await serve()
    base = address(served, REBOUND)
    refused = f'{{"error":{{"code":"forbidden","message":"host {REBOUND}:{served.server.port} is not in \'hosts\'"}}}}'
    async with browser.page(f"{base}/", own_page(socketio_script)) as page:
        for how, (ask, allowed, _) in ASKED.items():
            told = await ask(page, base, True)
            if allowed[0] == "cors":
                assert told == ["basic", 403, refused], how
            else:
                assert told[0] in ("error", "connect_error"), how
        told = await page.run(WEBSOCKET, f"{base.replace('http', 'ws')}/ws/BOTH")
        assert (told["told"], told["code"]) == ([], 1006)
        assert await _fetch("/metrics")(page, base, False) == ["basic", 403, refused]
    await nothing_came(served, got)
    unchecked = await serve(listen="0.0.0.0:0")
    async with browser.page(f"{address(unchecked, REBOUND)}/", own_page(socketio_script)) as page:
        told = await ASKED["publish, simple"][0](page, address(unchecked, REBOUND), False)
        assert told == ["basic", 202, '{"accepted":true}'], "it is the check of names that refuses"
    checked = await serve(listen="0.0.0.0:0", hosts=[NAMED])
    for name, status in ((REBOUND, 403), (NAMED, 202)):
        async with browser.page(f"{address(checked, name)}/", own_page(socketio_script)) as page:
            told = await ASKED["publish, simple"][0](page, address(checked, name), False)
            assert told[:2] == ["basic", status]


async def test_sandboxed_pages_are_nobodys(
    browser: Browser, pages: PageServer, serve: Callable[..., Awaitable[Running]], got: list[bytes]
) -> None:
    served = await serve(origins=["same", pages.origin()])
    sandboxed = """(script, url) => new Promise((done) => {
      onmessage = (event) => done(event.data);
      const frame = document.createElement("iframe");
      frame.sandbox = "allow-scripts";
      frame.srcdoc = `<script>(${script})("${url}").then((told) => parent.postMessage(told, "*"))</` + "script>";
      document.body.append(frame);
    })"""
    async with browser.page(f"{pages.origin()}/") as page:
        told = await page.run(sandboxed, WEBSOCKET, f"{address(served, scheme='ws')}/ws/BOTH")
        assert (told["code"], told["reason"]) == (4503, "origin null is not in 'origins'")
    await nothing_came(served, got)


async def test_a_stock_client_that_is_refused_does_not_come_again(
    browser: Browser, pages: PageServer, serve: Callable[..., Awaitable[Running]]
) -> None:
    """A stock Socket.IO client hears why, at once, and gives up; so does an EventSource."""
    served = await serve()
    async with browser.page(f"{pages.origin()}/") as page:
        began = asyncio.get_running_loop().time()
        kept = """(url) => new Promise((done) => {
          globalThis.socket = io(url, { transports: ["websocket"], reconnectionDelay: 10, reconnectionDelayMax: 10 });
          socket.on("connect_error", (error) => done([error.message, socket.active]));
        })"""
        told = await page.run(kept, address(served))
        assert told == [f"origin {pages.origin()} is not in 'origins'", False]
        assert asyncio.get_running_loop().time() - began < 5
        await page.run("() => new Promise((done) => setTimeout(done, 300))")  # many times its delay
    assert served.value("wsgw_rejected_total", reason="forbidden") == 1


async def test_cookies_are_for_the_pages_that_are_named(
    browser: Browser, pages: PageServer, serve: Callable[..., Awaitable[Running]], got: list[bytes]
) -> None:
    """Another server's page on the same host has the same cookies sent along: all that keeps it out is its origin."""
    rights = {"subscribe": ["IN", "BOTH"], "publish": ["OUT", "BOTH"], "request": ["SUM"]}
    jwt = {"secret": SECRET, "algorithms": ["HS256"]}
    served = await serve(origins=[pages.origin()], auth={"jwt": jwt, "cookie": "wsgw_token"})
    base, websocket = address(served, "localhost"), f"{address(served, 'localhost', 'ws')}/ws/BOTH"
    others = PageServer({"/": "<!doctype html>"})
    await others.start()
    async with browser.page(f"{pages.origin()}/") as page:
        told = await ASKED["publish, simple"][0](page, base, True)
        assert told[:2] == ["cors", 401], "which the page reads"
        assert '"unauthenticated"' in told[2]
        await page.run("(token) => { document.cookie = `wsgw_token=${token}`; }", token({"sub": "u", "wsgw": rights}))
        for how in ("events", "publish, simple", "request", "polling", "polling, then websocket", "websocket"):
            ask, allowed, _ = ASKED[how]
            assert await ask(page, base, True) == allowed, how
        assert (await ASKED["publish, simple"][0](page, base, False))[:2] == ["cors", 401]
        assert (await page.run(WEBSOCKET, websocket))["told"] == ["open", "ws"]
        published = len(got)
        await page.open(f"{others.origin()}/")
        assert await page.run("() => origin") == others.origin()
        assert "wsgw_token" in await page.run("() => document.cookie")
        told = await page.run(WEBSOCKET, websocket)
        assert (told["code"], told["reason"]) == (4503, f"origin {others.origin()} is not in 'origins'")
        for how in ("events", "publish, simple", "request"):
            ask, _, refused = ASKED[how]
            assert await ask(page, base, True) == refused, how
        ask = _fetch("/publish/OUT", method="POST", body="forged", mode="no-cors")
        assert await ask(page, base, True) == ["opaque", 0, ""]
    await others.stop()
    assert not [each for each in got[published:] if each != b""]
