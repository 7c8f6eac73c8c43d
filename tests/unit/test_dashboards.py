"""The dashboards ask only for metrics and labels that the gateway has, and explain what they show."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from wsgw.metrics import TABLE

FILES = sorted((Path(__file__).parents[2] / "grafana" / "dashboards").glob("*.json"))
LABELS = {spec.name: {*spec.labels, "job", "instance"} for spec in TABLE}
for _spec in TABLE:
    if _spec.kind == "histogram":
        LABELS[f"{_spec.name}_bucket"] = LABELS[_spec.name] | {"le"}
        LABELS |= {f"{_spec.name}_{suffix}": LABELS[_spec.name] for suffix in ("sum", "count")}
        del LABELS[_spec.name]  # a histogram has no series under its own name

_GROUPED = re.compile(r"\bby\s*\(([^)]*)\)\s*\(\s*(?:\w+\()?(wsgw_\w+)")
_SELECTED = re.compile(r"(wsgw_\w+)\{([^}]*)\}")


def _panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def _expressions(dashboard: dict[str, Any]) -> list[str]:
    variables = [v["query"]["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
    return variables + [target["expr"] for panel in _panels(dashboard) for target in panel["targets"]]


def test_there_is_a_dashboard() -> None:
    assert "gateway-throughput" in {json.loads(path.read_text())["uid"] for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_names_and_labels_are_in_the_table(path: Path) -> None:
    expressions = _expressions(json.loads(path.read_text()))
    assert {name for e in expressions for name in re.findall(r"\bwsgw_\w+", e)} <= LABELS.keys()
    for expression in expressions:
        for labels, name in _GROUPED.findall(expression):
            assert {label.strip() for label in labels.split(",")} <= LABELS[name], expression
        for name, matchers in _SELECTED.findall(expression):
            assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= LABELS[name], expression


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_panel_has_a_unit_and_a_description(path: Path) -> None:
    for panel in _panels(json.loads(path.read_text())):
        assert panel["fieldConfig"]["defaults"].get("unit"), panel["title"]
        assert len(panel["description"]) > 20, panel["title"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_panels_do_not_overlap(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(path.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
