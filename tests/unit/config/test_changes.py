"""Which settings are read at the start only."""

from __future__ import annotations

from typing import Any

import pytest

from wsgw.config.changes import LIVE, needing_restart
from wsgw.config.file import ConfigFile
from wsgw.config.load import load
from wsgw.config.settings import Settings


def settings(values: dict[str, Any]) -> Settings:
    return load({}, {}, ConfigFile("x", values))


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ({}, []),
        ({"listen": "h:5", "port": 5}, ["listen", "port"]),
        ({"nats": {"servers": "nats://h:1", "password": "x"}}, ["nats.servers", "nats.password"]),
        ({"nats": {"tls": {}}}, ["nats.tls"]),
        ({"limits": {"memory": "1 MiB"}, "max_subjects": 5}, ["max_subjects", "limits.memory"]),
        ({"limits": {"user": {"connections": 5}}}, ["limits.user"]),
        ({"drain_seconds": 1}, ["drain_seconds"]),
        ({"auth": {"jwt": {"secret": "x"}}}, ["auth"]),
        ({"channels": [{"name": "A", "direction": "inbound"}], "request_timeout": 1}, []),
        ({"watch": True, "log": {"level": "error", "format": "json"}}, []),
    ],
)
def test_the_keys_that_differ(values: dict[str, Any], keys: list[str]) -> None:
    assert needing_restart(settings({}), settings(values)) == keys
    assert needing_restart(settings(values), settings(values)) == []
    assert "x" not in "".join(needing_restart(settings({}), settings({"nats": {"password": "x"}})))


def test_what_is_live_is_a_setting() -> None:
    assert Settings.model_fields.keys() >= LIVE


def test_keys_of_auth_that_differ() -> None:
    old = settings({"auth": {"jwt": {"secret": "x" * 32}}})
    new = settings({"auth": {"jwt": {"secret": "y" * 32}, "cookie": "token", "anonymous": {"subscribe": ["a"]}}})
    assert needing_restart(old, new) == ["auth.jwt", "auth.anonymous", "auth.cookie"]
    assert needing_restart(old, settings({})) == ["auth"]
    assert needing_restart(old, old) == []
