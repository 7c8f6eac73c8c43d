"""Settings: which source counts, what is refused, and with which words."""

from __future__ import annotations

import atexit
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st

from helpers.nkeys import USER, Nkey, Operator, credentials
from wsgw.channels.channel import Channel, Direction, SlowConsumer
from wsgw.channels.durable import Durable
from wsgw.channels.template import template_of
from wsgw.config.addresses import TcpAddress
from wsgw.config.auth import AuthSettings
from wsgw.config.file import ConfigFile, read
from wsgw.config.limits import QuotaSettings
from wsgw.config.limits import UserLimitsSettings as UserLimits
from wsgw.config.load import ENVIRONMENT, channels_replaced_by, hints, load
from wsgw.config.nats import NatsTlsSettings
from wsgw.config.settings import Settings
from wsgw.config.values import seconds
from wsgw.errors import ConfigError


def file_of(values: dict[str, Any]) -> ConfigFile:
    return ConfigFile("x.yml", values)


def nested(key: tuple[str, ...], value: Any) -> dict[str, Any]:
    for part in reversed(key):
        value = {part: value}
    return value  # type: ignore[no-any-return]


def found(settings: Settings, key: tuple[str, ...]) -> Any:
    value: Any = settings
    for part in key:
        value = getattr(value, part)
    if isinstance(value, AuthSettings):
        value = value.jwt.secret if value.jwt is not None else None
        return {"jwt": {"secret": value.get_secret_value()}} if value is not None else None
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


def written(*texts: str) -> list[str]:
    """Files with them, until the tests end."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    for number, text in enumerate(texts):
        (folder / str(number)).write_text(text)
    return [str(folder / str(number)) for number in range(len(texts))]


USERS = [Nkey(USER), Nkey(USER)]
SEEDS = written(*[user.seed for user in USERS])
CREDENTIALS = written(*[credentials(Operator().user_jwt(user), user.seed) for user in USERS])

#: For every setting: command line, environment, file, and what the default is.
SOURCES: dict[tuple[str, ...], tuple[Any, tuple[str, Any] | None, Any, Any]] = {
    ("listen",): ("a:1", None, "b:2", "127.0.0.1:3007"),
    ("port",): (1, ("2", 2), 3, None),
    ("base_path",): ("/a", None, "/b/c", None),
    ("nats", "servers"): (
        ["nats://a:1"],
        ("nats://b:1,c:2", ["nats://b:1", "nats://c:2"]),
        ["tls://d:1"],
        ["nats://localhost:4222"],
    ),
    ("nats", "user"): ("a", ("b", "b"), "c", None),
    ("nats", "password"): ("a", ("b", "b"), "c", None),
    ("nats", "token"): ("a", ("b", "b"), "c", None),
    ("nats", "credentials_file"): (CREDENTIALS[0], None, CREDENTIALS[1], None),
    ("nats", "nkey_seed_file"): (SEEDS[0], None, SEEDS[1], None),
    ("nats", "tls"): (NatsTlsSettings(handshake_first=True), None, NatsTlsSettings(), None),
    ("nats", "inbox_prefix"): ("A", None, "B.C", "_INBOX"),
    ("auth",): (
        {"jwt": {"secret": "a"}},
        None,
        {"jwt": {"secret": "b"}},
        None,
    ),
    ("request_timeout",): (1.0, ("2000", 2.0), 3.0, 2.0),
    ("max_subjects",): (1, None, 2, None),
    ("drain_delay",): (1.0, None, 2.0, 0.0),
    ("drain_seconds",): (1.0, None, 2.0, 2.0),
    ("watch",): (False, None, True, False),
    ("limits", "head_bytes"): (2048, None, 4096, 64 * 1024),
    ("limits", "headers"): (11, None, 12, 100),
    ("limits", "pipelined_requests"): (1, None, 2, 32),
    ("limits", "head_timeout"): (1.0, None, 2.0, 10.0),
    ("limits", "body_stall_timeout"): (1.0, None, 2.0, 20.0),
    ("limits", "body_timeout"): (1.0, None, 2.0, 120.0),
    ("limits", "idle_timeout"): (1.0, None, 2.0, 75.0),
    ("limits", "files_reserve"): (8, None, 9, 64),
    ("limits", "memory"): (2 * 1024**2, None, 3 * 1024**2, 128 * 1024**2),
    ("limits", "unconnected_sessions"): (1, None, 2, 2000),
    ("limits", "session_requests"): (1, None, 2, 256),
    ("limits", "session_names"): (1, None, 2, 1000),
    ("limits", "message_bytes"): (1, None, 2, None),
    ("limits", "messages_per_second"): (1.0, None, 0.5, None),
    ("limits", "bytes_per_second"): (2048, None, 4096, None),
    ("limits", "burst"): (1.0, None, 2.0, 5.0),
    ("limits", "rate_timeout"): (1.0, None, 2.0, 30.0),
    ("limits", "user"): (UserLimits(connections=1), None, UserLimits(connections=2), UserLimits()),
    ("limits", "address"): (QuotaSettings(connections=1), None, QuotaSettings(connections=2), QuotaSettings()),
    ("origins",): ("any", None, ["https://a.example"], "same"),
    ("hosts",): (["a.example"], None, ["b.example"], None),
    ("trusted_proxies",): (["10.0.0.1/32"], None, ["10.0.0.2/32"], None),
    ("log", "level"): ("error", ("warn", "warn"), "debug", "info"),
    ("log", "format"): ("json", ("plainText", "plainText"), "json", "plainText"),
}


def test_every_setting_is_in_the_table() -> None:
    keys: set[tuple[str, ...]] = set()
    for name, field in Settings.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        keys |= {(name, part) for part in inner} if inner else {(name,)}
    assert keys - {("channels",), ("tls",), ("admin",)} == SOURCES.keys()
    assert {variable.key for variable in ENVIRONMENT} == {key for key, row in SOURCES.items() if row[1] is not None}


@pytest.mark.parametrize("key", SOURCES, ids=".".join)
def test_precedence(key: tuple[str, ...]) -> None:
    on_line, in_environment, in_file, default = SOURCES[key]
    names = next((variable.names for variable in ENVIRONMENT if variable.key == key), ())
    for line, environment, file in itertools.product([True, False], repeat=3):
        if environment and in_environment is None:
            continue
        settings = load(
            nested(key, on_line) if line else {},
            {names[-1]: in_environment[0]} if environment and in_environment else {},
            file_of(nested(key, in_file)) if file else None,
        )
        wanted = (
            on_line if line else in_environment[1] if environment and in_environment else in_file if file else default
        )
        assert found(settings, key) == wanted


@pytest.mark.parametrize("variable", [v for v in ENVIRONMENT if len(v.names) > 1], ids=lambda v: v.names[0])
def test_our_variable_comes_before_the_older_one(variable: Any) -> None:
    first, second = ("error", "debug") if variable.key[-1] == "level" else ("json", "plainText")
    if variable.key == ("nats", "servers"):
        first, second = "nats://a:1", "nats://b:1"
    elif variable.key == ("port",):
        first, second = "1", "2"
    both = load({}, dict(zip(variable.names, (first, second), strict=True)))
    assert found(both, variable.key) == found(load({}, {variable.names[0]: first}), variable.key)
    blank = load({}, dict(zip(variable.names, (" ", second), strict=True)))
    assert found(blank, variable.key) == found(load({}, {variable.names[1]: second}), variable.key)


def test_channels_are_replaced_as_a_whole() -> None:
    file = file_of({"channels": [{"name": "F", "direction": "inbound", "timeout": "5s"}]})
    environment = {"WSGW_INBOUND_TOPICS": "E1, E2", "WSGW_OUTBOUND_TOPICS": "E2"}
    line = {"channels": [{"name": "L", "direction": "outbound"}]}
    assert [channel.name for channel in load(line, environment, file).channels] == ["L"]
    from_environment = load({}, environment, file)
    assert [(channel.name, channel.direction) for channel in from_environment.channels] == [
        ("E1", Direction.INBOUND),
        ("E2", Direction.BOTH),
    ]
    assert [channel.name for channel in load({}, {}, file).channels] == ["F"]
    assert [channel.name for channel in load({}, {"WSGW_OUTBOUND_TOPICS": "O"}, file).channels] == ["O"]


def test_who_replaces_a_files_channels() -> None:
    line: dict[str, Any] = {"channels": []}
    environment = {"WSGW_INBOUND_TOPICS": "A"}
    assert channels_replaced_by(line, environment) == "command line"
    assert channels_replaced_by({}, environment) == "environment"
    assert channels_replaced_by({"listen": "h:1"}, {"WSGW_INBOUND_TOPICS": " "}) is None


def test_sections_are_merged() -> None:
    settings = load(
        {"nats": {"servers": "a:1"}}, {"NATS_USER": "u"}, file_of({"nats": {"password": "p", "user": "other"}})
    )
    assert settings.nats.servers == ["nats://a:1"]
    assert settings.nats.user == "u"
    assert settings.nats.password is not None
    assert "p" not in repr(settings.nats.password)


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSGW_SERVER_PORT", "1234")
    assert load().addresses == (TcpAddress("127.0.0.1", 1234),)
    monkeypatch.setenv("LISTEN", "elsewhere:1")  # pydantic's own names are none of ours
    assert load().listen == "127.0.0.1:3007"


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


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (2, 2.0),
        (0.5, 0.5),
        ("2", 2.0),
        ("2s", 2.0),
        (" 500 ms ", 0.5),
        ("1.5m", 90.0),
        ("24h", 86400.0),
        ("2d", 172800.0),
    ],
)
def test_seconds(value: object, wanted: float) -> None:
    assert seconds(value) == wanted


@pytest.mark.parametrize("value", ["", "s", "-1", "1w", "1e3", "nan", "inf", True, None, [1], "1 000"])
def test_no_seconds(value: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds(value)


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
