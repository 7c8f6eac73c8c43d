"""What the settings make of their values."""

from __future__ import annotations

import resource
from typing import Any

import pytest
from pydantic import ValidationError

from wsgw.channels.authorize import Authorize
from wsgw.channels.channel import Channel, Direction, Payload
from wsgw.channels.hemera import Action
from wsgw.config.delegate import DelegateSettings
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


def test_who_decides_on_clients_is_asked_in_one_way_and_shown_no_header_of_the_gateways_own() -> None:
    usual = DelegateSettings(url="https://app:8443/auth?x=1")
    assert (usual.headers, usual.timeout, usual.subject) == (["cookie", "authorization"], 2.0, None)
    made = DelegateSettings.model_validate({"subject": "auth.who", "headers": ["X-Api-Key"], "timeout": "500ms"})
    assert (made.headers, made.timeout, made.url) == (["x-api-key"], 0.5, None)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "one of url, subject is needed"),
        ({"url": "http://a", "subject": "a"}, "one of url, subject is needed"),
        *(
            ({"url": url}, "is not a URL")
            for url in ("a", "ftp://a", "http://", "http://a:0/", "http://a/ b", "http://\xe9")
        ),
        ({"url": "http://user:secret@a/"}, "has a user or password in it"),
        ({"subject": "auth.*"}, "auth.*"),
        ({"subject": ""}, "subject"),
        ({"url": "http://a", "headers": []}, "headers"),
        ({"url": "http://a", "headers": ["a b"]}, "is no name of a header"),
        ({"url": "http://a", "headers": ["X-Forwarded-For"]}, "is said by the gateway itself"),
        ({"url": "http://a", "headers": ["Transfer-Encoding"]}, "is said by the gateway itself"),
        ({"url": "http://a", "timeout": "1m"}, "less than or equal to 30"),
        ({"url": "http://a", "timeout": "0s"}, "greater than 0"),
    ],
)
def test_who_decides_on_clients_cannot_be_anything(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as refused:
        DelegateSettings.model_validate(values)
    (problem,) = refused.value.errors()
    assert reason in f"{problem['loc']} {problem['msg']}"
    assert "secret" not in problem["msg"]


def test_who_is_asked_about_a_channel() -> None:
    assert channel().authorize is None
    assert channel(authorize={"subject": "auth.room"}).authorize == Authorize("auth.room", 1.0)
    assert channel(authorize={"subject": "auth.room", "timeout": "500ms"}).authorize == Authorize("auth.room", 0.5)
