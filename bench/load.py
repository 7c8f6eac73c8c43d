"""The load generator as the runner sees it: worker processes and what they report."""

from __future__ import annotations

import multiprocessing
import time
from array import array
from collections import Counter
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from bench.processes import BenchError
from bench.tls import ciphers_of_browsers
from bench.wires import Wire
from bench.worker import run

WORKERS = 2


class _Process:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=run, args=(theirs,), daemon=True)
        with ciphers_of_browsers():
            self._process.start()
        theirs.close()
        self.phase = self.round = 0
        self.heard: dict[str, Any] = {}

    def tell(self, name: str, **arguments: Any) -> None:
        try:
            self.pipe.send((name, arguments))
        except OSError:
            self.hear()  # it said why
            raise BenchError("a process of the load generator has ended") from None

    def hear(self, timeout_seconds: float = 0) -> None:
        """Take in what it reports, waiting up to ``timeout_seconds`` for the first."""
        while self.pipe.poll(timeout_seconds):
            try:
                name, value = self.pipe.recv()
            except (EOFError, OSError):
                raise BenchError("a process of the load generator has ended") from None
            if name == "failed":
                raise BenchError(f"load generator: {value}")
            if name == "round":
                phase, number = value
                if phase == self.phase:
                    self.round = number
            else:
                self.heard[name] = value
            timeout_seconds = 0

    def stop(self) -> None:
        with suppress(OSError):
            self.pipe.send(("stop", {}))
        self._process.join(2)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.pipe.close()


class Load:
    """A context manager; every wait is bounded by ``timeout_seconds`` and ends in BenchError."""

    def __init__(self, timeout_seconds: float = 60) -> None:
        self._timeout = timeout_seconds
        self._processes = [_Process() for _ in range(WORKERS)]
        self._used = self._processes
        self._connected = 0

    def __enter__(self) -> Load:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.stop()

    def connect(self, wire: Wire, port: int, channels: list[str], *, subscribe: bool, narrow: int = 0) -> None:
        """Open one connection more for each name in ``channels``; returns when all of them are greeted.

        One in ``narrow`` is prepared for ``stall``.
        """
        self._used = self._processes[: len(channels)]
        indexed = [(self._connected + number, channel) for number, channel in enumerate(channels)]
        for number, process in enumerate(self._used):
            process.heard.pop("connected", None)
            # ports run short only on one address: every call and process has its own
            source = f"127.1.{self._connected // 1000}.{number + 1}"
            mine = indexed[number :: len(self._used)]
            told = {"wire": wire, "port": port, "source": source, "subscribe": subscribe, "narrow": narrow}
            process.tell("connect", clients=mine, **told)
        self._connected += len(channels)
        self._wait("connected")

    def tell(self, name: str, **arguments: Any) -> None:
        """Give all workers a command; see ``bench.worker``."""
        for process in self._used:
            if name in ("count", "check"):
                process.phase += 1
                process.round = 0
            process.tell(name, **arguments)

    def check(self) -> None:
        """Raises BenchError when a worker has failed."""
        for process in self._used:
            process.hear()

    def wait_round(self, number: int) -> None:
        """Returns when every client has all of round ``number``."""
        deadline = time.monotonic() + self._timeout
        for process in self._used:
            while process.round < number:
                self._hear(process, deadline, f"round {number} is not complete")

    def check_surplus(self, number: int) -> None:
        """Raises BenchError when a client got more than round ``number``, the last that was sent."""
        self.check()
        if any(process.round > number for process in self._used):
            raise BenchError("more was delivered than was sent")

    def stall(self) -> int:
        """Stop reading from the narrow clients, for good; how many those are."""
        self.tell("stall")
        return int(sum(self._wait("stalled")))

    def close(self) -> dict[int | None, int]:
        """Close every connection by a handshake; how often the server answered with which code."""
        self.tell("close")
        total: Counter[int | None] = Counter()
        for codes in self._wait("closed"):
            total.update(codes)
        return dict(total)

    def latencies_ns(self) -> list[int]:
        """Of the messages checked with a clock."""
        self.tell("latencies")
        found = array("q")
        for data in self._wait("latencies"):
            found.frombytes(data)
        return found.tolist()

    def cpu_seconds(self) -> float:
        """What the load generator used so far."""
        self.tell("cpu")
        return float(sum(self._wait("cpu")))

    def _wait(self, name: str) -> list[Any]:
        deadline = time.monotonic() + self._timeout
        for process in self._used:
            while name not in process.heard:
                self._hear(process, deadline, f"{name!r} was not reported")
        return [process.heard.pop(name) for process in self._used]

    def _hear(self, process: _Process, deadline: float, what: str) -> None:
        process.hear(max(0.0, min(1.0, deadline - time.monotonic())))
        if time.monotonic() > deadline:
            process.tell("state")
            process.hear(2)
            raise BenchError(f"{what} after {self._timeout:g} s: {process.heard.get('state', 'no answer')}")
