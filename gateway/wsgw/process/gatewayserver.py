"""uvicorn's server on our listeners, without its signals, and with a stop that is clean and bounded in time."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from wsgw.config.addresses import TcpAddress
from wsgw.config.settings import Settings
from wsgw.core.gateway import Gateway, make_broker
from wsgw.metrics import Metrics
from wsgw.process.admin import AdminServer
from wsgw.process.expiry import Expiry
from wsgw.process.listeners import BACKLOG, Listener, close_all
from wsgw.process.reloader import Reloader
from wsgw.tasks import end_all
from wsgw.transports.connection import HttpConnection
from wsgw.transports.proxied import entrance
from wsgw.transports.tls import TlsEntrance

if TYPE_CHECKING:
    from wsgw.process.certificates import Certificates

log = logging.getLogger("wsgw.server")

#: The share of a stop's ``drain_seconds`` within which what is left of HTTP requests is ended; the rest is NATS' to
#: confirm what was published. (Clients go before: ``core.drain``.)
REQUESTS_SHARE = 0.85
#: What the end of the lifespan (NATS) may take beyond ``drain_seconds``, and what is left then (see ``server``).
#: Together with what the HTTP server takes to notice, and twice REQUEST_END_SECONDS where ``drain_seconds`` are few,
#: they are less than ``signals.REST_SECONDS``: that is for what stands still.
LIFESPAN_SECONDS, LEFT_SECONDS = 0.7, 0.5
#: How often is looked whether requests have ended, and what one may take when it has been told to.
LOOK_SECONDS, REQUEST_END_SECONDS = 0.02, 0.15


class Abortable(Protocol):
    """One of our protocol objects."""

    def abort(self) -> None:
        """Drop the connection."""


class GatewayServer(uvicorn.Server):
    """uvicorn's server with our stop: it owns no signals, and clients are closed before the sockets are."""

    def __init__(
        self,
        config: uvicorn.Config,
        app: FastAPI,
        reloader: Reloader | None = None,
        listeners: Sequence[Listener] = (),
        certificates: Certificates | None = None,
        admin: AdminServer | None = None,
    ) -> None:
        super().__init__(config)
        self._state = app.state
        self._listeners = listeners
        self._certificates = certificates
        self._admin = admin
        self._reloader = reloader
        self._expiry: Expiry | None = None
        self._probe: asyncio.Task[None] | None = None
        self._stopping = False

    def request_stop(self) -> None:
        """Stop, whatever is under way: at once where nobody is served yet, else after ``drain_delay``."""
        if self._stopping:
            return
        self._stopping = True
        log.info("App starts the shutdown process...")
        if self._probe is not None:
            self._probe.cancel()
        delay_seconds = 0.0
        if self.started:
            gateway: Gateway = self._state.gateway
            delay_seconds = gateway.settings.drain_delay
            gateway.drain.announce(delay_seconds)
        if delay_seconds:
            log.info("not ready any more; the stop begins in %g s", delay_seconds)
            asyncio.get_running_loop().call_later(delay_seconds, self._exit)
        else:
            self._exit()

    async def find_nats(self, settings: Settings) -> None:
        """Returns when a NATS server is there, or a stop was requested; raises NatsUnreachable."""
        self._probe = asyncio.get_running_loop().create_task(_probe(settings))
        try:
            await self._probe
        except asyncio.CancelledError:
            if not self.should_exit:
                raise
        finally:
            self._probe = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: the base class' raises the signal again when the stop is done, and the exit code would be 143."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As the base class', on our listeners: uvicorn knows no unix sockets of others."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        loop = asyncio.get_running_loop()
        if self._admin is not None:
            await self._admin.start()
        gateway: Gateway = self._state.gateway
        # each may have taken one that is not counted yet, and another, that has to make room, is closed only then
        gateway.edge.files.set_aside(2 * sum(len(listener.sockets) for listener in self._listeners))
        self.servers = []
        for listener in self._listeners:
            serve = loop.create_unix_server if listener.is_unix else loop.create_server
            plain = listener.is_unix or self._certificates is None
            make = self._plain_connection if plain else self._tls_connection
            for each in listener.sockets:
                self.servers.append(await serve(make, sock=each, backlog=BACKLOG))
        self.started = True
        for address in dict.fromkeys(listener.address for listener in self._listeners):
            tls = " by TLS" if self._certificates is not None and isinstance(address, TcpAddress) else ""
            log.info("listening on %s%s", address, tls)
        for port in dict.fromkeys(
            each.address.port for each in self._listeners if isinstance(each.address, TcpAddress)
        ):
            log.info("Server listening on port %d", port)
        log.info("wsServer: Start up wsServer adapter")
        log.info("App runs the jobs...")
        if self.should_exit:
            return
        if self._reloader is not None:
            self._reloader.certificates = self._certificates
            self._reloader.start(gateway)
        if self._certificates is not None:
            self._certificates.start()
        self._expiry = Expiry(gateway.metrics, self._certificates, gateway.settings.nats)
        self._expiry.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As the base class', but every step has its time, and connections that remain are dropped without a word."""
        if self._reloader is not None:
            await self._reloader.stop()
        if self._expiry is not None:
            await self._expiry.stop()
        if self._certificates is not None:
            await self._certificates.stop()
        for server in self.servers:
            server.close()
        close_all(self._listeners)
        log.info("wsServer: Shutting down wsServer adapter")
        gateway: Gateway = self._state.gateway
        await gateway.drain.run()
        log.info("Shut down webServer")
        await self._end_requests(gateway.drain.seconds_left(REQUESTS_SHARE))
        ending = asyncio.get_running_loop().create_task(self.lifespan.shutdown(), name="the end of the lifespan")
        await asyncio.wait({ending}, timeout=gateway.drain.seconds_left() + LIFESPAN_SECONDS)
        if not ending.done():
            log.error("%s does not come; it is not waited for", ending.get_name())
        if self._admin is not None:
            await self._admin.stop()

    def _connection(self) -> HttpConnection:
        make = cast("Callable[..., HttpConnection]", self.config.http_protocol_class)
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def _plain_connection(self) -> asyncio.Protocol:
        return entrance(self._connection(), self._state.gateway.edge)

    def _tls_connection(self) -> asyncio.Protocol:
        assert self._certificates is not None
        edge = self._state.gateway.edge
        return entrance(
            TlsEntrance(lambda: edge, self._certificates.context, self._connection, self.server_state), edge
        )

    def _exit(self) -> None:
        self.should_exit = True

    async def _end_requests(self, timeout_seconds: float) -> None:
        """Let what is under way over HTTP end for so long, then drop it."""
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._requests_gone(timeout_seconds)
        # clients that do not read, or do not answer a close: closing would wait for them, and their requests with it
        for connection in list(self.server_state.connections):
            cast("Abortable", connection).abort()
        await self._requests_gone(REQUEST_END_SECONDS)
        await end_all(self.server_state.tasks, REQUEST_END_SECONDS)

    async def _requests_gone(self, timeout_seconds: float) -> None:
        state, loop = self.server_state, asyncio.get_running_loop()
        until = loop.time() + timeout_seconds
        await asyncio.sleep(0)  # what has been closed is gone in the next tick
        while (state.connections or state.tasks) and loop.time() < until:  # noqa: ASYNC110  uvicorn's sets
            await asyncio.sleep(LOOK_SECONDS)


async def _probe(settings: Settings) -> None:
    """Raises NatsUnreachable when no NATS server is there now."""
    broker = make_broker(settings, Metrics())
    try:
        await broker.start(wait=False)
    finally:
        await broker.stop(0.1)
