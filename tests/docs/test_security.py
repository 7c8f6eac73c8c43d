"""The examples of docs/security.md, as they stand there, run with a gateway."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.waiting import DEADLINE_SECONDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"


class Example:
    """A section's: the channels of its configuration, and its program."""

    def __init__(self, title: str) -> None:
        section = PAGE.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        blocks = dict(re.findall(r"```(yaml|python)\n(.*?)```", section, re.DOTALL))
        self.configuration = yaml.safe_load(blocks["yaml"])
        self.program = blocks["python"]


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def run() -> Iterator[Callable[[str], None]]:
    """Runs programs until the end of the test."""
    made: list[subprocess.Popen[bytes]] = []
    yield lambda program: made.append(subprocess.Popen([sys.executable, "-c", program]))
    for process in made:
        process.kill()
        process.wait(20)


async def test_a_nats_service_decides(nats: NatsServer, tmp_path: Path, run: Callable[[str], None]) -> None:
    example = Example("A NATS service decides")
    run(example.program.replace("nats://localhost:4222", nats.url))
    gateway = GatewayProcess(tmp_path, {"nats": {"servers": [nats.url]}, **example.configuration})
    try:
        await gateway.ready()

        asked = partial(gateway.post, "/publish/room.open", b"x")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (await asked())[0] != 202:  # the service is not there yet
                await asyncio.sleep(0.1)
        status, code = await gateway.post("/publish/room.staff", b"x")
        assert (status, code) == (403, "forbidden")
    finally:
        gateway.kill()
