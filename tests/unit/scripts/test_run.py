"""``make run``'s script, as it is: it starts both servers, tells what to try, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import nats as nats_py
import pytest

import run as run_py
from helpers.nats_server import NatsServer
from helpers.ports import free_port, is_free
from helpers.program import clean_environment
from helpers.raw_websocket import RawWebSocket
from helpers.waiting import DEADLINE_SECONDS, eventually

ROOT = Path(__file__).parents[3]


class Run:
    """The script in a repository of its own, so that its data is its own too; ``number`` tells several in one apart."""

    def __init__(self, folder: Path, number: int = 1) -> None:
        (folder / "scripts").mkdir(exist_ok=True)
        shutil.copy(ROOT / "scripts" / "run.py", folder / "scripts")
        shutil.copy(ROOT / "wsgw.yml", folder)
        self._folder = folder
        self._output = folder / f"out{number}.txt"
        self.port, self.nats_port = free_port(), free_port()
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, **environment: str) -> None:
        ports = {"PORT": str(self.port), "NATS_PORT": str(self.nats_port)}
        with self._output.open("wb") as out:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                self._folder / "scripts" / "run.py",
                env=clean_environment({**ports, **environment}),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    async def ended(self) -> int:
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), DEADLINE_SECONDS)

    async def ready(self) -> None:
        assert self.process is not None
        process = self.process
        await eventually(lambda: "Ctrl-C" in self.output or process.returncode is not None, "it tells what to try")
        assert "Ctrl-C" in self.output, self.output

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            await self.ended()

    async def streams(self, add: str | None = None) -> list[str]:
        """The names of NATS' streams, after adding one."""
        connection = await nats_py.connect(f"nats://127.0.0.1:{self.nats_port}")
        try:
            if add is not None:
                await connection.jetstream().add_stream(name=add, subjects=[f"{add}.>"])
            return [stream.config.name or "" for stream in await connection.jetstream().streams_info()]
        finally:
            await connection.close()

    async def nothing_is_left(self) -> None:
        await eventually(lambda: is_free(self.port) and is_free(self.nats_port), "both ports are free again", 5)


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    made = Run(tmp_path)
    yield made
    await made.stop()


@pytest.fixture
async def second_run(run: Run, tmp_path: Path) -> AsyncIterator[Run]:
    """Another one in the same repository, on other ports."""
    made = Run(tmp_path, 2)
    yield made
    await made.stop()


def is_ready(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_both_servers_and_a_quick_end(run: Run, number: signal.Signals) -> None:
    await run.start()
    await run.ready()
    for part in (f"http://localhost:{run.port}", f"nats://127.0.0.1:{run.nats_port}", "wsgw consumer", "wsgw producer"):
        assert part in run.output
    await eventually(lambda: is_ready(run.port), "ready")
    assert run.process is not None
    began = time.monotonic()
    os.kill(run.process.pid, number)
    assert await run.ended() == 0
    assert time.monotonic() - began < 6  # 3 s is promised; a busy machine gets more here
    assert "Shutdown process successfully finished" in run.output
    assert "Traceback" not in run.output
    await run.nothing_is_left()


async def test_a_nats_that_runs_already(run: Run, nats: NatsServer) -> None:
    await run.start(NATS_SERVERS=nats.url, NATS_PORT="1")
    await run.ready()
    assert nats.url in run.output
    assert "started here" not in run.output
    await eventually(lambda: is_ready(run.port), "ready")


async def test_a_silent_client_does_not_hold_it_up(run: Run) -> None:
    await run.start()
    await run.ready()
    client = RawWebSocket(run.port, "/ws/IN")
    await client.connect()
    await client.shake_hands()
    assert run.process is not None
    os.kill(run.process.pid, signal.SIGINT)
    assert await run.ended() == 0
    assert "Shutdown process successfully finished" in run.output
    client.close()
    await run.nothing_is_left()


async def test_the_banner_with_several_servers_and_a_password(run: Run, nats: NatsServer) -> None:
    await run.start(NATS_SERVERS=f"u:secret@127.0.0.1:{nats.port}, {nats.url}", NATS_PORT="1")
    await run.ready()
    banner = run.output.partition("NATS  ")[2]
    assert f"nats://u:***@127.0.0.1:{nats.port}, {nats.url}\n" in banner
    assert f"producer -u nats://u:***@127.0.0.1:{nats.port} -t IN" in banner
    assert "secret" not in run.output


async def test_busy_ports(run: Run, nats: NatsServer) -> None:
    await run.start(PORT=str(nats.port))
    assert await run.ended() == 1
    assert f"port {nats.port} for the gateway cannot be had" in run.output
    assert "make run PORT=" in run.output
    await run.start(NATS_PORT=str(nats.port))
    assert await run.ended() == 1
    assert f"port {nats.port} for NATS cannot be had" in run.output
    assert f"NATS_SERVERS=nats://127.0.0.1:{nats.port}" in run.output


async def test_two_at_once_share_no_data(run: Run, second_run: Run) -> None:
    await run.start()
    await run.ready()
    assert await run.streams(add="FIRST") == ["FIRST"]
    await second_run.start()
    await second_run.ready()
    assert await second_run.streams(add="SECOND") == ["SECOND"]
    assert f"(started here, data in .data/nats-{second_run.nats_port}/)" in second_run.output
    assert await run.streams() == ["FIRST"]
    await second_run.stop()
    await run.stop()
    await run.start()
    await run.ready()
    assert await run.streams() == ["FIRST"]


async def test_a_second_one_on_the_same_nats_port(run: Run, second_run: Run) -> None:
    await run.start()
    await run.ready()
    second_run.nats_port = run.nats_port
    await second_run.start()
    assert await second_run.ended() == 1
    assert f"port {run.nats_port} for NATS cannot be had" in second_run.output
    assert await run.streams(add="FIRST") == ["FIRST"]


def test_the_default_port_keeps_its_folder() -> None:
    """What was stored before each port had a folder of its own is still found."""
    assert run_py.data_files(4222) == (ROOT / ".data" / "nats", ROOT / ".data" / "nats-server.log")
    assert run_py.data_files(4223) == (ROOT / ".data" / "nats-4223", ROOT / ".data" / "nats-server-4223.log")


@pytest.mark.parametrize("value", ["x", "0", "65536", "-1"])
async def test_no_port(run: Run, value: str) -> None:
    await run.start(PORT=value)
    assert await run.ended() == 1
    assert f"PORT={value} is not a port" in run.output


async def test_a_gateway_that_does_not_start_takes_nats_along(run: Run) -> None:
    await run.start(WSGW_LOG_FORMAT="xml")
    assert await run.ended() == 1
    assert "'xml' is not one of" in run.output
    await run.nothing_is_left()
