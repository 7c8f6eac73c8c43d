"""Attacks run in a process of their own, so that what they take of this one's time is not measured as the gateway's."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.program import clean_environment
from hostile.form import LONG
from hostile.sockets import Target

_TESTS = Path(__file__).parents[1]
#: How long an attack may go on: its connections may be answered late.
_PATIENCE_SECONDS = 240.0

#: What an attacker saw, to be looked at by the test and shown in the table of figures.
Seen = dict[str, Any]


@dataclass(frozen=True)
class Attack:
    """``run`` with the arguments of the long form, or those of the short one: what the row of the issue says."""

    run: Callable[..., Coroutine[Any, Any, Seen]]
    long: dict[str, Any]
    short: dict[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        return self.long if LONG else self.long | self.short


class Attacker:
    """The process that runs one attack."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, name: str, target: Target, **arguments: Any) -> Attacker:
        """Returns when the attack begins; ``arguments`` take the place of the table's."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hostile.attacks", name, str(target.port), str(target.nats_port)),
            json.dumps(arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            cwd=_TESTS,
            env=clean_environment({"PYTHONPATH": f"{_TESTS}", "WSGW_HOSTILE": "long" if LONG else "short"}),
            limit=2**20,
            preexec_fn=lambda: os.nice(5) and None,
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"begins\n", f"the attacker {name} did not start"
        return cls(process)

    async def finish(self) -> Seen:
        """What it saw, when it has ended."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            output, _ = await self._process.communicate()
        assert self._process.returncode == 0, "the attacker failed"
        seen: Seen = json.loads(output)
        return seen

    async def kill(self) -> None:
        """End it, if it has not ended: its connections are reset or closed, as the system likes."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
