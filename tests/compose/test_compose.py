"""The appliance from outside: its health, the seed's walk, its figures and its dashboard."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nats
import pytest
from websockets.asyncio.client import ClientConnection, connect

from compose.appliance import Appliance, poll
from compose.command import Consumer, run
from compose.engine import ROOT, kit

# the first test's time includes the build of the image, and the engine's own making where it is missing
pytestmark = [pytest.mark.compose, pytest.mark.timeout(1500)]

MESSAGE = '{"notes":"Some text..."}'
SCHEMA_PACKAGES = ("@grafana/schema@13.2.3", "typescript@7.0.2")
INBOUND, OUTBOUND, CLIENTS = 500, 200, 3


def test_every_service_is_healthy_and_published_on_this_host_only(appliance: Appliance) -> None:
    services = appliance.services()
    assert {s["Service"]: s["Health"] for s in services} == dict.fromkeys(
        ("gateway", "nats", "nats-exporter", "prometheus", "grafana"), "healthy"
    )
    published = {(p["TargetPort"], p["URL"]) for s in services for p in s["Publishers"] if p["PublishedPort"]}
    assert published == {(port, "127.0.0.1") for port in (3007, 4222, 8222, 9090, 3000)}


def test_gateway_does_not_run_as_root(appliance: Appliance) -> None:
    script = "import os; print(os.stat('/proc/1').st_uid, os.getuid())"
    owner, user = appliance.compose("exec", "-T", "gateway", "python", "-c", script).split()
    assert owner == user != "0"


def test_image_lists_what_is_in_it(appliance: Appliance) -> None:
    bill = json.loads(appliance.compose("exec", "-T", "gateway", "cat", "/opt/wsgw/share/sbom.cdx.json"))
    assert bill["metadata"]["component"]["name"] == "wsgw"
    assert {"uvicorn", "nats-py", "pip"} <= {component["name"] for component in bill["components"]}


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_walk_from_nats_to_a_client(appliance: Appliance, scheme: str) -> None:
    with Consumer("-u", f"{scheme}://{appliance.local('gateway', 3007)}", "-t", "IN") as consumer:
        consumer.wait_for('Start listening to messages on WebSocket "IN" topic')
        poll(lambda: appliance.metric("wsgw_subscriptions", channel="IN"), lambda n: n == 1)
        out = run("producer", "-u", f"nats://{appliance.local('nats', 4222)}", "-t", "IN", "-m", MESSAGE)
        assert f"info: {MESSAGE} >> [IN]\n" in out
        consumer.wait_for(f"WS[IN] >> {json.dumps(MESSAGE)}")


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_walk_from_a_client_to_nats(appliance: Appliance, scheme: str) -> None:
    with Consumer("-u", f"nats://{appliance.local('nats', 4222)}", "-t", "OUT") as consumer:
        consumer.wait_for('Start listening to messages on NATS "OUT" topic')
        poll(lambda: appliance.nats_subscriptions("OUT"), lambda n: n == 1)
        out = run("producer", "-u", f"{scheme}://{appliance.local('gateway', 3007)}", "-t", "OUT", "-m", MESSAGE)
        assert f"info: {MESSAGE} >> [OUT]\n" in out
        consumer.wait_for(f"NATS[OUT] >> {json.dumps(MESSAGE)}")


def test_prometheus_reaches_every_target(appliance: Appliance) -> None:
    def health() -> dict[str, str]:
        targets = appliance.get("prometheus", 9090, "/api/v1/targets").json()["data"]["activeTargets"]
        return {target["scrapePool"]: target["health"] for target in targets}

    poll(health, lambda state: state == dict.fromkeys(("wsgw", "nats", "prometheus"), "up"))


@dataclass(frozen=True)
class Counter:
    """A counter of the gateway and by how much the traffic must have raised it."""

    name: str
    labels: dict[str, str]
    rise: int

    def read(self, appliance: Appliance) -> float:
        return appliance.metric(self.name, **self.labels)

    def selector(self) -> str:
        return self.name + "{" + ",".join(f'{key}="{value}"' for key, value in self.labels.items()) + "}"


COUNTERS = (
    Counter("wsgw_nats_messages_total", {"channel": "IN"}, INBOUND),
    Counter("wsgw_deliveries_total", {"channel": "IN", "transport": "websocket"}, INBOUND * CLIENTS),
    # without WebSocket framing: on this transport, the payloads
    Counter("wsgw_delivered_bytes_total", {"channel": "IN"}, sum(len(str(n)) for n in range(INBOUND)) * CLIENTS),
    Counter("wsgw_dropped_messages_total", {"channel": "IN", "policy": "drop_oldest"}, 0),
    Counter("wsgw_published_messages_total", {"channel": "OUT", "transport": "websocket"}, OUTBOUND),
)


async def _traffic(appliance: Appliance) -> None:
    """Sends numbered messages both ways and checks that each arrived once, in order."""
    gateway = f"ws://{appliance.address('gateway', 3007)}/ws"

    async def receive(client: ClientConnection) -> list[str | bytes]:
        return [await client.recv() for _ in range(INBOUND)]

    async with await nats.connect(f"nats://{appliance.address('nats', 4222)}") as nc:
        clients = [await connect(f"{gateway}/IN") for _ in range(CLIENTS)]
        await asyncio.to_thread(
            poll, lambda: appliance.metric("wsgw_subscriptions", channel="IN"), lambda n: n == CLIENTS
        )
        for n in range(INBOUND):
            await nc.publish("IN", b"%d" % n)
        async with asyncio.timeout(60):
            for messages in await asyncio.gather(*map(receive, clients)):
                assert messages == [str(n) for n in range(INBOUND)]
        for client in clients:
            await client.close()

        out = await nc.subscribe("OUT")
        await nc.flush()
        async with connect(f"{gateway}/OUT") as sender:
            for n in range(OUTBOUND):
                await sender.send(str(n))
        # the gateway answers the closing handshake after NATS has all of them
        assert sender.close_code == 1000
        assert [int((await out.next_msg(30)).data) for _ in range(OUTBOUND)] == list(range(OUTBOUND))


@pytest.fixture(scope="module")
def totals(appliance: Appliance) -> list[float]:
    """What ``COUNTERS`` must come to after a known number of messages went through the gateway."""
    before = [counter.read(appliance) for counter in COUNTERS]
    asyncio.run(_traffic(appliance))
    return [value + counter.rise for counter, value in zip(COUNTERS, before, strict=True)]


def test_counters_are_exact(appliance: Appliance, totals: list[float]) -> None:
    poll(lambda: [counter.read(appliance) for counter in COUNTERS], lambda values: values == totals)


def test_prometheus_has_the_same_figures(appliance: Appliance, totals: list[float]) -> None:
    def figures() -> list[float]:
        results = [appliance.prometheus(counter.selector()) for counter in COUNTERS]
        return [sum(float(sample["value"][1]) for sample in result) for result in results]

    poll(figures, lambda values: values == totals)


def test_dashboard_is_provisioned(appliance: Appliance) -> None:
    found = appliance.get("grafana", 3000, "/api/search", query="Gateway throughput").json()
    assert [(d["uid"], d["title"]) for d in found] == [("gateway-throughput", "Gateway throughput")]
    assert appliance.get("grafana", 3000, "/api/datasources/uid/prometheus/health").json()["status"] == "OK"
    shown = appliance.get("grafana", 3000, "/api/dashboards/uid/gateway-throughput").json()
    assert shown["meta"]["provisioned"]
    if "X-Stand-In" in (problems := appliance.get("grafana", 3000, "/api/standin/problems")).headers:
        assert problems.json() == []


@pytest.fixture(scope="module")
def check_dashboards() -> Callable[..., str]:
    """The kit's checker: takes its options, returns what it complains about, empty when it is content."""
    if (folder := kit()) is None:
        pytest.skip("dashboard_check.py is in docker-kit, which is not at WSGW_DOCKER_KIT or ../shared/docker-kit")
    files = [str(path) for path in sorted((ROOT / "grafana" / "dashboards").glob("*.json"))]

    def check(*options: str) -> str:
        command = [sys.executable, str(folder / "dashboard_check.py"), *options, "--", *files]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    return check


@pytest.mark.usefixtures("totals")
def test_every_query_of_the_dashboards_answers(appliance: Appliance, check_dashboards: Callable[..., str]) -> None:
    prometheus = f"http://{appliance.address('prometheus', 9090)}"
    # a rate needs two scrapes
    poll(lambda: check_dashboards("--prom", prometheus, "--uid", "prometheus"), lambda complaints: not complaints)


def test_dashboards_fit_grafanas_own_types(tmp_path: Path, check_dashboards: Callable[..., str]) -> None:
    if (npm := shutil.which("npm")) is None:
        pytest.skip("no npm, which brings Grafana's published types")
    command = [npm, "install", "--prefix", str(tmp_path), "--no-audit", "--no-fund", *SCHEMA_PACKAGES]
    installed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if installed.returncode != 0:
        pytest.skip(f"npm cannot install {SCHEMA_PACKAGES}: {installed.stderr.strip()[-200:]}")
    assert check_dashboards("--schema", str(tmp_path / "node_modules")) == ""


def test_gateway_stops_cleanly_and_comes_back(appliance: Appliance) -> None:
    appliance.compose("stop", "gateway")
    assert next(s for s in appliance.services() if s["Service"] == "gateway")["ExitCode"] == 0
    appliance.compose("up", "-d", "--wait", "--wait-timeout", "120", "gateway")
    assert appliance.get("gateway", 3007, "/readyz").status_code == 200
