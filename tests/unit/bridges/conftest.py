"""Patterns whose times are short."""

from __future__ import annotations

import pytest

from wsgw.bridges import base, pattern


@pytest.fixture
def quick_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-offs, and what a change of subscriptions takes."""
    monkeypatch.setattr(base, "BACKOFF_SECONDS", (0.01, 0.1))
    monkeypatch.setattr(pattern, "LINGER_SECONDS", 0.3)
    monkeypatch.setattr(pattern, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(pattern, "WINDOW_SECONDS", 0.1)
    monkeypatch.setattr(pattern, "RETRY_SECONDS", (0.1, 0.5))
