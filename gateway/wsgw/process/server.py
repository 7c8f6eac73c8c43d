"""The gateway as a process: the listening socket, uvicorn, signals, and a stop that is clean and bounded in time."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import uvicorn
from fastapi import FastAPI

from wsgw.app import create_app
from wsgw.config.settings import Settings
from wsgw.core.gateway import Gateway, make_broker
from wsgw.errors import WsgwError
from wsgw.metrics import Metrics, without_created_series
from wsgw.transports.direct import DirectProtocol

log = logging.getLogger("wsgw.server")

BACKLOG = 2048
#: Of each connection, in the kernel, which would let it grow to many megabytes for a client that is held back.
RECEIVE_BUFFER_BYTES = 256 * 1024
#: The share of a stop's ``drain_seconds`` within which what is left of HTTP requests is ended; the rest is NATS' to
#: confirm what was published. (Clients go before: ``core.drain``.)
REQUESTS_SHARE = 0.75
#: uvicorn's own limit; sessions set a smaller one from NATS' max_payload, whose own upper bound this is.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class PortUnavailable(WsgwError):
    """The address to listen on cannot be had."""


class GatewayServer(uvicorn.Server):
    """uvicorn's server with our stop: it owns no signals, and clients are closed before the sockets are."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._state = app.state
        self._probe: asyncio.Task[None] | None = None

    def request_stop(self) -> None:
        """Stop, whatever is under way."""
        if not self.should_exit:
            log.info("App starts the shutdown process...")
        self.should_exit = True
        if self._probe is not None:
            self._probe.cancel()

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
        await super().startup(sockets)
        for listener in sockets or ():
            log.info("Server listening on port %d", listener.getsockname()[1])
        log.info("wsServer: Start up wsServer adapter")
        log.info("App runs the jobs...")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        log.info("wsServer: Shutting down wsServer adapter")
        gateway: Gateway = self._state.gateway
        await gateway.drain.run()
        log.info("Shut down webServer")
        # what is left are HTTP requests: the base class waits for them, but not for long, then ends the lifespan
        self.config.timeout_graceful_shutdown = gateway.drain.seconds_left(REQUESTS_SHARE)  # type: ignore[assignment]
        await super().shutdown(sockets)


async def serve(settings: Settings, *, exit_if_no_nats: bool = False, reload: Callable[[], None] | None = None) -> None:
    """Run a gateway until SIGTERM or SIGINT; raises PortUnavailable, NatsUnreachable (of the broker).

    Without ``reload`` SIGHUP stops too, as the original does.
    """
    without_created_series()
    log.info("nats: Start up")
    listener = listen(settings.host, settings.listen_port)
    try:
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            ws=DirectProtocol,
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            loop="uvloop",
            http="httptools",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
        )
        server = GatewayServer(config, app)
        _own_signals(server, reload)
        if exit_if_no_nats:
            await server.find_nats(settings)
            if server.should_exit:
                return
        log.info("Start up webServer")
        _suit_many_clients()
        await server.serve([listener])
    finally:
        listener.close()


async def _probe(settings: Settings) -> None:
    """Raises NatsUnreachable when no NATS server is there now."""
    broker = make_broker(settings, Metrics())
    try:
        await broker.start(wait=False)
    finally:
        await broker.stop(0.1)


def _own_signals(server: GatewayServer, reload: Callable[[], None] | None) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.request_stop)
    loop.add_signal_handler(signal.SIGHUP, reload or server.request_stop)


def _suit_many_clients() -> None:
    """Take as many open files as the process may, and let the garbage collector look less often at what stays."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # a limit that may not be reached is no reason not to start
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to ``host`` and ``port`` (0 takes a free one); raises PortUnavailable naming both and why."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortUnavailable(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortUnavailable(
                f"port {port} on {host} is in use by another program; choose another with -p PORT"
            ) from None
        raise PortUnavailable(f"cannot listen on {host}:{port}: {error.strerror}") from None
    listener.setblocking(False)
    return listener
