"""The table of metrics and the objects made from it."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers.metrics import value
from wsgw import __version__
from wsgw.metrics import TABLE, Metrics, Spec


@pytest.mark.parametrize("spec", TABLE, ids=lambda spec: spec.name)
def test_each_row_is_an_attribute(spec: Spec) -> None:
    metrics = Metrics()
    name = spec.name.removeprefix("wsgw_").removesuffix("_total")
    assert name in Metrics.__annotations__
    assert type(getattr(metrics, name)).__name__.lower() == spec.kind
    assert spec.name.endswith("_total") == (spec.kind == "counter")
    assert spec.help.endswith(".")


def test_no_attribute_without_a_row() -> None:
    assert len(Metrics.__annotations__) == len(TABLE)


def test_exposition_and_value() -> None:
    metrics, other = Metrics(), Metrics()
    metrics.nats_messages.labels("IN").inc(3)
    metrics.publish_seconds.labels("OUT").observe(0.001)
    families = list(text_string_to_metric_families(metrics.exposition().decode()))
    names = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    assert {name for name in names if not name.endswith("_created")} == {spec.name for spec in TABLE}
    assert value(metrics, "wsgw_nats_messages_total", channel="IN") == 3
    assert value(metrics, "wsgw_nats_messages_total", channel="X") == 0
    assert value(metrics, "wsgw_publish_seconds_count", channel="OUT") == 1
    assert value(metrics, "wsgw_build_info", version=__version__) == 1
    assert value(other, "wsgw_nats_messages_total", channel="IN") == 0
