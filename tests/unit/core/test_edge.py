"""What connections share: how refusals are counted and told."""

from __future__ import annotations

import logging
import resource

import pytest

from helpers.metrics import value
from wsgw.access.pages import Pages
from wsgw.config.limits import LimitsSettings, QuotaSettings
from wsgw.core.edge import LOG_PERIOD_SECONDS, Edge
from wsgw.metrics import Metrics
from wsgw.shares.files import Files


async def test_refusals_are_counted_and_told_once_per_reason_and_period(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    metrics, now = Metrics(), [50.0]
    edge = Edge(LimitsSettings(), metrics, lambda: now[0])
    for _ in range(3):
        edge.refused("no_files", "%d are open", 7)
    edge.refused("no_memory")
    assert [record.getMessage() for record in caplog.records] == ["refused: no_files: 7 are open"]
    now[0] += LOG_PERIOD_SECONDS
    edge.refused("no_files", "%d are open", 8)
    assert caplog.messages[-1] == "refused: no_files: 8 are open (2 more since the last such line)"
    assert value(metrics, "wsgw_rejected_total", reason="no_files") == 4
    assert value(metrics, "wsgw_rejected_total", reason="no_memory") == 1


async def test_the_gauges_show_what_is_kept() -> None:
    metrics = Metrics()
    edge = Edge(LimitsSettings(memory=2 * 1024**2, files_reserve=9), metrics)  # type: ignore[arg-type]
    assert edge.files.reserve == 9
    edge.memory.add(1234)
    edge.slices.queue(lambda until: False)
    edge.files.connections = range(7)
    assert value(metrics, "wsgw_memory_bytes") == 1234
    assert value(metrics, "wsgw_memory_limit_bytes") == 2 * 1024**2
    assert value(metrics, "wsgw_deferred_connections") == 1
    assert value(metrics, "wsgw_open_files") == edge.files.open
    assert value(metrics, "wsgw_open_files_limit") == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


async def test_who_is_ended_for_memory_is_told_once_per_period(caplog: pytest.LogCaptureFixture) -> None:
    now = [50.0]
    edge = Edge(LimitsSettings(memory=1024**2), Metrics(), lambda: now[0])  # type: ignore[arg-type]
    for count in (2, 5, 6):
        edge.memory.on_evicted(count)
    said = "clients ended for whom most was kept: more than 1048576 bytes wait"
    assert caplog.messages == [f"{said} (2 at once)"]
    now[0] += LOG_PERIOD_SECONDS
    edge.memory.on_evicted(1)
    assert caplog.messages[1:] == [f"{said} (11 more since the last such line)"]


async def test_a_listener_of_its_own_shares_all_but_who_asks() -> None:
    edge = Edge(LimitsSettings(), Metrics())
    pages, files = Pages([]), Files(1, 4, others=0)
    other = edge.aside(pages, files)
    assert (other.pages, other.files) == (pages, files)
    assert (edge.pages, edge.files) != (pages, files)
    assert (other.memory, other.slices, other.limits) == (edge.memory, edge.slices, edge.limits)


async def test_who_counts_by_address_has_to_know_the_proxies() -> None:
    assert not Edge(LimitsSettings(), Metrics()).proxies.counting
    assert Edge(LimitsSettings(address=QuotaSettings(connections=5)), Metrics()).proxies.counting
