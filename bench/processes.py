"""Server processes: started, measured by /proc, stopped by pid."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 30.0
#: What the servers read from the environment and must not inherit.
_OURS = ("WSGW_", "EASER_", "NATS_", "PDMS_", "WEBSERVER_", "CENTRIFUGO")


class BenchError(Exception):
    """A run that cannot be believed: it ends with this sentence and exit code 1."""


class Memory(NamedTuple):
    """In bytes: resident, and proportional (shared pages divided by their users)."""

    rss: int
    pss: int


class Server:
    """A running server with its log; ``pid`` is its process, whose children and threads count as it."""

    def __init__(self, name: str, command: Sequence[str | Path], port: int, folder: Path, **environment: str) -> None:
        self.name = name
        self.port = port
        self.log = folder / f"{name}-{time.monotonic_ns()}.log"
        clean = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
        with self.log.open("wb") as out:
            self._process = subprocess.Popen(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=clean | environment
            )
        self.pid = self._process.pid

    def wait_listening(self) -> None:
        """Returns when its port takes connections; see ``wait_until``."""
        self.wait_until(self._listens, f"listening on port {self.port}")

    def wait_until(self, reached: Callable[[], bool], what: str) -> None:
        """Returns when ``reached`` is true; a server that does not get there is stopped, and BenchError raised."""
        deadline = time.monotonic() + START_SECONDS
        try:
            while time.monotonic() < deadline:
                if reached():
                    return
                self.check_alive()
                time.sleep(0.02)
        except BaseException:
            self.stop()
            raise
        self.stop()
        raise BenchError(f"{self.name} is not {what}: {self.tail()}")

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def check_alive(self) -> None:
        """Raises BenchError when it has ended."""
        if self._process.poll() is not None:
            raise BenchError(f"{self.name} ended with code {self._process.returncode}: {self.tail()}")

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-1500:]

    def cpu_seconds(self) -> float:
        """User and system time so far, of all threads and children."""
        self.check_alive()
        return sum(_cpu_seconds(pid) for pid in _family(self.pid))

    def memory(self) -> Memory:
        """What it has in memory now."""
        self.check_alive()
        found = [_memory(pid) for pid in _family(self.pid)]
        return Memory(sum(one.rss for one in found), sum(one.pss for one in found))

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def output(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> str:
    """What a command prints, or an empty string when it cannot be run."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (result.stdout + result.stderr).strip() if result.returncode == 0 else ""


def _family(pid: int) -> list[int]:
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except FileNotFoundError:
            continue
        for child in children:
            pids += _family(int(child))
    return pids


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory(pid: int) -> Memory:
    values = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        values[name] = int(value.split()[0]) * 1024
    return Memory(values["Rss"], values["Pss"])
