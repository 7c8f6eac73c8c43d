"""The application: mounted, under any server, and used wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from helpers.link_server import LinkServer
from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.raw_websocket import RawWebSocket, text
from helpers.running import CHANNELS, running
from helpers.tokens import SECRET, bearing, ec_key, jwk, jwks_server, token
from helpers.waiting import eventually
from wsgw.access.principal import Principal
from wsgw.app import create_app
from wsgw.config.file import ConfigFile
from wsgw.config.load import load
from wsgw.config.settings import Settings
from wsgw.errors import GatewayError


def settings(nats: NatsServer) -> Settings:
    return load({"nats": {"servers": [nats.url]}}, {}, ConfigFile("test", {"channels": CHANNELS}))


async def test_every_surface(nats: NatsServer) -> None:
    async with running(nats.url) as served:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await served.http.get(path)).status_code == 200
        for path in ("/socket.io/", "/socket.io"):
            answer = await served.http.get(path, params={"EIO": "4", "transport": "polling"})
            assert answer.status_code == 200
            assert answer.text.startswith('0{"sid":')
        for path in ("/socket.iox", "/nothing", "/ws/IN"):
            assert (await served.http.get(path)).status_code == 404
        assert (await served.http.request("OPTIONS", "/socket.io/")).status_code != 405
        client = await served.websocket("/ws/BOTH")
        await eventually(lambda: served.value("wsgw_subscriptions", channel="BOTH") == 1, "subscribed")
        await client.send(text("x"))
        assert await client.receive() == text("x")
        other = await served.websocket("/nothing")
        assert other.response is not None
        assert other.response.status_code == 404


@pytest.mark.parametrize("direct", [True, False])
async def test_mounted(nats: NatsServer, direct: bool) -> None:
    inner = create_app(settings(nats))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with inner.router.lifespan_context(inner):
            yield

    outer = FastAPI(lifespan=lifespan)
    outer.mount("/gateway", inner)
    server = LinkServer(outer, direct=direct, lifespan="on")
    await server.start()
    client = RawWebSocket(server.port, "/gateway/ws/BOTH")
    base = f"http://127.0.0.1:{server.port}/gateway"
    async with httpx.AsyncClient(base_url=base, trust_env=False) as http:
        await eventually(lambda: inner.state.gateway.readiness().ready, "ready")
        assert (await http.get("/readyz")).status_code == 200
        answer = await http.get("/socket.io/", params={"EIO": "4", "transport": "polling"})
        assert answer.text.startswith('0{"sid":')
        await client.connect()
        await client.shake_hands()
        await client.send(text("x"))
        assert await client.receive() == text("x")
    client.close()
    await inner.state.gateway.drain.run()
    await server.stop()


async def test_mounted_without_the_lifespan_it_says_what_is_missing(nats: NatsServer) -> None:
    app = create_app(settings(nats))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        for path in ("/readyz", "/socket.io/"):
            with pytest.raises(RuntimeError, match="lifespan_context"):
                await http.get(path)


async def test_two_in_one_process(nats: NatsServer) -> None:
    async with running(nats.url) as one, running(nats.url) as two:
        await one.http.post("/publish/OUT", content=b"x")
        assert one.value("wsgw_published_messages_total", channel="OUT", transport="http") == 1
        assert two.value("wsgw_published_messages_total", channel="OUT", transport="http") == 0


async def test_it_can_be_started_again(nats: NatsServer) -> None:
    app = create_app(settings(nats))
    gateways = []
    for _ in range(2):
        async with app.router.lifespan_context(app):
            gateways.append(app.state.gateway)
            await eventually(lambda: app.state.gateway.readiness().ready, "ready")
    assert gateways[0] is not gateways[1]


async def test_who_clients_are_is_asked_where_that_is_configured(nats: NatsServer) -> None:
    values = {"channels": CHANNELS, "auth": {"jwt": {"secret": SECRET}}}
    app = create_app(load({"nats": {"servers": [nats.url]}}, {}, ConfigFile("test", values)))
    async with app.router.lifespan_context(app):
        gateway = app.state.gateway
        principal = Principal("http", bearing(token({"sub": "ann"})))
        await gateway.identify(principal)
        assert principal.user == "ann"
        with pytest.raises(GatewayError):
            await gateway.identify(Principal("http", bearing("wrong")))
        assert value(gateway.metrics, "wsgw_rejected_total", reason="unauthenticated") == 1
    async with running(nats.url) as served:
        assert served.gateway.authenticator is None


async def test_what_authentication_needs_begins_and_ends_with_the_application(nats: NatsServer) -> None:
    async with jwks_server(jwk(ec_key(), "k")) as provider:
        values = {"auth": {"jwt": {"jwks_url": provider.url}}}
        app = create_app(load({"nats": {"servers": [nats.url]}}, {}, ConfigFile("test", values)))
        async with app.router.lifespan_context(app):
            principal = Principal("http", bearing(token(key=ec_key(), algorithm="ES256", kid="k")))
            await app.state.gateway.identify(principal)
            assert principal.user == "ann"
        assert not [task for task in asyncio.all_tasks() if "reading keys" in task.get_name()]
