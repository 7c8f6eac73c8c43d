"""Servers and load generator of one measurement, and its meter."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import Load
from bench.processes import BenchError, Server
from bench.starting import NatsServer, Setting
from bench.systems import System

#: Values by name, in the units that ``rows`` gives them.
Values = dict[str, float]


@dataclass
class Bench:
    """Everything that runs during one measurement."""

    system: System
    nats: NatsServer
    server: Server
    load: Load

    def connect(self, channels: list[str], narrow: int = 0) -> None:
        """Open a connection for each of ``channels``, subscribed to it; one in ``narrow`` can be stalled."""
        self.load.connect(self.system.wire, self.server.port, channels, subscribe=True, narrow=narrow)

    def connect_senders(self, count: int) -> None:
        """Open connections that publish to OUT and get nothing."""
        self.load.connect(self.system.wire, self.server.port, ["OUT"] * count, subscribe=False)


@contextmanager
def running(system: System, setting: Setting, timeout_seconds: float = 60) -> Iterator[Bench]:
    """Servers and load generator, stopped at the end whatever happens."""
    with tempfile.TemporaryDirectory(prefix="wsgw-bench-") as name, Load(timeout_seconds) as load:
        nats = NatsServer(Path(name), jetstream=system.durable, secure=system.wire.secure)
        try:
            server = system.start(setting, nats, Path(name))
            try:
                yield Bench(system, nats, server, load)
                server.check_alive()
            finally:
                server.stop()
        finally:
            nats.stop()


class Meter:
    """CPU of the server and of the load generator over a stretch of time."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._load = bench.load.cpu_seconds()
        self._started = time.monotonic()
        self._server = bench.server.cpu_seconds()

    def values(self, messages: int) -> Values:
        """``us``: of the server per message; ``load_us``: of the load generator; ``rate``: messages per second."""
        server = self._bench.server.cpu_seconds() - self._server
        seconds = time.monotonic() - self._started
        load = self._bench.load.cpu_seconds() - self._load
        if server <= 0:
            raise BenchError("no CPU time of the server was seen: the measurement is too short")
        return {
            "us": server / messages * 1e6,
            "load_us": load / messages * 1e6,
            "rate": messages / seconds,
            "messages": messages,
        }
