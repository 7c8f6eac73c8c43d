"""A process seen from outside (Linux): memory, open files, CPU."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from helpers.gateway import GatewayProcess

#: Where a gateway is killed: others use this machine, too.
MOST_BYTES = 3 * 1024**3
_INTERVAL_SECONDS = 0.1
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Watch:
    """Looks at ``gateway``; ``killed`` when it had to be ended for its memory."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self._folder = Path(f"/proc/{gateway.process.pid}")
        self.killed = False

    @property
    def alive(self) -> bool:
        return self._gateway.process.poll() is None

    def resident_bytes(self) -> int:
        return self._memory("VmRSS")

    def peak_bytes(self) -> int:
        """The most memory since ``forget_peak``."""
        return self._memory("VmHWM")

    def forget_peak(self) -> None:
        (self._folder / "clear_refs").write_text("5")

    def open_files(self) -> int:
        return len(os.listdir(self._folder / "fd"))

    def cpu_seconds(self) -> float:
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    @asynccontextmanager
    async def guarding(self) -> AsyncIterator[None]:
        """Kills the gateway when it takes more than MOST_BYTES."""
        task = asyncio.create_task(self._guard())
        try:
            yield
        finally:
            task.cancel()

    async def _guard(self) -> None:
        while self.alive:
            if self.resident_bytes() > MOST_BYTES:
                self.killed = True
                self._gateway.kill()
            await asyncio.sleep(_INTERVAL_SECONDS)

    def _memory(self, what: str) -> int:
        _, found, rest = (self._folder / "status").read_text().partition(f"{what}:")
        return int(rest.split()[0]) * 1024 if found else 0
