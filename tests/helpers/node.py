"""Node and npm packages for tests, installed once outside the repository; tests are skipped where there are none."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

SOCKET_IO_CLIENT = "socket.io-client@4.8"


def workspace(name: str) -> Path:
    """A folder for downloaded packages, kept from run to run."""
    folder = Path(tempfile.gettempdir()) / f"wsgw-tests-{os.getuid()}" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def require_node() -> None:
    """Skips the test where there is no node or no npm."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} on this machine")


def modules(*packages: str) -> Path:
    """The node_modules folder with ``packages`` (``name@version``); skips the test where they cannot be had."""
    require_node()
    folder = workspace("clients")
    names = [package.partition("@")[0] for package in packages]
    if not all((folder / "node_modules" / name / "package.json").exists() for name in names):
        _install(folder, packages)
    return folder / "node_modules"


def install(folder: Path, manifest: Path) -> Path:
    """The node_modules folder with what ``manifest``, a package.json, asks for; skips the test as ``modules`` does."""
    require_node()
    if not (folder / "node_modules").is_dir():
        shutil.copy(manifest, folder / "package.json")
        _install(folder, ())
    return folder / "node_modules"


async def run(script: Path, *args: str, packages: tuple[str, ...] = (SOCKET_IO_CLIENT,)) -> str:
    """What the CommonJS ``script`` prints; fails the test, with the script's errors, unless it exits with 0."""
    environment = {**os.environ, "NODE_PATH": str(modules(*packages))}
    process = await asyncio.create_subprocess_exec(
        "node",
        str(script),
        *args,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode() + out.decode()
    return out.decode()


def _install(folder: Path, packages: tuple[str, ...]) -> None:
    command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(folder), *packages]
    problem = _run(tuple(command))
    if problem is not None:
        pytest.skip(f"npm install failed: {problem}")


@cache  # one attempt per test session: without a network each takes a while
def _run(command: tuple[str, ...]) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    return None if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"
