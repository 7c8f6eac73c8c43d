"""The installed ``wsgw`` command as a child process whose lines are watched."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

from compose.appliance import poll

WSGW = Path(sys.executable).with_name("wsgw")


def run(*args: str) -> str:
    """Runs ``wsgw ARGS`` to its end, which must be exit code 0; returns its standard output."""
    done = subprocess.run([WSGW, *args], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Consumer:
    """``wsgw consumer ARGS`` while the ``with`` block lasts; then SIGINT, to which exit code 0 must be the answer."""

    def __init__(self, *args: str) -> None:
        self._args = args
        self.lines: list[str] = []

    def __enter__(self) -> Consumer:
        self._child = subprocess.Popen([WSGW, "consumer", *self._args], stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as lines:
            self.lines.extend(line.rstrip("\n") for line in lines)

    def wait_for(self, message: str) -> None:
        """Waits for a log line with exactly this message; AssertionError when the command ends without it."""

        def said() -> bool:
            return any(line.endswith(f" info: {message}") for line in self.lines)

        poll(lambda: said() or not self._reader.is_alive())
        assert said(), self.lines

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._child.send_signal(signal.SIGINT)
        try:
            code = self._child.wait(15)
        finally:
            self._child.kill()
            self._reader.join(15)
        assert kind is not None or code == 0, f"exit {code}: {self.lines}"
