"""The gateway that is attacked."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.program import BIN
from hostile.sockets import Target

#: Another commit's, for figures to compare with.
BINARY = Path(os.environ.get("WSGW", BIN / "wsgw")).absolute()

CHANNELS: list[dict[str, Any]] = [
    {"name": "IN", "direction": "inbound"},
    {"name": "OUT", "direction": "outbound"},
    {"name": "ECHO", "direction": "both"},
    {"name": "chat.*", "direction": "both"},
    {"name": "sum", "direction": "request", "timeout": "20s"},
    {"name": "silent", "direction": "request", "timeout": "60s"},
]
#: What has no place in a log: control characters but for line ends, and what steers terminals or directions.
_STRANGE = re.compile(r"[^\n\x20-\x7e\u00a0-\u2027\u202f-\u2065\u2070-\uffff]")
_LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[wsgw@[^]]+\] (\w+): ")


class HostileGateway(GatewayProcess):
    """A gateway at ``servers``, with CHANNELS and at most ``files`` open files, hard limit."""

    def __init__(
        self, folder: Path, servers: list[str], *, files: int | None = None, level: str = "info", **configuration: Any
    ) -> None:
        self._files = files
        self._level = level
        super().__init__(folder, {"nats": {"servers": servers}, "channels": CHANNELS} | configuration)

    def _command(self) -> tuple[str, *tuple[str | Path, ...]]:
        arguments = ("server", "-c", self.file, "-p", "0", "-l", self._level)
        if self._files is None:
            return str(BINARY), *arguments
        return "/bin/sh", "-c", f'ulimit -n {self._files} && exec "$0" "$@"', BINARY, *arguments

    def target(self, nats: NatsServer) -> Target:
        return Target(self.port, nats.port)

    def check_log(self, since: int = 0) -> None:
        """AssertionError where the log has a traceback, a line at level error, one that is forged, or raw escapes.

        ``since`` characters of ``output`` are passed over.
        """
        output = self.output[since:]
        assert "Traceback" not in output, output[-5000:]
        strange = _STRANGE.search(output)
        assert strange is None, ascii(output[max(0, strange.start() - 200) : strange.end() + 50])
        for line in output.splitlines():
            found = _LINE.match(line)
            assert found is not None, f"no line of the gateway's: {line!r}"
            assert found[1] != "error", line


def say(*words: object) -> None:
    """Tell who runs the long form."""
    print(*words, file=sys.stderr, flush=True)


#: A fixture that starts gateways at servers, with what ``HostileGateway`` takes, and ends them.
StartHostile = Callable[..., HostileGateway]
