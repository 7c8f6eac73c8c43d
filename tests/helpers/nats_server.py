"""A real nats-server on a free port, for tests."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BINARY = Path(sys.executable).parent / "nats-server"
DEADLINE_SECONDS = 30.0


class NatsServer:
    """Started by the constructor. It takes a free port, or ``port``, and keeps it when it is started again.

    ``configuration`` is the text of its configuration file; ``folder`` is a directory of its own; it
    listens on ``address``.
    """

    def __init__(self, folder: Path, configuration: str = "", port: int = -1, address: str = "127.0.0.1") -> None:
        self._folder = folder
        self._address = address
        self._configuration = folder / "nats.conf"
        self._configuration.write_text(configuration)
        self.port = port
        #: where its monitoring endpoints are, http://HOST:PORT; another port at each start
        self.monitoring = ""
        self.start()

    @property
    def url(self) -> str:
        return f"nats://{self._address}:{self.port}"

    def start(self) -> None:
        """Returns when it takes connections."""
        self._process = subprocess.Popen(
            [
                *(BINARY, "-c", self._configuration, "-a", self._address, "-p", str(self.port)),
                *("-m", "-1", "--ports_file_dir", self._folder),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ports = self._folder / f"nats-server_{self._process.pid}.ports"
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (ports.exists() and ports.read_text()):
            assert self._process.poll() is None, "nats-server ended"
            assert time.monotonic() < deadline, "nats-server does not come up"
            time.sleep(0.01)
        urls = json.loads(ports.read_text())
        self.port = int(urls["nats"][0].rpartition(":")[2])
        self.monitoring = urls["monitoring"][0]

    def reload(self, configuration: str | None = None) -> None:
        """Take another configuration without a restart, or read again the files that it names; the server does it some
        milliseconds later.
        """
        if configuration is not None:
            self._configuration.write_text(configuration)
        self._process.send_signal(signal.SIGHUP)

    def lame_duck(self) -> None:
        """Let it say that it goes, and take no new clients; in some seconds it closes those it has, and ends."""
        self._process.send_signal(signal.SIGUSR2)

    def freeze(self) -> None:
        """Stop its process without closing its connections; returns when every thread of it stands."""
        self._process.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self._process.pid}/task")
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not all("State:\tT" in (thread / "status").read_text() for thread in threads.iterdir()):
            assert time.monotonic() < deadline, "nats-server does not stop"
            time.sleep(0.001)

    def thaw(self) -> None:
        """Undo ``freeze``."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill it; harmless when it is stopped already."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


#: A fixture that starts servers, with a configuration each, and stops them in the end.
StartNats = Callable[..., NatsServer]


@contextmanager
def starting(folder: Callable[[], Path]) -> Iterator[StartNats]:
    """Starts nats-servers with a configuration each, in folders that ``folder`` makes; stops them all at the end."""
    started: list[NatsServer] = []

    def start(configuration: str = "") -> NatsServer:
        started.append(NatsServer(folder(), configuration))
        return started[-1]

    try:
        yield start
    finally:
        for server in started:
            server.stop()
