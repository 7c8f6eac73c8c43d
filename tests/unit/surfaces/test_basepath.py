"""All surfaces below a path, and nothing of them elsewhere, whatever tricks the path plays."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.raw_http import RawPost
from helpers.raw_websocket import text
from helpers.running import Running, running
from helpers.waiting import eventually
from wsgw.surfaces.basepath import BasePath

POLLING = "/socket.io/?EIO=4&transport=polling"


@pytest.fixture(params=[True, False], ids=["direct", "asgi"])
async def served(nats: NatsServer, request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with running(nats.url, direct=request.param, base_path="/rt") as made:
        yield made


async def test_every_surface_is_below_it(served: Running, peer: Peer) -> None:
    got = await peer.listen("OUT")
    assert (await served.http.post("/rt/publish/OUT", content=b"x")).status_code == 202
    await eventually(lambda: got == [b"x"], "published")
    answer = await served.http.get(f"/rt{POLLING}")
    assert answer.text.startswith('0{"sid":')
    client = await served.websocket("/rt/ws/BOTH")
    stream = await served.stream("/rt/sse/BOTH")
    await eventually(lambda: served.value("wsgw_subscriptions", channel="BOTH") == 2, "subscribed")
    await client.send(text("x"))
    assert await client.receive() == text("x")
    assert (await stream.next()).data == "x"
    asked = await served.http.options("/rt/publish/OUT", headers={"origin": str(served.http.base_url)})
    assert asked.status_code == 204


async def test_health_is_there_either_way_and_metrics_past_it_only(served: Running) -> None:
    for path in ("/healthz", "/readyz", "/rt/healthz", "/rt/readyz", "/metrics"):
        assert (await served.http.get(path)).status_code == 200, path
    for path in ("/rt/metrics", "/rt//metrics", "/rt/%6detrics", "/rt/..%2fmetrics", "/rt/rt/healthz"):
        assert (await served.http.get(path)).status_code == 404, path


@pytest.mark.parametrize(
    "path",
    [
        *("/publish/OUT", "/rtpublish/OUT", "/RT/publish/OUT", "//rt/publish/OUT", "/rt//publish/OUT"),
        *("/x/../rt/publish/OUT", "/rt/../publish/OUT", "/rt/./publish/OUT", "/rt/../rt/publish/OUT"),
        "/rt\\publish/OUT",
        *("/rt%00/publish/OUT", "/rt%252fpublish/OUT", "/rt", "/rt/", "/", "/rt/rt/publish/OUT", "/rt;x/publish/OUT"),
    ],
)
async def test_nothing_else_is_served(served: Running, path: str) -> None:
    request = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx".encode()
    answer = await RawPost.whole(served.server.port, request)
    assert answer.startswith(b"HTTP/1.1 404 "), answer
    assert b'"not_found"' in answer
    assert served.value("wsgw_rejected_total", reason="not_found") == 1
    assert served.value("wsgw_published_messages_total", channel="OUT") == 0


@pytest.mark.parametrize(
    "path", ["/ws/IN", "/rtws/IN", "/rt//ws/IN", "/rt/../ws/IN", "/socket.io/?EIO=4&transport=websocket"]
)
async def test_no_websocket_elsewhere(served: Running, path: str) -> None:
    client = await served.websocket(path)
    assert client.response is not None
    assert client.response.status_code == 404


async def test_a_slash_that_is_escaped_is_a_slash(served: Running) -> None:
    """As in all paths (RFC 3986 section 6.2.2.2 is not ours to decide): what is served is the same."""
    assert (await served.http.post("/rt%2Fpublish%2FOUT", content=b"x")).status_code == 202


def test_what_is_answered_in_any_need() -> None:
    paths = {"/healthz", "/readyz", "/metrics"}
    assert BasePath(None).reached_by(paths) == paths
    assert BasePath("/rt").reached_by(paths) == paths | {"/rt/healthz", "/rt/readyz"}
    assert BasePath("/rt").reached_by({"/healthz"}) == {"/healthz", "/rt/healthz"}


def test_without_one_and_where_it_is_mounted() -> None:
    assert BasePath(None).enter({"path": "/ws/IN"}) == "/ws/IN"
    assert BasePath("/rt").enter({"path": "/rtws/IN"}) is None
    scope = {"path": "/outer/rt/ws/IN", "root_path": "/outer"}
    assert BasePath("/rt").enter(scope) == "/ws/IN"
    assert scope == {"path": "/outer/rt/ws/IN", "root_path": "/outer/rt"}
