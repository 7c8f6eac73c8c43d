"""The gateway as a process: the listening socket, uvicorn, signals, and a stop that is clean and bounded in time."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from wsgw.app import create_app
from wsgw.errors import DRAINING, WsgwError
from wsgw.gateway import Gateway, make_broker
from wsgw.metrics import Metrics, without_created_series
from wsgw.settings import Settings
from wsgw.transports.direct import DirectProtocol

log = logging.getLogger("wsgw.server")

BACKLOG = 2048
GRACEFUL_SECONDS = 1
#: uvicorn's own limit; sessions set a smaller one from NATS' max_payload, whose own upper bound this is.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class PortUnavailable(WsgwError):
    """The address to listen on cannot be had."""


class GatewayServer(uvicorn.Server):
    """uvicorn's server with our stop: it owns no signals, and clients are closed before the sockets are."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_seconds: float) -> None:
        super().__init__(config)
        self._state = app.state
        self._drain_seconds = drain_seconds

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
        gateway.begin_drain()
        self._state.socketio.close_all(DRAINING.close_code)
        await gateway.drain(self._drain_seconds)
        await self._state.socketio.wait_gone(self._drain_seconds)  # polls that fetch the close
        log.info("Shut down webServer")
        # what is left are HTTP requests: the base class waits for them, but not for long, then ends the lifespan
        asyncio.get_running_loop().call_later(GRACEFUL_SECONDS / 2, gateway.give_up)
        await super().shutdown(sockets)


async def serve(settings: Settings, *, exit_if_no_nats: bool = False, reload: Callable[[], None] | None = None) -> None:
    """Run a gateway until SIGTERM or SIGINT; raises PortUnavailable, NatsUnreachable (of the broker).

    Without ``reload`` SIGHUP stops too, as the original does.
    """
    without_created_series()
    log.info("nats: Start up")
    listener = listen(settings.host, settings.listen_port)
    try:
        if exit_if_no_nats:
            await _probe(settings)
        app = create_app(settings)
        log.info("Start up webServer")
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
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
            backlog=BACKLOG,
        )
        server = GatewayServer(config, app, settings.drain_seconds)
        _own_signals(server, reload)
        gc.freeze()  # what lives as long as the process is not looked at again
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

    def stop() -> None:
        if not server.should_exit:
            log.info("App starts the shutdown process...")
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, reload or stop)


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
