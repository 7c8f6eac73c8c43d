"""Reading one figure."""

from __future__ import annotations

from wsgw.metrics import Metrics


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """One sample's value, 0.0 where there is none yet."""
    for refresh in metrics.on_read:
        refresh()
    return metrics.registry.get_sample_value(name, labels) or 0.0
