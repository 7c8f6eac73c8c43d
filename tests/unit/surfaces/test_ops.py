"""What operators ask."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers.nats_server import NatsServer
from helpers.running import Running, running
from helpers.waiting import eventually
from wsgw import __version__


async def test_operators(served: Running) -> None:
    answer = await served.http.get("/healthz")
    assert answer.json() == {"status": "ok", "version": __version__}
    ready = await served.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"ready": True, "nats": "connected", "bridges": {}, "draining": False}
    metrics = await served.http.get("/metrics")
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = {sample.name for family in text_string_to_metric_families(metrics.text) for sample in family.samples}
    assert {"wsgw_nats_connected", "wsgw_deliveries_total", "wsgw_build_info"} <= samples


async def test_readiness_names_a_refused_channel(start_server: Callable[..., NatsServer]) -> None:
    server = start_server('authorization {users = [{user: u, password: p, permissions: {subscribe: {deny: ["IN"]}}}]}')
    async with running(server.url.replace("//", "//u:p@"), ready=False) as served:
        await eventually(lambda: "failed" in served.gateway.readiness().bridges.get("IN", ""), "failed")
        ready = await served.http.get("/readyz")
        assert ready.status_code == 503
        assert "IN" in ready.json()["bridges"]["IN"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_head(served: Running, path: str) -> None:
    for status in (200, 503 if path == "/readyz" else 200):
        asked, head = await served.http.get(path), await served.http.head(path)
        assert (head.status_code, head.content) == (status, b"")
        assert head.headers.keys() == asked.headers.keys()
        assert head.headers["content-type"] == asked.headers["content-type"]
        # metrics change from one answer to the next
        assert abs(int(head.headers["content-length"]) - len(asked.content)) < (100 if path == "/metrics" else 1)
        served.gateway.drain.begin()
