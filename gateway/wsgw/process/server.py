"""The gateway as a process, from its settings to its end: listeners, the application, uvicorn, signals."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from wsgw.app import create_app
from wsgw.config.addresses import addresses_of
from wsgw.config.listening import TlsSettings
from wsgw.config.settings import Settings
from wsgw.errors import WsgwError
from wsgw.metrics import without_created_series
from wsgw.process.admin import AdminServer
from wsgw.process.gatewayserver import LEFT_SECONDS, GatewayServer
from wsgw.process.listeners import BACKLOG, close_all, open_all, repeat_all
from wsgw.process.reloader import Reloader, Source
from wsgw.process.signals import Signals
from wsgw.surfaces import ops
from wsgw.surfaces.basepath import BasePath
from wsgw.tasks import end_all
from wsgw.transports.http11 import http_class

if TYPE_CHECKING:
    from wsgw.process.certificates import Certificates

log = logging.getLogger("wsgw.server")

#: What it needs to begin with, for NATS, and for some clients.
LEAST_FILES = 64
#: uvicorn's own limit; sessions set a smaller one from NATS' max_payload, whose own upper bound this is.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class TooFewFiles(WsgwError):
    """A gateway cannot be started with so few."""


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
