"""Node and npm packages for tests, installed once outside the repository; tests are skipped where they cannot be had.

Whether npm reaches its registry is found out once per test session, and only if something must be installed.
"""

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

_PROBE_SECONDS = 5
_INSTALL_SECONDS = 80  # less than a test may take


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
    problem = _registry_problem()
    if problem is not None:
        pytest.skip(f"the npm registry cannot be reached: {problem}")
    problem = _npm(_INSTALL_SECONDS, "install", "--no-audit", "--no-fund", "--prefix", str(folder), *packages)
    if problem is not None:
        pytest.skip(f"npm install failed: {problem}")


def _registry_problem() -> str | None:
    """Why npm cannot be told about a package, or None."""
    # npm's own settings are two retries, each after 10 s and more, and 5 minutes without an answer
    patience = ("--fetch-retries=0", f"--fetch-timeout={_PROBE_SECONDS * 1000}")
    return _npm(2 * _PROBE_SECONDS, "view", SOCKET_IO_CLIENT.partition("@")[0], "name", *patience)


@cache  # one attempt per test session: what failed once fails again, and takes a while
def _npm(seconds: float, *arguments: str) -> str | None:
    """Run npm; None, or what it says of its failure."""
    try:
        done = subprocess.run(
            ["npm", *arguments, "--loglevel=error"], capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return f"npm {arguments[0]} took longer than {seconds:g} s"
    if done.returncode == 0:
        return None
    lines = [line.removeprefix("npm error ") for line in done.stderr.splitlines()]
    # the line with the URL says most
    return next((line for line in lines if "://" in line), "; ".join(lines)) or f"exit code {done.returncode}"
