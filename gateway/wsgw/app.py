"""The ASGI application: every surface of one gateway on one router."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound, WebSocketRoute
from starlette.types import Receive, Scope, Send

from wsgw import __version__
from wsgw.gateway import Gateway, gateway_of
from wsgw.metrics import Metrics
from wsgw.settings import Settings
from wsgw.transports import http
from wsgw.transports.channels_namespace import ChannelsNamespace
from wsgw.transports.socketio import Options, SocketIOServer
from wsgw.transports.websocket import WebSocketEndpoint

SOCKETIO_PATH = "/socket.io/"


def create_app(settings: Settings) -> FastAPI:
    """The gateway as an ASGI application; it connects to NATS in its lifespan, in the background.

    Under ``wsgw.server`` WebSockets take the fast path; any other ASGI server works too. Mounted in another
    application, enter ``app.router.lifespan_context(app)`` in that one's lifespan. ``app.state.gateway`` is the
    Gateway, ``app.state.socketio`` the SocketIOServer, while the lifespan lasts.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        gateway = Gateway(settings, Metrics())
        app.state.gateway = gateway
        app.state.socketio = _socketio(gateway)
        await gateway.start()
        try:
            yield
        finally:
            await gateway.stop(settings.drain_seconds)

    app = FastAPI(title="wsgw", version=__version__, lifespan=lifespan, openapi_url=None)
    app.include_router(http.router)
    # plain ASGI callables: a FastAPI WebSocket route costs twice the CPU per connect
    app.router.routes += [WebSocketRoute("/ws/{channel:path}", WebSocketEndpoint()), SocketIORoute()]
    return app


class SocketIORoute(BaseRoute):
    """``/socket.io/`` (and ``/socket.io``, as the reference server) for HTTP of every method and for WebSocket."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] in ("http", "websocket"):
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            if path in (SOCKETIO_PATH, SOCKETIO_PATH.rstrip("/")):
                return Match.FULL, {}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway_of(scope)  # says what is wrong when the lifespan has not run
        await scope["app"].state.socketio(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        raise NoMatchFound(name, path_params)


def _socketio(gateway: Gateway) -> SocketIOServer:
    options = Options(max_packet_bytes=lambda: 6 * gateway.broker.max_payload_bytes + 1024)
    namespaces = {"/": ChannelsNamespace(gateway)}
    return SocketIOServer(namespaces, options, metrics=gateway.metrics, totals=gateway.totals)
