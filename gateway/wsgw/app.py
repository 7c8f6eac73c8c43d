"""The ASGI application: every surface of one gateway on one router."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from wsgw import __version__
from wsgw.access.authenticator import Authenticator
from wsgw.config.settings import Settings
from wsgw.core.gateway import Gateway
from wsgw.metrics import Metrics
from wsgw.surfaces import ops, publish, refusals, websocket
from wsgw.surfaces.application import gateway_of
from wsgw.surfaces.basepath import BasePath
from wsgw.surfaces.gate import Gate
from wsgw.surfaces.socketio.binding import Binding
from wsgw.surfaces.socketio.engineio import Options
from wsgw.surfaces.socketio.namespace import ChannelsNamespace
from wsgw.surfaces.socketio.recovery import open_sender
from wsgw.surfaces.socketio.server import SocketIOServer
from wsgw.surfaces.sse.endpoint import EventStreams

SOCKETIO_PATH = "/socket.io"
WEBSOCKET_PATH = "/ws/"


def create_app(settings: Settings, authenticator: Authenticator | None = None) -> FastAPI:
    """The gateway as an ASGI application; it connects to NATS in its lifespan, in the background.

    Under ``wsgw.process.server`` WebSockets take the fast path; any other ASGI server works too. Mounted in another
    application, enter ``app.router.lifespan_context(app)`` in that one's lifespan. ``app.state.gateway`` is the
    Gateway, ``app.state.socketio`` the SocketIOServer, ``app.state.sse`` the EventStreams, while the lifespan lasts.

    An ``authenticator`` finds out who clients are, in the place of what ``settings`` say of that.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        gateway = Gateway(settings, Metrics(), authenticator=authenticator)
        app.state.gateway = gateway
        app.state.gate = Gate(gateway.edge)
        app.state.socketio = _socketio(gateway)
        app.state.sse = EventStreams(gateway)
        await gateway.start()
        try:
            yield
        finally:
            await gateway.stop(settings.drain_seconds)

    app = _Application(title="wsgw", version=__version__, lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    app.base_path = BasePath(settings.base_path)
    for router in (publish.router, ops.router if settings.admin is None else ops.public):
        app.include_router(router)
    refusals.install(app)
    return app


class _Application(FastAPI):
    """FastAPI for HTTP; what stays open goes straight to its endpoint, for routing costs more than accepting does."""

    base_path: BasePath

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("websocket", "http"):
            found = self.base_path.enter(scope)
            path = found or ""
            scope["app"] = self
            gateway_of(scope)  # says what is wrong when the lifespan has not run
            answering = await self.state.gate.enter(scope, path, receive, send)
            if answering is None:
                return
            send = answering
            if found is None and scope["type"] == "http":
                await refusals.refuse(scope, receive, send)
                return
            if path.startswith(SOCKETIO_PATH) and path.rstrip("/") == SOCKETIO_PATH:
                await refusals.guarded(self.state.socketio)(scope, receive, send)
                return
            if scope["type"] == "http" and EventStreams.serves(path):
                await refusals.guarded(self.state.sse)(scope, receive, send)
                return
            if scope["type"] == "websocket" and path.startswith(WEBSOCKET_PATH):
                await websocket.endpoint(scope, receive, send, path[len(WEBSOCKET_PATH) :])
                return
            if scope["type"] == "websocket":
                await refusals.refuse_websocket(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def _socketio(gateway: Gateway) -> SocketIOServer:
    server = SocketIOServer(
        {"/": ChannelsNamespace(gateway)},
        Options(
            max_packet_bytes=lambda: 6 * gateway.broker.max_payload_bytes + 1024,
            max_value_bytes=lambda: gateway.max_payload_bytes,
        ),
        edge=gateway.edge,
        open_sender=partial(open_sender, gateway),
        binding=None if gateway.authenticator is None else Binding(gateway),
    )
    gateway.drain.register(server)
    return server
