"""What the settings make of their values."""

from __future__ import annotations

import resource
from typing import Any

import pytest

from wsgw.channels.channel import Channel, Direction, Payload
from wsgw.channels.hemera import Action
from wsgw.config.load import load


def test_names_as_many_as_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, limit in ((64, 10_000), (50_000, 50_000), (10**9, 1_000_000), (resource.RLIM_INFINITY, 1_000_000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (64, files))
        assert load({}, {}).subjects_limit == limit
        assert load({"max_subjects": 7}, {}).subjects_limit == 7


def channel(**values: Any) -> Channel:
    (made,) = load({"channels": [{"name": "A", "direction": Direction.BOTH, **values}]}, {}).channel_table()
    return made


@pytest.mark.parametrize(
    ("values", "subject", "action"),
    [
        ({}, "A", None),
        ({"hemera": False}, "A", None),
        ({"hemera": True}, "A", Action("A")),
        ({"hemera": {}, "subject": "b.c"}, "b.c", Action("b.c")),
        ({"hemera": {"topic": "b.c"}}, "b.c", Action("b.c")),
        ({"hemera": {"topic": "b", "cmd": "add"}, "subject": "b"}, "b", Action("b", (("cmd", "add"),))),
        ({"hemera": {"n": 1, "on": True, "x": 1.5}}, "A", Action("A", (("n", 1), ("on", True), ("x", 1.5)))),
    ],
)
def test_hemera(values: dict[str, Any], subject: str, action: Action | None) -> None:
    made = channel(**values)
    assert (made.subject, made.hemera) == (subject, action)
    assert made.hemera is None or list(map(type, made.hemera.fields.values())) == list(
        map(type, action.fields.values() if action is not None else ())
    )


def test_payload_is_json_with_hemera() -> None:
    assert channel().payload is Payload.BYTES
    assert channel(hemera=True).payload is Payload.JSON
    assert channel(hemera=True, payload="bytes").payload is Payload.BYTES
    assert channel(payload="json").payload is Payload.JSON
