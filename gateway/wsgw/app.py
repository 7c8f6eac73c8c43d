"""The ASGI application: every surface of one gateway on one router."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.routing import WebSocketRoute

from wsgw import __version__
from wsgw.gateway import Gateway
from wsgw.metrics import Metrics
from wsgw.settings import Settings
from wsgw.transports import http, websocket


def create_app(settings: Settings) -> FastAPI:
    """The gateway as an ASGI application; it connects to NATS in its lifespan, in the background.

    Under ``wsgw.server`` WebSockets take the fast path; any other ASGI server works too. Mounted in another
    application, enter ``app.router.lifespan_context(app)`` in that one's lifespan.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        gateway = Gateway(settings, Metrics())
        app.state.gateway = gateway
        await gateway.start()
        try:
            yield
        finally:
            await gateway.stop(settings.drain_seconds)

    app = FastAPI(title="wsgw", version=__version__, lifespan=lifespan, openapi_url=None)
    app.include_router(http.router)
    # plain ASGI callables: a FastAPI WebSocket route costs twice the CPU per connect
    app.router.routes.append(WebSocketRoute("/ws/{channel:path}", websocket.WebSocketEndpoint()))
    return app
