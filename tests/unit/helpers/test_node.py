"""Tests that need npm packages are skipped, quickly and with the reason, where no registry can be reached."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import node

TESTS = Path(node.__file__).parents[1]

#: Each way in which tests get packages, among them one more test after a fixture that was skipped.
NEEDS_NPM = """
from pathlib import Path
import pytest
from helpers import node

@pytest.fixture(scope="module")
def folder():
    Path("package.json").write_text('{"dependencies": {"left-pad": "^1.3.0"}}')
    return node.install(node.workspace("suite"), Path("package.json"))

@pytest.fixture
def modules():
    return node.modules(node.SOCKET_IO_CLIENT)

def test_folder(folder): ...
def test_folder_again(folder): ...
def test_modules(modules): ...
def test_modules_again(modules): ...
def test_other_modules(): node.modules("left-pad@1.3")
async def test_script(): await node.run(Path("script.cjs"))
"""


@pytest.fixture(params=["refuses", "is silent"])
def unreachable(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a registry that refuses connections, or takes them and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "is silent":
            listener.listen(100)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_without_a_registry(tmp_path: Path, unreachable: str) -> None:
    node.require_node()
    (tmp_path / "test_npm.py").write_text(NEEDS_NPM)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -ra\nasyncio_mode = auto\n")
    calls = tmp_path / "calls"
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f'#!/bin/sh\necho "$1" >> {calls}\nexec {shutil.which("npm")} "$@"\n')
    npm.chmod(0o755)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        "PATH": f"{npm.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(TESTS),
        "TMPDIR": str(tmp_path),  # nothing is installed there
        "npm_config_cache": str(tmp_path / "cache"),
        "npm_config_registry": unreachable,
        "CI": "true",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert calls.read_text().split() == ["view"], "it was decided more than once"
    assert done.returncode == 0, done.stdout
    assert "6 skipped" in done.stdout
    told = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert sum(int(line.partition("[")[2].partition("]")[0]) for line in told) == 6
    for line in told:
        assert "the npm registry cannot be reached: " in line
        assert unreachable in line
