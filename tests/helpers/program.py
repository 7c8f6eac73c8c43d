"""An installed command as a subprocess."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from helpers.waiting import DEADLINE_SECONDS, eventually

BIN = Path(sys.executable).parent
#: What the commands read from the environment and a test must not inherit.
_OURS = ("WSGW_", "EASER_", "NATS_", "PDMS_", "WEBSERVER_")


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process' environment without the variables that configure wsgw, and with ``more``."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)} | dict(more or {})


class Program:
    """Started by the constructor, in ``folder``; ``name`` is an installed command or a path."""

    def __init__(
        self, folder: Path, name: str | Path, *arguments: str | Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._output = folder / f"{Path(name).name}-{time.monotonic_ns()}.log"
        with self._output.open("wb") as out:
            self.process = subprocess.Popen(
                [BIN / name, *arguments],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env=clean_environment({"PYTHONUNBUFFERED": "1", **(environment or {})}),
                cwd=folder,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """All it printed so far."""
        return self._output.read_text(errors="replace")

    @property
    def messages(self) -> list[str]:
        """Its lines; of log lines the message, without time, label and level."""
        return [re.sub(r"^\S+Z \[\S+@\S+\] \w+: ", "", line) for line in self.output.splitlines()]

    async def printed(self, text: str, times: int = 1) -> None:
        """Returns when ``text`` is in the output, ``times`` times."""
        await eventually(
            lambda: self.output.count(text) >= times or self.process.poll() is not None,
            f"{text!r} in the output of {self.process.args!r}",
        )
        assert self.output.count(text) >= times, f"ended with {self.process.returncode}: {self.output}"

    async def ended(self, deadline_seconds: float = DEADLINE_SECONDS) -> int:
        """Its exit code, when it ends by itself."""
        await eventually(lambda: self.process.poll() is not None, f"end of {self.process.args!r}", deadline_seconds)
        return self.process.returncode

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it, if it has not ended; and everything it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
