"""The official Engine.IO 4 and Socket.IO 5 protocol suites (sio-suite/, 57 tests) against our own server classes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import node

HERE = Path(__file__).parent


@pytest.fixture
def url() -> Iterator[str]:
    """Where socketio_app.py listens."""
    app = subprocess.Popen(
        [sys.executable, str(HERE / "socketio_app.py"), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    with app:
        try:
            assert app.stdout is not None
            yield f"http://127.0.0.1:{int(app.stdout.readline())}"
        finally:
            app.terminate()


@pytest.fixture(scope="module")
def folder() -> Path:
    """A folder with the npm packages of the suites; without them the test is skipped."""
    folder = node.workspace("sio-suite")
    node.install(folder, HERE / "sio-suite" / "package.json")
    return folder


def test_all_57_tests_pass(folder: Path, url: str) -> None:
    done = subprocess.run(
        [str(HERE / "sio-suite" / "run.sh"), url],
        env={**os.environ, "SIO_SUITE_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    rest = [line for line in done.stdout.splitlines() if not line.startswith("PASS")]
    assert rest == ["-- eio: 25 passed, 0 failed", "-- sio: 32 passed, 0 failed", "57 passed, 0 failed"], done.stderr
    assert done.returncode == 0
