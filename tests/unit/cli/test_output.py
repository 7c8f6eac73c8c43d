"""What becomes of ``wsgw`` and ``easer`` where an output is closed, full, or has no reader any more."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest

from helpers.ports import free_port
from helpers.program import clean_environment
from helpers.waiting import DEADLINE_SECONDS, eventually

BIN = Path(sys.executable).parent
CLOSED = "wsgw: cannot write to standard output: it is closed\n"
FULL = "wsgw: cannot write to standard output: No space left on device\n"
NO_CLIENTS: list[Sequence[str]] = [["--help"], ["check-config", "good.yml"]]

Process = subprocess.Popen[bytes]
Publish = Callable[[], Awaitable[None]]


@dataclass
class Ended:
    code: int
    stdout: str
    stderr: str


def command(redirection: str, *arguments: str | Path) -> list[str | Path]:
    """The command line of a program whose streams a shell redirects first."""
    return ["sh", "-c", f'exec "$@" {redirection}', "sh", *arguments]


def start(command: Sequence[str | Path], stdout: int = subprocess.PIPE, cwd: Path | None = None) -> Process:
    """A program that runs until it is told not to."""
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, env=clean_environment(), cwd=cwd
    )


@pytest.fixture
def no_reader() -> Iterator[int]:
    """A pipe to write to that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


@pytest.fixture
def end(tmp_path: Path) -> Callable[..., Ended]:
    """Run ``wsgw`` with streams redirected as a shell says it; standard output can be a file of the test's."""
    (tmp_path / "good.yml").write_text("listen: 127.0.0.1:1\n")

    def run(redirection: str, *arguments: str, stdout: int = subprocess.PIPE) -> Ended:
        done = subprocess.run(
            command(redirection, BIN / "wsgw", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=clean_environment(),
            cwd=tmp_path,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout or "", done.stderr)

    return run


def clients(nats_url: str) -> list[Sequence[str]]:
    return [
        ["consumer", "-u", nats_url, "-t", "IN"],
        ["producer", "-u", nats_url, "-t", "IN", "-m", "1"],
        ["producer", "-c", "gone.json"],
    ]


@pytest.mark.parametrize(("redirection", "said"), [(">&-", CLOSED), ("<&- >&-", CLOSED), (">/dev/full", FULL)])
def test_output_that_cannot_be_written(end: Callable[..., Ended], nats_url: str, redirection: str, said: str) -> None:
    for arguments in NO_CLIENTS + clients(nats_url):
        assert end(redirection, *arguments) == Ended(1, "", said), arguments


def test_output_that_nobody_reads(end: Callable[..., Ended], nats_url: str, no_reader: int) -> None:
    for arguments in NO_CLIENTS + clients(nats_url):
        assert end("", *arguments, stdout=no_reader) == Ended(1, "", ""), arguments


def test_neither_output_nor_errors(end: Callable[..., Ended], nats_url: str) -> None:
    for arguments in NO_CLIENTS + clients(nats_url):
        assert end("<&- >&- 2>&-", *arguments) == Ended(1, "", ""), arguments


def test_nothing_to_say_needs_no_output(end: Callable[..., Ended], nats_url: str) -> None:
    assert end(">&-", "producer", "-u", nats_url, "-m", "1", "-l", "error") == Ended(0, "", "")


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_errors_that_cannot_be_written(end: Callable[..., Ended], tmp_path: Path, redirection: str) -> None:
    """The exit code is the same, and no error gets into the output."""
    (tmp_path / "bad.yml").write_text("listne: a:1\n")
    (tmp_path / "easer.yml").write_text("wsServer: {topics: {inbound: [A]}}\nlogger: {}\n")
    assert end(redirection, "nonsense") == Ended(2, "", "")
    assert end(redirection, "producer") == Ended(2, "", "")
    assert end(redirection, "check-config", "bad.yml") == Ended(1, "", "")
    assert end(redirection, "check-config", "easer.yml") == Ended(0, "easer.yml: good, 1 channel\n", "")


@asynccontextmanager
async def publishing(side: str, nats_url: str, gateway: Any) -> AsyncIterator[tuple[str, Publish]]:
    """A URL to consume from and a function that publishes on IN there."""
    if side == "http":
        yield gateway.url, lambda: gateway.sio.emit("IN", "1")
        return
    connection = await nats.connect(nats_url)
    yield nats_url, lambda: connection.publish("IN", b"1")
    await connection.close()


@pytest.mark.parametrize("side", ["nats", "http"])
async def test_a_consumer_whose_reader_goes(side: str, nats_url: str, gateway: Any) -> None:
    """As ``wsgw consumer ... | head -5`` while messages come."""
    async with publishing(side, nats_url, gateway) as (url, publish):
        with start([BIN / "wsgw", "consumer", "-u", url, "-t", "IN"]) as consumer:
            try:
                assert consumer.stdout is not None
                assert consumer.stderr is not None
                while b"Start listening" not in await asyncio.to_thread(consumer.stdout.readline):
                    pass
                await publish()
                assert b"IN] >> " in await asyncio.to_thread(consumer.stdout.readline)
                consumer.stdout.close()
                async with asyncio.timeout(DEADLINE_SECONDS):
                    while consumer.poll() is None:
                        await publish()
                        await asyncio.sleep(0.01)
                assert (consumer.stderr.read(), consumer.returncode) == (b"", 1)
            finally:
                consumer.kill()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


PROGRAMS = [["wsgw", "server"], ["easer", "-u", "-w"]]
RUNS_ON = "{}: cannot write to standard output: {}; the gateway runs on, and log lines are lost\n"


@pytest.mark.parametrize("program", PROGRAMS, ids=["wsgw", "easer"])
@pytest.mark.parametrize(
    ("redirection", "reason"),
    [
        ("1>&-", None),
        ("2>&-", None),
        ("<&- 1>&- 2>&-", None),
        (">/dev/full", "No space left on device"),
        ("", "Broken pipe"),
    ],
)
async def test_a_gateway_runs_on(
    tmp_path: Path, nats_url: str, no_reader: int, program: list[str], redirection: str, reason: str | None
) -> None:
    port = free_port()
    (tmp_path / "wsgw.yml").write_text("channels: [{name: IN, direction: inbound}]\n")
    options = ["-n", nats_url, "-p", str(port), "-c", "wsgw.yml", "-d"]
    process = start(
        command(redirection, BIN / program[0], *program[1:], *options),
        stdout=no_reader if reason == "Broken pipe" else subprocess.DEVNULL,
        cwd=tmp_path,
    )
    try:
        await eventually(lambda: answers(port) or process.poll() is not None, "it answers")
        assert process.poll() is None
        process.send_signal(signal.SIGHUP)  # the log is set up again
        await asyncio.sleep(0.2)
        assert answers(port)
        for number in (1, 2):
            if f"{number}>&-" in redirection and sys.platform == "linux":
                assert os.readlink(f"/proc/{process.pid}/fd/{number}") == "/dev/null", "a socket has got the number"
        said = ""
        if reason is not None:
            assert process.stderr is not None
            async with asyncio.timeout(5):  # at once, not at its end
                said = (await asyncio.to_thread(process.stderr.readline)).decode()
        process.send_signal(signal.SIGTERM)
        await eventually(lambda: process.poll() is not None, "it ends")
        assert process.returncode == 0
    finally:
        process.kill()
        _, errors = process.communicate()
    assert said + errors.decode() == (RUNS_ON.format(program[0], reason) if reason else "")
