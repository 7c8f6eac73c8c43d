"""Of each setting: command line, environment, file and default, in that precedence."""

from __future__ import annotations

import atexit
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from helpers.nkeys import USER, Nkey, Operator, credentials
from wsgw.channels.channel import Direction
from wsgw.config.addresses import TcpAddress
from wsgw.config.auth import AuthSettings
from wsgw.config.file import ConfigFile
from wsgw.config.limits import QuotaSettings
from wsgw.config.limits import UserLimitsSettings as UserLimits
from wsgw.config.load import ENVIRONMENT, channels_replaced_by, load
from wsgw.config.nats import NatsTlsSettings
from wsgw.config.settings import Settings


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
