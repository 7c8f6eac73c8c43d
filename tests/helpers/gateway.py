"""The gateway as users run it: the installed command, as a subprocess on a free port."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from helpers.program import Program
from helpers.waiting import DEADLINE_SECONDS, eventually

_HERE = Path(__file__).parent


class GatewayProcess(Program):
    """``wsgw server`` with ``configuration``, the content of its file; the constructor returns when it listens.

    ``folder`` is a directory of its own; ``port`` is the port it took.
    """

    #: Whether the answer to a WebSocket client's close comes when what it published is settled, and says how that went.
    close_confirms = True
    _listening = re.compile(r"Server listening on port (\d+)")

    def __init__(
        self,
        folder: Path,
        configuration: Mapping[str, Any],
        *arguments: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.file = folder / "gateway.yml"
        self.file.write_text(yaml.safe_dump(dict(configuration), sort_keys=False))
        super().__init__(folder, *self._command(), *arguments, environment=environment)
        self.port = self._port()

    def _command(self) -> tuple[str, *tuple[str | Path, ...]]:
        return "wsgw", "server", "-c", self.file, "-p", "0", "-l", "debug"

    def _port(self) -> int:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (found := self._listening.search(self.output)) is None:
            assert self.process.poll() is None, f"the gateway ended: {self.output}"
            assert time.monotonic() < deadline, f"the gateway does not listen: {self.output}"
            time.sleep(0.01)
        return int(found[1])

    @property
    def url(self) -> str:
        """Its HTTP address."""
        return f"http://127.0.0.1:{self.port}"

    def websocket(self, channel: str) -> str:
        """The WebSocket address of a channel."""
        return f"ws://127.0.0.1:{self.port}/ws/{channel}"

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """``/readyz``: status and body."""
        answer = httpx.get(f"{self.url}/readyz", trust_env=False)
        return answer.status_code, answer.json()

    async def ready(self, wanted: bool = True) -> None:
        """Returns when ``/readyz`` says that it is ready, or with ``wanted`` false that it is not."""
        status = 200 if wanted else 503
        await eventually(lambda: self.readiness()[0] == status, f"/readyz answers {status}")

    async def post(self, path: str, payload: bytes) -> tuple[int, str]:
        """POST ``payload``; the answer's status, and the error's name or an empty string."""
        async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_SECONDS) as http:
            answer = await http.post(self.url + path, content=payload)
        return answer.status_code, "" if answer.is_success else answer.json()["error"]["code"]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have ``labels``."""
        text = httpx.get(f"{self.url}/metrics", trust_env=False).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def resident_bytes(self) -> int:
        """The memory it has now (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    async def stop(self, number: signal.Signals = signal.SIGTERM, deadline_seconds: float = 10) -> None:
        """Ask it to end; it has to, in time and with exit code 0."""
        self.send(number)
        code = await self.ended(deadline_seconds)
        assert code == 0, self.output
        assert self.messages[-1] == "Shutdown process successfully finished", self.output
        assert "Traceback" not in self.output, self.output[-5000:]


class AsgiGatewayProcess(GatewayProcess):
    """The gateway's application under uvicorn as it comes: the connections' links are ``AsgiLink``."""

    close_confirms = False  # ASGI servers answer a close themselves, and at once
    _listening = re.compile(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")

    def _command(self) -> tuple[str, *tuple[str | Path, ...]]:
        return "uvicorn", "--factory", "plain_asgi:application", "--app-dir", _HERE, "--port", "0"


#: A fixture that starts gateways, from NATS URLs and channels, and ends them.
StartGateway = Callable[..., GatewayProcess]
