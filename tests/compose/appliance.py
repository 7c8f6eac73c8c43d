"""The compose project of the repository, brought up under a name and on ports of its own, seen from the host."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from compose.engine import COMPOSE_FILE, ROOT

PORT_VARIABLES = ("WSGW_PORT", "NATS_PORT", "NATS_MONITOR_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")


def poll(state: Callable[[], object], wanted: Callable[[Any], bool] = bool, *, seconds: float = 60.0) -> Any:
    """Waits until ``state()`` is as ``wanted`` and returns it; AssertionError with the last state after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        last = state()
        if wanted(last):
            return last
        assert time.monotonic() < deadline, f"after {seconds:.0f} s still {last!r}"
        time.sleep(0.1)


class Appliance:
    """One run of the project: ``up`` before anything else, ``down`` always."""

    def __init__(self) -> None:
        self.name = f"wsgw-test-{os.getpid()}"
        # port 0: the engine picks a free one, so that runs side by side cannot collide
        self._env = os.environ | dict.fromkeys(PORT_VARIABLES, "0")

    def compose(self, *args: str, check: bool = True) -> str:
        """Runs ``docker compose ARGS`` on the project and returns its standard output."""
        command = ["docker", "compose", "-p", self.name, "-f", str(COMPOSE_FILE), *args]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=900, check=False)
        assert not check or done.returncode == 0, f"{' '.join(args)}: exit {done.returncode}\n{done.stderr[-3000:]}"
        return done.stdout

    def up(self) -> float:
        """Builds and starts everything, waits until all is healthy; returns the seconds that took."""
        started = time.monotonic()
        self._make("make up")
        return time.monotonic() - started

    def down(self) -> None:
        """Removes the project's containers, volumes, network and the image built for it."""
        self._make("make down")
        self.compose("down", "-v", "--rmi", "local", "--remove-orphans", "-t", "5")

    def _make(self, command: str) -> None:
        env = self._env | {"COMPOSE_PROJECT_NAME": self.name}
        done = subprocess.run(
            command.split(), cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"

    def services(self) -> list[dict[str, Any]]:
        """The containers as ``docker compose ps`` describes them, stopped ones too."""
        return [json.loads(line) for line in self.compose("ps", "-a", "--format", "json").splitlines()]

    def address(self, service: str, port: int) -> str:
        """``HOST:PORT`` under which the service's port is published."""
        return self.compose("port", service, str(port)).strip()

    def local(self, service: str, port: int) -> str:
        """The same as a person would write it: ``localhost:PORT``."""
        return f"localhost:{self.address(service, port).rpartition(':')[2]}"

    def get(self, service: str, port: int, path: str, **params: str) -> httpx.Response:
        """An HTTP GET to a published port."""
        return httpx.get(f"http://{self.address(service, port)}{path}", params=params, timeout=10)

    def metric(self, name: str, **labels: str) -> float:
        """One sample of the gateway's ``/metrics``, 0.0 where there is none."""
        text = self.get("gateway", 3007, "/metrics").text
        samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
        return next((s.value for s in samples if s.name == name and s.labels == labels), 0.0)

    def prometheus(self, query: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        answer = self.get("prometheus", 9090, "/api/v1/query", query=query).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def nats_subscriptions(self, subject: str) -> int:
        """How many subscriptions on the NATS server match the subject."""
        return int(self.get("nats", 8222, "/subsz", subs="1", test=subject).json()["total"])
