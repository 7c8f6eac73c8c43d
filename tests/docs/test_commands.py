"""Runs every command of README.md, CONTRIBUTING.md and docs/: fenced ``console`` blocks, lines that begin with ``$ ``.

Ports are replaced by free ones. What follows a command in its block is its output. Commands that start something
long-lived are run by the tests named in COVERED, which must have them word for word.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import docs
from helpers.nats_server import NatsServer

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
COVERED = {
    "make test": ".ci/run",
    "make run": "tests/integration/test_walk.py",
    'easer -u -w -i "IN" -o "OUT"': "tests/integration/test_walk.py",
    "make up": "tests/compose/appliance.py",
    "make down": "tests/compose/appliance.py",
    "docker compose up -d --build --wait": "Makefile",  # by make up
    "docker compose ps": "Makefile",
}
_BLOCK = re.compile(r"^( *)```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a page, with the lines of output it shows."""
    for indent, block in _BLOCK.findall(text):
        lines = [line.removeprefix(indent) for line in block.splitlines()]
        assert lines[0].startswith("$ "), f"a console block begins with a command: {lines[0]!r}"
        starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            yield lines[start][2:], lines[start + 1 : end]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds:g} s"
        time.sleep(0.02)


def wait_for_words(logs: list[Path], words: str) -> None:
    wait_for(lambda: any(words in log.read_text(encoding="utf-8") for log in logs), words)


@pytest.fixture
def replace_ports(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """The gateway of ``make run`` on free ports; gives what makes a command's text fit them."""
    nats = NatsServer(tmp_path)
    port = free_port()
    with (tmp_path / "gateway.log").open("wb") as out:
        gateway = subprocess.Popen(
            [BIN / "wsgw", "server", "-c", "wsgw.yml", "-p", str(port), "-n", nats.url], cwd=ROOT, stdout=out
        )
    try:
        url = f"http://127.0.0.1:{port}/readyz"
        ready = [sys.executable, "-c", f"import urllib.request; urllib.request.urlopen({url!r}).read()"]
        wait_for(lambda: subprocess.run(ready, stderr=subprocess.DEVNULL, check=False).returncode == 0, "readiness")
        yield lambda text: text.replace("localhost:3007", f"localhost:{port}").replace(
            "nats://localhost:4222", nats.url
        )
    finally:
        gateway.terminate()
        gateway.wait(20)
        nats.stop()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_do_what_the_page_shows(page: Path, replace_ports: Callable[[str], str], tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    consumers: list[tuple[subprocess.Popen[bytes], Path]] = []
    try:
        for command, output in commands(text):
            if command in COVERED:
                continue
            actual = replace_ports(command)
            if command.startswith("wsgw consumer") and "--help" not in command:
                log = tmp_path / f"consumer{len(consumers)}"
                with log.open("wb") as out:
                    consumers.append((subprocess.Popen(f"exec {actual}", shell=True, env=environment, stdout=out), log))
                wait_for_words([log], "Start listening")
                continue
            done = subprocess.run(
                actual, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
            if output:
                assert done.stdout.splitlines() == output, command
        for printed in re.findall(r"prints\s+`([^`]+)`", text) if consumers else []:
            wait_for_words([log for _, log in consumers], printed)
    finally:
        for process, _ in consumers:
            process.send_signal(signal.SIGINT)
        codes = [process.wait(20) for process, _ in consumers]
    assert codes == [0] * len(consumers)


@pytest.mark.parametrize(("command", "test"), COVERED.items())
def test_covered_commands_are_in_their_tests(command: str, test: str) -> None:
    words = (ROOT / test).read_text(encoding="utf-8")
    assert command in words or command.replace('"', '\\"') in words


def test_every_covered_command_is_on_a_page() -> None:
    shown = {command for page in PAGES for command, _ in commands(page.read_text(encoding="utf-8"))}
    assert set(COVERED) <= shown
    assert any(command.startswith("wsgw consumer") for command in shown)


def test_tables_are_those_of_the_code() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert docs.filled(text) == text, f"{page.name}: run make docs"


def headings(page: Path) -> set[str]:
    """What links lead to by ``#``, as GitHub makes it of headings: small letters, no punctuation, ``-`` for blanks."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


def test_links_lead_to_files_and_headings() -> None:
    for page in PAGES:
        for file, heading in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")):
            target = page.parent / file if file else page
            assert target.exists(), f"{page.name} links to {file}"
            assert not heading or heading in headings(target), f"{page.name} links to {file}#{heading}"


def test_the_distribution_has_the_license() -> None:
    assert (ROOT / "gateway" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
