"""The listener for operators, beside the one for clients: it is there before that one, and until the gateway has ended.

It has connections of its own, which a stop does not end, and which clients cannot take.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.server import ServerState

from wsgw.config.addresses import TcpAddress
from wsgw.process.listeners import Listener, close_all
from wsgw.surfaces import ops
from wsgw.surfaces.admin import AdminApplication
from wsgw.tasks import end_all
from wsgw.transports.http11 import http_class

log = logging.getLogger("wsgw.server")

BACKLOG = 16
END_SECONDS = 0.1


class AdminServer:
    """For the gateway of ``app``, on ``listeners``, which it closes."""

    def __init__(self, app: FastAPI, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners
        hosts = [each.address.host for each in listeners if isinstance(each.address, TcpAddress)]
        application = self._application = AdminApplication(app, hosts)
        self._config = uvicorn.Config(
            application,
            ws="none",
            http=http_class(lambda: application.edge, ops.PATHS),
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # it would believe whoever is on this machine: see access.proxies
            server_header=False,
        )
        self._state = ServerState()
        self._servers: list[asyncio.AbstractServer] = []

    async def start(self) -> None:
        """Listen; needs the gateway."""
        self._config.load()
        _ = self._application.edge  # from now on clients leave files for it
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            serve = loop.create_unix_server if listener.is_unix else loop.create_server
            self._servers.append(await serve(self._connection, sock=listener.socket, backlog=BACKLOG))
            log.info("admin: listening on %s", listener.address)

    async def stop(self) -> None:
        """Listen no more, and drop who asks."""
        for server in self._servers:
            server.close()
        close_all(self._listeners)
        for connection in list(self._state.connections):
            cast("Any", connection).abort()
        await end_all(self._state.tasks, END_SECONDS)

    # -- inside

    def _connection(self) -> asyncio.Protocol:
        make = cast("Callable[..., asyncio.Protocol]", self._config.http_protocol_class)
        return make(config=self._config, server_state=self._state, app_state={})
