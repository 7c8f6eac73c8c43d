"""The gateway as a process: the listening socket, uvicorn, signals, and a stop that is clean and bounded in time."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, cast

import uvicorn
import uvloop
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from wsgw.app import create_app
from wsgw.config.addresses import TcpAddress, addresses_of
from wsgw.config.listening import TlsSettings
from wsgw.config.settings import Settings
from wsgw.core.gateway import Gateway, make_broker
from wsgw.errors import WsgwError
from wsgw.metrics import Metrics, without_created_series
from wsgw.process.admin import AdminServer
from wsgw.process.expiry import Expiry
from wsgw.process.listeners import BACKLOG, Listener, close_all, open_all, repeat_all
from wsgw.process.reloader import Reloader, Source
from wsgw.process.signals import Signals
from wsgw.surfaces import ops
from wsgw.surfaces.basepath import BasePath
from wsgw.tasks import end_all
from wsgw.transports.connection import HttpConnection
from wsgw.transports.http11 import http_class
from wsgw.transports.proxied import entrance
from wsgw.transports.tls import TlsEntrance

if TYPE_CHECKING:
    from wsgw.process.certificates import Certificates

log = logging.getLogger("wsgw.server")

#: The share of a stop's ``drain_seconds`` within which what is left of HTTP requests is ended; the rest is NATS' to
#: confirm what was published. (Clients go before: ``core.drain``.)
REQUESTS_SHARE = 0.85
#: What the end of the lifespan (NATS) may take beyond ``drain_seconds``, and what is left then. Together with what the
#: HTTP server takes to notice, and twice REQUEST_END_SECONDS where ``drain_seconds`` are few, they are less than
#: ``signals.REST_SECONDS``: that is for what stands still.
LIFESPAN_SECONDS, LEFT_SECONDS = 0.7, 0.5
#: How often is looked whether requests have ended, and what one may take when it has been told to.
LOOK_SECONDS, REQUEST_END_SECONDS = 0.02, 0.15
#: What it needs to begin with, for NATS, and for some clients.
LEAST_FILES = 64
#: uvicorn's own limit; sessions set a smaller one from NATS' max_payload, whose own upper bound this is.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class TooFewFiles(WsgwError):
    """A gateway cannot be started with so few."""


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


def run(settings: Settings, *, exit_if_no_nats: bool = False, source: Source | None = None) -> None:
    """Run a gateway, in this thread, until a signal ends it; see ``serve``. SIGHUP has ``source`` read again.

    However it ends, that takes at most ``drain_delay``, ``drain_seconds`` and ``signals.REST_SECONDS``; the process may
    end in here.
    """
    reloader = Reloader(settings, source)
    with (
        Signals(settings.drain_delay + settings.drain_seconds, reloader.request) as signals,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_until_the_end(settings, signals, exit_if_no_nats, reloader))


async def _until_the_end(settings: Settings, signals: Signals, exit_if_no_nats: bool, reloader: Reloader) -> None:
    try:
        await serve(settings, signals, exit_if_no_nats=exit_if_no_nats, reloader=reloader)
    finally:
        # the runner says it to each once, and waits for ever
        await end_all(asyncio.all_tasks() - {asyncio.current_task()}, LEFT_SECONDS)


async def serve(
    settings: Settings, signals: Signals, *, exit_if_no_nats: bool = False, reloader: Reloader | None = None
) -> None:
    """Run a gateway until one of ``signals`` ends it; raises PortUnavailable, NatsUnreachable (of the broker)."""
    without_created_series()
    log.info("nats: Start up")
    log.info("open files: %s", open_files())
    certificates = None if settings.tls is None else _certificates(settings.tls)
    of_admin = () if settings.admin is None else addresses_of(settings.admin.listen)
    listeners, aside = open_all(settings.addresses, of_admin)
    try:
        repeat_all(listeners, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        app = create_app(settings)
        paths = ops.PATHS if settings.admin is None else ops.PUBLIC_PATHS
        always = BasePath(settings.base_path).reached_by(paths)
        config = uvicorn.Config(
            app,
            ws="none",
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            loop="uvloop",
            http=http_class(lambda: app.state.gateway.edge, always),
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # it would believe whoever is on this machine: see access.proxies
            server_header=False,
            backlog=BACKLOG,
        )
        admin = AdminServer(app, aside) if aside else None
        server = GatewayServer(config, app, reloader, listeners, certificates, admin)
        signals.attend(server.request_stop)
        if exit_if_no_nats:
            await server.find_nats(settings)
            if server.should_exit:
                return
        log.info("Start up webServer")
        _collect_seldom()
        await server.serve()
    finally:
        close_all([*listeners, *aside])


def _certificates(tls: TlsSettings) -> Certificates:
    from wsgw.process.certificates import Certificates  # what it needs takes long

    return Certificates(tls)


async def _probe(settings: Settings) -> None:
    """Raises NatsUnreachable when no NATS server is there now."""
    broker = make_broker(settings, Metrics())
    try:
        await broker.start(wait=False)
    finally:
        await broker.stop(0.1)


def open_files() -> str:
    """Let this process open as many files (connections) as it may; how many those are, for the log.

    Raises TooFewFiles.
    """
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < LEAST_FILES:
        raise TooFewFiles(f"this process may have {most} open files (ulimit -Hn), and needs {LEAST_FILES} at least")
    if limit == most:
        return _number(limit)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (ValueError, OSError) as error:  # no reason not to start
        return f"{_number(limit)}; that could not be raised to {most}: {error}"
    return f"{_number(most)}, raised from {limit}"


def _number(limit: int) -> str:
    return "any number" if limit == resource.RLIM_INFINITY else f"at most {limit}"


def _collect_seldom() -> None:
    """Let the garbage collector look less often at what stays."""
    gc.freeze()
    # clients' objects stay, and what ended is freed without the collector: larger thresholds save no time (each object
    # is looked at once a generation) but make standstills, of 13 ms and more with 20,000 and 20 for 1 ms with these
    gc.set_threshold(5_000, 10, 10)
