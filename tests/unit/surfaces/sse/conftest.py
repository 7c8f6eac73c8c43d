"""Gateways on which streams are opened."""

from __future__ import annotations

import pytest

from helpers.running import Running
from wsgw.surfaces.sse.stream import EventStream
from wsgw.transports.openstream import StreamLink


@pytest.fixture
def served(both_ways: Running) -> Running:
    return both_ways


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[EventStream]:
    """Every stream from the time when it has its connection."""
    made: list[EventStream] = []
    attach = EventStream.attach

    def attached(self: EventStream, link: StreamLink) -> None:
        made.append(self)
        attach(self, link)

    monkeypatch.setattr(EventStream, "attach", attached)
    return made
