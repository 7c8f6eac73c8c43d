"""The examples of docs/security.md, as they stand there, run with a gateway."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.ports import free_port
from helpers.waiting import DEADLINE_SECONDS, eventually

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

        async def told() -> int | None:
            status, _ = await gateway.post("/publish/room.open", b"x")
            return None if status == 503 else status  # the service is not there yet

        found: int | None = await eventually(told, "the service is there")
        assert found == 202
        status, code = await gateway.post("/publish/room.staff", b"x")
        assert (status, code) == (403, "forbidden")
    finally:
        gateway.kill()


async def test_your_own_endpoint_decides(nats: NatsServer, tmp_path: Path, run: Callable[[str], None]) -> None:
    example = Example("Your own endpoint decides")
    port = free_port()
    run(example.program.replace("8080", str(port)))
    delegate = example.configuration["auth"]["delegate"]
    delegate["url"] = delegate["url"].replace("8080", str(port))
    gateway = GatewayProcess(tmp_path, {"nats": {"servers": [nats.url]}, **example.configuration})
    try:
        await gateway.ready()
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=DEADLINE_SECONDS) as http:

            async def told(cookie: str) -> int | None:
                headers = {"cookie": cookie} if cookie else {}
                status = (await http.post("/publish/orders", content=b"x", headers=headers)).status_code
                return None if status == 503 else status  # the endpoint is not there yet

            found: int | None = await eventually(lambda: told("session=alices"), "the endpoint is there")
            assert found == 202
            assert [await told("session=mine"), await told("")] == [401, 403]
    finally:
        gateway.kill()
