"""The application of the listener for operators: health, readiness with its details, metrics; nothing for pages."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from wsgw.access.pages import Pages
from wsgw.core.edge import Edge
from wsgw.shares.files import Files
from wsgw.surfaces import ops, refusals
from wsgw.surfaces.gate import Gate

#: Connections at a time, and of them those that are for a question and its answer only.
MOST_CONNECTIONS, SHORT_CONNECTIONS = 8, 2
OPEN_PATHS = frozenset({"/healthz"})


def admin_edge(edge: Edge, listening: Collection[str]) -> Edge:
    """That of the listener, of a gateway with ``edge``: no page may ask, and on loopback under no name of others.

    Clients have as many files less: where they come faster than they are closed, some more are open for a moment.
    """
    edge.files.set_aside(2 * MOST_CONNECTIONS)
    return edge.aside(Pages([], None, listening), Files(SHORT_CONNECTIONS, MOST_CONNECTIONS, others=0))


class AdminApplication(FastAPI):
    """For the gateway of ``app``, once its lifespan has begun; ``listening`` is that of ``admin_edge``."""

    def __init__(self, app: FastAPI, listening: Collection[str]) -> None:
        super().__init__(title="wsgw", openapi_url=None, redirect_slashes=False)
        self.state = app.state
        self._listening = listening
        self._edge: Edge | None = None
        self._gate: Gate | None = None
        self.include_router(ops.router)
        refusals.install(self)

    @property
    def edge(self) -> Edge:
        """Made when it is first asked for."""
        if self._edge is None:
            self._edge = admin_edge(self.state.gateway.edge, self._listening)
        return self._edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("websocket", "http"):
            scope["app"] = self
            if self._gate is None:
                self._gate = Gate(self.edge, OPEN_PATHS, {})
            answering = await self._gate.enter(scope, scope["path"], receive, send)
            if answering is None:
                return
            send = answering
            if scope["type"] == "websocket":
                await refusals.refuse_websocket(scope, receive, send)
                return
        await super().__call__(scope, receive, send)
