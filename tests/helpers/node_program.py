"""A script in a process of Node's that says what happens by lines of JSON, and may be told things by lines."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from helpers import node
from helpers.node import SOCKET_IO_CLIENT


class NodeProgram:
    """``lines`` is what it said. It has npm's socket.io-client, and what that brings, unless told. ``stop`` it."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self._process: asyncio.subprocess.Process
        self._reading: asyncio.Task[None]

    async def run(self, script: Path, *arguments: str, modules: Path | None = None) -> None:
        """Begin; ``modules`` is the node_modules folder that it has."""
        self._process = await asyncio.create_subprocess_exec(
            *("node", str(script), *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=2**24,
            env={**os.environ, "NODE_PATH": str(node.modules(SOCKET_IO_CLIENT) if modules is None else modules)},
        )
        self._reading = asyncio.create_task(self._read())

    def tell(self, line: object) -> None:
        """Give it ``line``, as JSON."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")

    async def ended(self) -> int:
        """Returns when it ends by itself: its exit code."""
        return await self._process.wait()

    async def stop(self) -> None:
        """End it, if it has not."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.lines.append(json.loads(line))
