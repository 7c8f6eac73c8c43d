"""The seed's walk, with the installed commands as a newcomer types them, and ``make run``."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from helpers.nats_server import NatsServer
from helpers.ports import free_port, is_free
from helpers.program import Program
from helpers.waiting import DEADLINE_SECONDS, eventually

ROOT = Path(__file__).resolve().parents[2]
MESSAGE = '{"notes":"Some text..."}'
PRINTED = r'"{\"notes\":\"Some text...\"}"'

GATEWAY = 'easer -u -w -i "IN" -o "OUT"'
CONSUMER_OF_THE_GATEWAY = 'wsgw consumer -u http://localhost:3007 -t "IN"'
PRODUCER_TO_NATS = """wsgw producer -u nats://localhost:4222 -t "IN" -m '{"notes":"Some text..."}'"""
CONSUMER_OF_NATS = 'wsgw consumer -u nats://localhost:4222 -t "OUT"'
PRODUCER_TO_THE_GATEWAY = """wsgw producer -u http://localhost:3007 -t "OUT" -m '{"notes":"Some text..."}'"""

GATEWAY_STARTS = [
    "nats: Start up",
    "Start up webServer",
    "listening on 0.0.0.0:{port}",
    "Server listening on port {port}",
    "wsServer: Start up wsServer adapter",
    "App runs the jobs...",
]
GATEWAY_STOPS = [
    "App starts the shutdown process...",
    "wsServer: Shutting down wsServer adapter",
    "Shut down webServer",
    "nats: Shutting down",
    "Shutdown process successfully finished",
]
STOPS = ["App starts the shutdown process...", "Shutdown process successfully finished"]
STOPS_WITH_NATS = [STOPS[0], "pdms: Shutting down", STOPS[1]]
NATS_STARTS = ["pdms: Start up", "pdms: Connected to NATS", "App runs the jobs..."]

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[(easer|wsgw)@[^\]]+\] (error|warn|info): .*")

Run = Callable[[str], Program]


class Walk:
    """Runs command lines of the walk, on its ports where they are free."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = 3007 if is_free(3007) else free_port()
        self.nats_port = 4222 if is_free(4222) else free_port()
        self.verbatim = (self.port, self.nats_port) == (3007, 4222)
        if not self.verbatim:
            print(f"3007 or 4222 is taken on this machine: walking on {self.port} and {self.nats_port}")
        self.nats = NatsServer(folder, port=self.nats_port)
        self._programs: list[Program] = []

    def run(self, line: str) -> Program:
        """Start the installed command of a command line."""
        line = line.replace("localhost:3007", f"localhost:{self.port}")
        line = line.replace("localhost:4222", f"localhost:{self.nats_port}")
        if line.startswith("easer") and not self.verbatim:
            line += f" -p {self.port} -n nats://localhost:{self.nats_port}"
        self._programs.append(Program(self._folder, *shlex.split(line)))
        return self._programs[-1]

    def end(self) -> None:
        """Whatever happened, nothing stays."""
        for program in self._programs:
            program.kill()
        self.nats.stop()


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    walk = Walk(tmp_path)
    yield walk
    walk.end()


def in_order(wanted: list[str], lines: list[str]) -> bool:
    rest = iter(lines)
    return all(line in rest for line in wanted)


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_the_walk(walk: Walk, scheme: str) -> None:
    easer = walk.run(GATEWAY)
    await easer.printed("nats: Connected")
    gateway_url = f"{scheme}://localhost:{walk.port}"
    nats_url = f"nats://localhost:{walk.nats_port}"

    consumer = walk.run(CONSUMER_OF_THE_GATEWAY.replace("http", scheme))
    await consumer.printed("Start listening")
    producer = walk.run(PRODUCER_TO_NATS)
    assert await producer.ended() == 0
    assert producer.messages == [*NATS_STARTS, f"{MESSAGE} >> [IN]", "Successfully completed.", *STOPS_WITH_NATS]
    await consumer.printed("WS[IN]")
    consumer.send(signal.SIGINT)
    assert await consumer.ended() == 0
    assert consumer.messages == [
        "App runs the jobs...",
        f'wsgw client {{"channelType":"WS","uri":"{gateway_url}","topic":"IN"}}',
        'Start listening to messages on WebSocket "IN" topic',
        f"WS[IN] >> {PRINTED}",
        *STOPS,
    ]

    consumer = walk.run(CONSUMER_OF_NATS)
    await consumer.printed("Start listening")
    producer = walk.run(PRODUCER_TO_THE_GATEWAY.replace("http", scheme))
    assert await producer.ended() == 0
    assert producer.messages == ["App runs the jobs...", f"{MESSAGE} >> [OUT]", "Successfully completed.", *STOPS]
    await consumer.printed("NATS[OUT]")
    consumer.send(signal.SIGTERM)
    assert await consumer.ended() == 0
    assert consumer.messages == [
        *NATS_STARTS,
        f'wsgw client {{"channelType":"NATS","uri":"{nats_url}","topic":"OUT"}}',
        'Start listening to messages on NATS "OUT" topic',
        f"NATS[OUT] >> {PRINTED}",
        *STOPS_WITH_NATS,
    ]

    easer.send(signal.SIGINT)
    assert await easer.ended() == 0
    starts = [line.format(port=walk.port) for line in GATEWAY_STARTS]
    assert in_order(starts + GATEWAY_STOPS, easer.messages), easer.output
    for program in (easer, consumer, producer):
        for line in program.output.splitlines():
            assert LOG_LINE.fullmatch(line), line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_easer_stops_on_each_signal(walk: Walk, number: signal.Signals) -> None:
    easer = walk.run(GATEWAY)
    await easer.printed("App runs the jobs...")
    easer.send(signal.SIGHUP)
    await easer.printed("SIGHUP: there is no configuration file to read again; nothing changes")
    easer.send(number)
    assert await easer.ended() == 0
    assert in_order(GATEWAY_STOPS, easer.messages), easer.output


async def test_port_in_use(walk: Walk) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("0.0.0.0", walk.port))
        taken.listen()
        easer = walk.run(GATEWAY)
        assert await easer.ended() == 1
    assert f"error: port {walk.port} on 0.0.0.0 is in use by another program" in easer.output
    assert "Traceback" not in easer.output


class MakeRun(Program):
    """``make run`` with variables; the virtual environment is the one that runs the tests, and is not touched."""

    def __init__(self, folder: Path, **variables: str) -> None:
        venv = sys.prefix
        make = ["-C", str(ROOT), "--no-print-directory", "-o", f"{venv}/.installed", "run", f"VENV={venv}"]
        super().__init__(folder, "/usr/bin/env", "make", *make, environment=variables)

    def script(self) -> int:
        """The process id of scripts/run.py."""
        for entry in Path("/proc").iterdir():
            try:
                command, stat = (entry / "cmdline").read_bytes(), (entry / "stat").read_text()
            except OSError:
                continue
            if b"scripts/run.py" in command and int(stat.rpartition(")")[2].split()[1]) == self.process.pid:
                return int(entry.name)
        raise AssertionError(f"make does not run scripts/run.py: {self.output}")


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[Callable[..., MakeRun]]:
    """Start ``make run`` with variables."""
    started: list[MakeRun] = []

    def start(**variables: str) -> MakeRun:
        started.append(MakeRun(tmp_path, **variables))
        return started[-1]

    yield start
    for program in started:
        if program.process.poll() is None:
            # only run.py itself knows, and ends, what it started in sessions of their own
            os.kill(program.script(), signal.SIGTERM)
            program.process.wait(DEADLINE_SECONDS)


def as_printed(folder: Path, line: str) -> Program:
    """Start a command line that is meant for the top folder."""
    name, *arguments = shlex.split(line)
    return Program(folder, ROOT / name, *arguments)


async def test_make_run(make_run: Callable[..., MakeRun], tmp_path: Path) -> None:
    port, nats_port = free_port(), free_port()
    program = make_run(PORT=str(port), NATS_PORT=str(nats_port))
    await program.printed("Ctrl-C stops everything.")
    for line in (
        f"http://localhost:{port} ",
        f"ws://localhost:{port}/ws/IN",
        f"nats://127.0.0.1:{nats_port} ",
        f"http://localhost:{port}/metrics",
    ):
        assert line in program.output
    await eventually(lambda: httpx.get(f"http://localhost:{port}/readyz", trust_env=False).is_success, "ready")

    consume, produce = re.findall(r"^ +(\S*/wsgw (?:consumer|producer) .*)$", program.output, re.MULTILINE)
    consumer = as_printed(tmp_path, consume)
    try:
        await consumer.printed("Start listening")
        assert await as_printed(tmp_path, produce).ended() == 0
        await consumer.printed(f"WS[IN] >> {PRINTED}")
    finally:
        consumer.kill()

    began = time.monotonic()
    os.kill(program.script(), signal.SIGINT)
    assert await program.ended() == 0, program.output
    assert time.monotonic() - began < 3
    assert is_free(port)
    assert is_free(nats_port)
    assert "Traceback" not in program.output


async def test_make_run_with_a_nats_that_runs(make_run: Callable[..., MakeRun], nats_server: NatsServer) -> None:
    port, nats_port = free_port(), free_port()
    program = make_run(PORT=str(port), NATS_PORT=str(nats_port), NATS_SERVERS=nats_server.url)
    await program.printed("Ctrl-C stops everything.")
    assert f"{nats_server.url}\n" in program.output
    await eventually(lambda: httpx.get(f"http://localhost:{port}/readyz", trust_env=False).is_success, "ready")
    assert is_free(nats_port)
    os.kill(program.script(), signal.SIGTERM)
    assert await program.ended() == 0


@pytest.mark.parametrize(
    ("taken", "advice"),
    [("PORT", ["make run PORT="]), ("NATS_PORT", ["make run NATS_PORT=", "make run NATS_SERVERS="])],
)
async def test_make_run_with_a_port_in_use(make_run: Callable[..., MakeRun], taken: str, advice: list[str]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        program = make_run(**({"PORT": str(free_port()), "NATS_PORT": str(free_port())} | {taken: str(port)}))
        assert await program.ended() != 0
    assert f"port {port} for" in program.output
    assert "Traceback" not in program.output
    for text in advice:
        assert text in program.output
