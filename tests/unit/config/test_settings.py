"""What the settings make of their values."""

from __future__ import annotations

import resource

import pytest

from wsgw.config.load import load


def test_names_as_many_as_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, limit in ((64, 10_000), (50_000, 50_000), (10**9, 1_000_000), (resource.RLIM_INFINITY, 1_000_000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (64, files))
        assert load({}, {}).subjects_limit == limit
        assert load({"max_subjects": 7}, {}).subjects_limit == 7
