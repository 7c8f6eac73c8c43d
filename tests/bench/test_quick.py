"""One tiny row through the real benchmark: structure, counts, and that CPU was seen. Never speed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent.parent


def bench(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it as ``make bench`` does, with its results in ``folder``."""
    ours = ("QUICK", "ROWS", "SYSTEMS", "ROUNDS", "OUT", "BEFORE")
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        [sys.executable, "-m", "bench.run"],
        cwd=ROOT,
        env=inherited | environment | {"OUT": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run of the smallest row with two systems."""
    folder = tmp_path_factory.mktemp("bench")
    run = bench(folder, QUICK="1", ROWS="tiny", SYSTEMS="wsgw,nats")
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def test_every_system_is_measured_and_every_delivery_counted(results: Path) -> None:
    rows: dict[str, dict[str, list[dict[str, Any]]]] = json.loads((results / "results.json").read_text())
    assert list(rows) == ["tiny"]
    assert set(rows["tiny"]) == {"wsgw", "nats"}
    for rounds in rows["tiny"].values():
        assert len(rounds) == 1
        values = rounds[0]
        assert values["us"] > 0
        assert values["load_us"] > 0
        assert values["messages"] >= 3 * 50 * 20  # three rounds of 50 messages to 20 clients at least
        assert values["messages"] % (50 * 20) == 0


def test_the_report_has_what_was_measured_and_no_more(results: Path) -> None:
    text = (results / "RESULTS.md").read_text()
    assert "| | wsgw | nats-server WebSocket |" in text
    assert "Fan-out to 20 clients" in text
    for absent in ("FastAPI", "latency", "Targets", "Failed"):
        assert absent not in text.partition("## How it was measured")[0]
    assert "wsgw 0" in text.partition("## Versions")[2]


def test_the_chart_is_whole(results: Path) -> None:
    root = ElementTree.parse(results / "results.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_another_commit_takes_turns(tmp_path: Path) -> None:
    run = bench(
        tmp_path, QUICK="1", ROWS="tiny", SYSTEMS="wsgw,before", BEFORE=str(Path(sys.executable).parent / "wsgw")
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert set(json.loads((tmp_path / "results.json").read_text())["tiny"]) == {"wsgw", "before"}
    ratio = re.search(r"^ +(\d\.\d+)  tiny, wsgw: ", run.stdout, re.MULTILINE)
    assert ratio is not None, run.stdout
    assert float(ratio[1]) > 0


def test_by_tls(tmp_path: Path) -> None:
    run = bench(tmp_path, QUICK="1", ROWS="tiny", SYSTEMS="wsgw-tls,nats-tls")
    assert run.returncode == 0, run.stdout + run.stderr
    rows = json.loads((tmp_path / "results.json").read_text())
    assert set(rows["tiny"]) == {"wsgw-tls", "nats-tls"}
    for (values,) in rows["tiny"].values():
        assert values["us"] > 0
        assert values["messages"] % (50 * 20) == 0


def test_an_unknown_row_is_refused(tmp_path: Path) -> None:
    run = bench(tmp_path, ROWS="fanuot")
    assert run.returncode == 1
    assert "there is no 'fanuot'" in run.stderr
    assert not list(tmp_path.iterdir())


def test_requests_are_asked_by_all_who_can(tmp_path: Path) -> None:
    run = bench(tmp_path, QUICK="1", ROWS="tiny-request", SYSTEMS="broker,nats-py,wsgw,wsgw-sio")
    assert run.returncode == 0, run.stdout + run.stderr
    rows = json.loads((tmp_path / "results.json").read_text())
    assert set(rows["tiny-request"]) == {"broker", "nats-py", "wsgw", "wsgw-sio"}
    for (values,) in rows["tiny-request"].values():
        assert values["us"] > 0
        assert values["messages"] >= 512
        assert values["messages"] % 512 == 0
