"""Settings: which source counts, what is refused, and with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st

from wsgw.channels.channel import Channel, Direction, SlowConsumer
from wsgw.channels.durable import Durable
from wsgw.channels.template import template_of
from wsgw.config.addresses import TcpAddress
from wsgw.config.file import ConfigFile, read
from wsgw.config.hints import hints
from wsgw.config.load import ENVIRONMENT, load
from wsgw.errors import ConfigError


def file_of(values: dict[str, Any]) -> ConfigFile:
    return ConfigFile("x.yml", values)


@pytest.mark.parametrize(
    ("values", "host", "port"),
    [
        ({}, "127.0.0.1", 3007),
        ({"listen": "0.0.0.0:80"}, "0.0.0.0", 80),
        ({"listen": "[::1]:80"}, "::1", 80),
        ({"listen": "localhost:0"}, "localhost", 0),
        ({"listen": "h:80", "port": 81}, "h", 81),
        ({"port": 0}, "127.0.0.1", 0),
    ],
)
def test_listen(values: dict[str, Any], host: str, port: int) -> None:
    settings = load(values, {})
    assert settings.addresses == (TcpAddress(host, port),)


def durable(name: str, direction: Direction, stream: Durable) -> Channel:
    return Channel(name, direction, slow_consumer=SlowConsumer.DISCONNECT, timeout_seconds=0.5, durable=stream)


def test_channel_table() -> None:
    settings = load(
        {},
        {},
        file_of(
            {
                "request_timeout": "500ms",
                "channels": [
                    {"name": "A", "direction": "inbound"},
                    {"name": "B", "direction": "request", "subject": "b.c", "timeout": 3},
                    {"name": "C", "direction": "both", "outbox": {"messages": 5, "bytes": "1 MiB"}},
                    {"name": "room.*", "direction": "both", "durable": True},
                    {
                        "name": "D",
                        "direction": "inbound",
                        "durable": {"stream": "X", "managed": False, "max_age": "1h"},
                    },
                    {"name": "E", "direction": "inbound", "durable": {"stream": "X", "managed": False}},
                    {"name": "F", "direction": "inbound", "durable": False, "slow_consumer": "disconnect"},
                ],
            }
        ),
    )
    assert settings.channel_table() == [
        Channel("A", Direction.INBOUND, timeout_seconds=0.5),
        Channel("B", Direction.REQUEST, "b.c", timeout_seconds=3.0),
        Channel("C", Direction.BOTH, outbox_messages=5, outbox_bytes=1024 * 1024, timeout_seconds=0.5),
        durable("room.*", Direction.BOTH, Durable("room__")),
        durable("D", Direction.INBOUND, Durable("X", managed=False, max_age_seconds=3600.0)),
        durable("E", Direction.INBOUND, Durable("X", managed=False)),
        Channel("F", Direction.INBOUND, slow_consumer=SlowConsumer.DISCONNECT, timeout_seconds=0.5),
    ]


def test_a_template() -> None:
    given = {
        "channels": [{"name": "inbox", "direction": "inbound", "subject": "users.{sub}.inbox"}],
        "auth": {"jwt": {"secret": "s" * 32}},
    }
    (channel,) = load({}, {}, file_of(given)).channel_table()
    assert (channel.subject, channel.subject_text) == ("users.*.inbox", "users.{sub}.inbox")
    assert channel.template == template_of("users.{sub}.inbox")


def test_what_nobody_has_claims_for() -> None:
    given: dict[str, Any] = {
        "channels": [{"name": "A", "direction": "inbound"}, {"name": "B", "direction": "both", "subject": "b.{x}"}]
    }
    load({}, {}, file_of(given | {"auth": {"jwt": {"secret": "s" * 32}}}))
    with pytest.raises(ConfigError) as refused:
        load({}, {}, file_of(given))
    assert str(refused.value) == (
        "x.yml: channels[1].subject: subject 'b.{x}' is filled from clients' claims, which they have with 'auth' only"
    )


def test_other_sources_are_named() -> None:
    with pytest.raises(ConfigError, match=r"^command line: port: "):
        load({"port": 99999}, {})
    with pytest.raises(ConfigError, match=r"^environment: log\.level: 'loud' is not one of"):
        load({}, {"WSGW_LOG_LEVEL": "loud"}, file_of({"log": {"level": "info"}}))
    with pytest.raises(ConfigError, match=r"^environment: channels\[1\]\.name: name '' is empty"):
        load({}, {"WSGW_INBOUND_TOPICS": "A,,B"})


def test_no_secret_is_in_a_refusal() -> None:
    for url in ("http://user:secret@h:1", "nats://user:secret@:x", "user:secret@h:x"):
        with pytest.raises(ConfigError) as caught:
            load({"nats": {"servers": url}}, {})
        assert "secret" not in str(caught.value)


def refusal_of(environment: dict[str, str], file: ConfigFile | None) -> str | None:
    try:
        load({}, environment, file)
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize("key", ["a\nb", "\r", "a\u2028"])
def test_odd_keys_stay_on_one_line(key: str) -> None:
    assert len((refusal_of({}, file_of({"log": {key: 1}})) or "").splitlines()) == 1


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
keys = st.sampled_from(
    [
        *("listen", "port", "nats", "servers", "user", "password", "channels", "name", "direction", "subject"),
        *("outbox", "messages", "bytes", "timeout", "request_timeout", "max_subjects", "drain_seconds", "log", "level"),
    ]
)
trees = st.recursive(
    scalars | st.sampled_from(["inbound", "both", "a.*", ">", "h:1", "2s", "1 MiB", "nats://h"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | scalars, inner, max_size=4),
    max_leaves=12,
)


@configured(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(keys, trees, max_size=5))
def test_any_file_gives_settings_or_a_clean_refusal(values: dict[str, Any]) -> None:
    message = refusal_of({}, file_of(values))
    assert message is None or message.startswith("x.yml: ")


@configured(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({name: st.text(max_size=10) for variable in ENVIRONMENT for name in variable.names}))
def test_any_environment_gives_settings_or_a_clean_refusal(environment: dict[str, str]) -> None:
    message = refusal_of(environment, None)
    assert message is None or all(line.startswith("environment: ") for line in message.splitlines())


def test_channels_that_hide_each_other_are_told() -> None:
    channels = [
        {"name": "chat.*", "direction": "both"},
        {"name": "chat.lobby", "direction": "inbound"},
        {"name": "svc.*", "direction": "request"},
        {"name": "svc.a", "direction": "outbound"},
        {"name": "log.*", "direction": "inbound"},
        {"name": "log.x", "direction": "outbound"},
    ]
    told = hints(load({"channels": channels}, {}))
    assert [line.partition(",")[0] for line in told] == [
        "channels 'chat.lobby' and 'chat.*' share names: who subscribes to one of these uses 'chat.lobby'",
        "channels 'svc.a' and 'svc.*' share names: who sends to one of these uses 'svc.a'",
    ]


def test_a_hint_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text("channels:\n  - {name: a, direction: inbound}\n  - {name: '*', direction: inbound}\n")
    file = read(str(path))
    assert hints(load({}, {}, file), file) == [
        f"{path}:3: channels 'a' and '*' share names: who subscribes to one of these uses 'a', the more specific one, "
        "and not '*'"
    ]


@pytest.mark.parametrize(
    ("auth", "key"),
    [
        ({"jwt": {"secret": "s" * 32}}, None),
        ({"jwt": {"secret": "s" * 32}, "cookie": "t"}, "auth.cookie"),
        ({"delegate": {"url": "http://a"}}, "auth.delegate.headers"),
        ({"delegate": {"url": "http://a", "headers": ["authorization"]}}, None),
    ],
)
def test_cookies_and_pages_of_anybody(auth: dict[str, Any], key: str | None) -> None:
    load({}, {}, file_of({"origins": ["https://a.example"], "auth": auth}))
    if key is None:
        load({}, {}, file_of({"origins": "any", "auth": auth}))
        return
    with pytest.raises(ConfigError) as refused:
        load({"origins": "any"}, {}, file_of({"auth": auth}))
    assert str(refused.value).startswith(f"command line: origins: 'any' does not go with {key}: ")


def test_no_limit_can_be_said() -> None:
    names = ("connections", "connects_per_second", "messages_per_second", "bytes_per_second")
    nothing = dict.fromkeys(names)
    limits = load({}, {}, ConfigFile("x.yml", {"limits": {"user": nothing, "address": nothing}})).limits
    assert limits.user.model_dump() == limits.address.model_dump() == nothing
