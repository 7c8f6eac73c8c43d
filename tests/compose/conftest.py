"""Brings the appliance up once for all tests of this folder and says what it is made of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compose.appliance import Appliance
from compose.engine import obtain

_REPORT = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "compose: needs a docker engine; brings the compose project up for real")
    config.stash[_REPORT] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(_REPORT, []):
        terminalreporter.section("compose")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def appliance(request: pytest.FixtureRequest) -> Iterator[Appliance]:
    """The running appliance, all services healthy."""
    if reason := obtain():
        pytest.skip(reason)
    report = request.config.stash[_REPORT]
    it = Appliance()
    broken = True
    try:
        report.append(f"{it.up():.1f} s from `docker compose up -d --build --wait` to all healthy")
        for service in sorted(it.services(), key=lambda s: str(s["Service"])):
            labels = dict(pair.partition("=")[::2] for pair in service["Labels"].split(","))
            # a stand-in says what it is made of
            origin = labels.get("docker-kit.standin", "the published image")
            report.append(f"{service['Service']:14} {service['Image']}: {origin}")
        failures = request.session.testsfailed
        yield it
        broken = request.session.testsfailed > failures
    finally:
        if broken:
            report += it.compose("logs", "--no-color", "--tail", "60", "gateway", "nats", check=False).splitlines()
        it.down()
