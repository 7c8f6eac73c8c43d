"""The service of docs/operations.md: what systemd would run, run here, with other paths."""

from __future__ import annotations

import asyncio
import configparser
import re
import shlex
import signal
from pathlib import Path

import yaml

from helpers.nats_server import NatsServer
from helpers.ports import free_port
from helpers.program import BIN, Program
from helpers.waiting import eventually
from wsgw.config.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
INSTALLED = "/opt/wsgw/bin"


def section() -> str:
    found = re.search(r"^## As a service\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def service() -> configparser.SectionProxy:
    found = re.search(r"```ini\n(.*?)```", section(), re.DOTALL)
    assert found is not None
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # its keys have capitals
    unit.read_string(found[1])
    return unit["Service"]


async def test_it_starts_reads_again_and_stops(nats: NatsServer, tmp_path: Path) -> None:
    unit = service()
    file = tmp_path / "wsgw.yml"
    settings = yaml.safe_load((ROOT / "wsgw.yml").read_text(encoding="utf-8"))
    settings |= {"listen": f"127.0.0.1:{free_port()}", "nats": {"servers": [nats.url]}}
    file.write_text(yaml.safe_dump(settings))
    program, *arguments = shlex.split(unit["ExecStart"].replace(f"{unit['WorkingDirectory']}/", f"{tmp_path}/"))
    assert program.startswith(f"{INSTALLED}/")
    gateway = Program(tmp_path, BIN / Path(program).name, *arguments)
    try:
        await eventually(lambda: "Connected to" in gateway.output, "it is up")
        reload = unit["ExecReload"].replace("$MAINPID", str(gateway.process.pid))
        assert await (await asyncio.create_subprocess_exec(*shlex.split(reload))).wait() == 0
        await eventually(lambda: "read again" in gateway.output, "the configuration is read again")
        gateway.send(signal.SIGTERM)
        assert await gateway.ended(float(unit["TimeoutStopSec"])) == 0
    finally:
        gateway.kill()


def test_its_time_to_stop_is_enough() -> None:
    """With what a proxy needs of ``drain_delay``."""
    page = (ROOT / "docs" / "proxies.md").read_text(encoding="utf-8")
    delay = re.search(r"^drain_delay: (\d+)s", page, re.MULTILINE)
    assert delay is not None
    assert float(service()["TimeoutStopSec"]) > float(delay[1]) + Settings().drain_seconds + 2


def test_it_is_installed_where_it_is_run() -> None:
    commands = re.search(r"```sh\n(.*?)```", section(), re.DOTALL)
    assert commands is not None
    assert f"{INSTALLED}/pip install ./gateway" in commands[1]
    image = (ROOT / "gateway" / "Dockerfile").read_text(encoding="utf-8")
    assert f"{INSTALLED}/pip install --no-cache-dir ." in image, "it is put there as in the image, which a test builds"
