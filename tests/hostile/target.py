"""The gateway that is attacked."""

from __future__ import annotations

import json
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
        self._json = configuration.get("log", {}).get("format") == "json"
        super().__init__(folder, {"nats": {"servers": servers}, "channels": CHANNELS} | configuration)

    def _command(self) -> tuple[str, *tuple[str | Path, ...]]:
        arguments = ("server", "-c", self.file, "-p", "0", "-l", self._level)
        if self._files is None:
            return str(BINARY), *arguments
        return "/bin/sh", "-c", f'ulimit -n {self._files} && exec "$0" "$@"', BINARY, *arguments

    def target(self, nats: NatsServer) -> Target:
        return Target(self.port, nats.port)

    def check_log(self, since: int = 0, *, errors: bool = False) -> None:
        """AssertionError where the log has a traceback, a line at level error, one that is forged, or raw escapes.

        ``since`` characters of ``output`` are passed over. Lines at level error may be there with ``errors``.
        """
        output = self.output[since:]
        assert "Traceback" not in output, output[-5000:]
        strange = _STRANGE.search(output)
        assert strange is None, ascii(output[max(0, strange.start() - 200) : strange.end() + 50])
        for line in output.splitlines():
            level = _level_of_json(line) if self._json else _level(line)
            assert level is not None, f"no line of the gateway's: {line!r}"
            assert errors or level != "error", line


def _level(line: str) -> str | None:
    """That of a line of the log; None where it is none."""
    found = _LINE.match(line)
    return None if found is None else found[1]


def _level_of_json(line: str) -> str | None:
    try:
        said = json.loads(line)
    except ValueError:
        return None
    if not isinstance(said, dict) or list(said) != ["label", "level", "message", "timestamp"]:
        return None
    shown = f"{said['timestamp']} [{said['label']}] {said['level']}: "
    return said["level"] if _level(shown) == said["level"] else None


def say(*words: object) -> None:
    """Tell who runs the long form."""
    print(*words, file=sys.stderr, flush=True)


#: A fixture that starts gateways at servers, with what ``HostileGateway`` takes, and ends them.
StartHostile = Callable[..., HostileGateway]
