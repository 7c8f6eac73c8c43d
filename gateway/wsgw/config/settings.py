"""The settings: one model, filled from the command line, the environment, the file and defaults, in that precedence."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from wsgw.channels.channel import Channel, Direction, SlowConsumer, channel_problem
from wsgw.config import file as configfile
from wsgw.config.file import ConfigFile
from wsgw.errors import ConfigError
from wsgw.log import FORMATS, LEVELS

DEFAULT_FILE = "wsgw.yml"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(value: object) -> float:
    """``2``, ``"2s"``, ``"500ms"``, ``"24h"`` in seconds; raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", str(value))
    if match is None:
        raise ValueError(f"{value!r} is not a duration such as 500ms, 2s or 1h")
    return float(match[1]) * _UNITS[match[2] or "s"]


Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, le=86400 * 366)]


def _listen(value: object) -> str:
    host, colon, port = str(value).rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{value!r} is not HOST:PORT")
    return str(value)


def _servers(value: object) -> list[str]:
    servers = configfile.split_names(value) if isinstance(value, str) else value
    if not isinstance(servers, list) or not servers:
        raise ValueError("at least one NATS URL is needed")
    return [_nats_url(str(url)) for url in servers]


def _nats_url(url: str) -> str:
    if "://" not in url:
        url = f"nats://{url}"
    parts = urlsplit(url)
    try:
        good = parts.scheme in ("nats", "tls") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{url.rpartition('@')[2]!r} is not a NATS URL such as nats://HOST:4222 or tls://HOST:4222")
    return url


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NatsSettings(_Model):
    """Where NATS is, and what to show it."""

    servers: Annotated[list[str], BeforeValidator(_servers)] = Field(
        default=["nats://localhost:4222"],
        description="`nats://` or `tls://` URLs, tried in turn; credentials in a URL win over the keys below.",
    )
    user: str | None = Field(default=None, description="User name.")
    password: SecretStr | None = Field(default=None, description="Password of `user`.")
    token: SecretStr | None = Field(default=None, description="Token, instead of user and password.")


class OutboxSettings(_Model):
    """How much of a channel may wait for one slow client."""

    messages: int = Field(default=16_384, ge=1, le=1_000_000, description="Most publications that wait for one client.")
    bytes: ByteSize = Field(
        default=ByteSize(8 * 1024 * 1024),
        ge=1024,
        le=1024**3,
        description="Most bytes that wait for one client, what its socket holds included.",
    )


class ChannelSettings(_Model):
    """One channel."""

    name: str = Field(
        description="What clients call it. `*` and a last `>` make it a pattern whose names clients join."
    )
    direction: Direction = Field(
        description="`inbound` (NATS to client), `outbound` (client to NATS), `both`, `request`."
    )
    subject: str | None = Field(default=None, description="The NATS subject; the name where not given.")
    slow_consumer: SlowConsumer = Field(
        default=SlowConsumer.DROP_OLDEST, description="What happens when a client's outbox is full."
    )
    outbox: OutboxSettings = Field(default=OutboxSettings(), description="Limits of what waits for one slow client.")
    timeout: Seconds | None = Field(
        default=None, description="How long a request waits for its reply; `request_timeout` where not given."
    )


def _one_of(known: Collection[str]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in known:
            raise ValueError(f"{value!r} is not one of {', '.join(known)}")
        return value

    return AfterValidator(check)


class LogSettings(_Model):
    """What is logged, and how."""

    level: Annotated[str, _one_of(LEVELS)] = Field(
        default="info", description=f"One of {', '.join(LEVELS)}. Payloads are logged at no level."
    )
    format: Annotated[str, _one_of(FORMATS)] = Field(default="plainText", description=f"One of {', '.join(FORMATS)}.")


@dataclass(frozen=True, slots=True)
class Variable:
    """Environment variables (the first one set counts) that fill the setting at ``key``."""

    names: tuple[str, ...]
    key: tuple[str, ...]
    read: Callable[[str], Any]


#: The one table of the environment. Channels are read apart: two variables make one list.
ENVIRONMENT: tuple[Variable, ...] = (
    Variable(("WSGW_LOG_LEVEL", "EASER_LOG_LEVEL"), ("log", "level"), str),
    Variable(("WSGW_LOG_FORMAT", "EASER_LOG_FORMAT"), ("log", "format"), str),
    Variable(("NATS_SERVERS", "PDMS_NATS_URI"), ("nats", "servers"), str),
    Variable(("NATS_USER",), ("nats", "user"), str),
    Variable(("NATS_PASS",), ("nats", "password"), str),
    Variable(("NATS_TOKEN",), ("nats", "token"), str),
    Variable(("WSGW_SERVER_PORT", "WEBSERVER_PORT"), ("port",), str),
    Variable(("PDMS_TIMEOUT",), ("request_timeout",), lambda text: f"{text.strip()}ms"),
)
INBOUND_VARIABLE = "WSGW_INBOUND_TOPICS"
OUTBOUND_VARIABLE = "WSGW_OUTBOUND_TOPICS"


class Settings(BaseSettings):
    """Everything that can be configured. Build it with ``load``, which also checks what spans several keys."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    listen: Annotated[str, BeforeValidator(_listen)] = Field(
        default="127.0.0.1:3007", description="Address and port of the HTTP and WebSocket server."
    )
    port: int | None = Field(
        default=None, ge=0, le=65535, description="Overrides the port of `listen`; 0 takes a free one."
    )
    nats: NatsSettings = Field(default=NatsSettings(), description="The NATS servers and credentials.")
    channels: list[ChannelSettings] = Field(default=[], description="The channels clients may use.")
    request_timeout: Seconds = Field(
        default=2.0, description="How long a request waits for its reply where the channel does not say."
    )
    max_subjects: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Concrete subjects in use at a time, each pattern channel."
    )
    drain_seconds: Seconds = Field(
        default=2.0, description="How long a stop may take at most; where NATS does not answer, up to a second more."
    )
    log: LogSettings = Field(default=LogSettings(), description="Log level and format.")

    @property
    def host(self) -> str:
        """The address to listen on."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def listen_port(self) -> int:
        """The port to listen on."""
        return int(self.listen.rpartition(":")[2]) if self.port is None else self.port

    def channel_table(self) -> list[Channel]:
        """The channels, as the gateway uses them."""
        return [_channel(settings, self.request_timeout) for settings in self.channels]


def load(
    command_line: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    file: ConfigFile | None = None,
) -> Settings:
    """The settings from the three sources; raises ConfigError with one line for each thing that is wrong.

    ``command_line`` has the nested keys of the file; its ``channels`` replace those of the file as a whole.
    """
    named: list[tuple[str, Mapping[str, Any]]] = [
        ("command line", command_line or {}),
        ("environment", _environment(os.environ if environment is None else environment)),
    ]
    sources = [source for _, source in named] + ([file.values] if file is not None else [])

    class Sourced(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **__: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(InitSettingsSource(settings_cls, dict(values)) for values in sources)

    def where(key: tuple[str | int, ...]) -> str:
        for name, source in named:
            if _has(source, key):
                return name
        return file.where(key) if file is not None else "defaults"

    settings, problems = None, []
    try:
        settings = Sourced()
    except ValidationError as error:
        problems = [_problem(where, item["loc"], item["type"], item["msg"]) for item in error.errors()]
    channels = next((source["channels"] for source in sources if "channels" in source), None)
    problems += [f"{where(key)}: {_dotted(key)}: {reason}" for key, reason in _channel_problems(channels)]
    if settings is None or problems:
        raise ConfigError("\n".join(problems))
    return settings


def _channel_problems(channels: object) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with those of ``channels``, as a source has them, that are good by themselves."""
    seen: set[str] = set()
    for i, values in enumerate(channels if isinstance(channels, list) else []):
        try:
            settings = ChannelSettings.model_validate(values)
        except ValidationError:
            continue  # told already
        problem = channel_problem(_channel(settings, 1.0))
        if problem is not None:
            key, reason = problem
            yield ("channels", i, "name" if settings.subject is None else key), reason
        elif settings.name in seen:
            reason = f"channel {settings.name!r} is there twice; for both ways use direction: both"
            yield ("channels", i, "name"), reason
        seen.add(settings.name)


def _channel(settings: ChannelSettings, request_timeout: float) -> Channel:
    return Channel(
        name=settings.name,
        direction=settings.direction,
        subject=settings.name if settings.subject is None else settings.subject,
        slow_consumer=settings.slow_consumer,
        outbox_messages=settings.outbox.messages,
        outbox_bytes=int(settings.outbox.bytes),
        timeout_seconds=request_timeout if settings.timeout is None else settings.timeout,
    )


def _environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable in ENVIRONMENT:
        text = next((environment[name] for name in variable.names if environment.get(name, "").strip()), None)
        if text is not None:
            inner = values
            for part in variable.key[:-1]:
                inner = inner.setdefault(part, {})
            inner[variable.key[-1]] = variable.read(text)
    lists = [environment.get(name, "") for name in (INBOUND_VARIABLE, OUTBOUND_VARIABLE)]
    if any(text.strip() for text in lists):
        values["channels"] = configfile.channels_of(*(configfile.split_names(text) for text in lists))
    return values


def _has(source: object, key: tuple[str | int, ...]) -> bool:
    for part in key:
        if isinstance(source, Mapping) and part in source:
            source = source[part]
        else:
            return isinstance(source, list)
    return True


def _dotted(key: tuple[str | int, ...]) -> str:
    parts = [f".{part}" if isinstance(part, str) and part.isidentifier() else f"[{part!r}]" for part in key]
    return "".join(parts).lstrip(".")


def _problem(where: Callable[[tuple[str | int, ...]], str], loc: tuple[str | int, ...], kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        message = "unknown key" + _suggestion(loc)
    elif kind == "missing":
        message = "is missing"
    return f"{where(loc)}: {_dotted(loc)}: {message.removeprefix('Value error, ')}"


def _suggestion(loc: tuple[str | int, ...]) -> str:
    parent = next((part for part in reversed(loc[:-1]) if isinstance(part, str)), "")
    known = (_SECTIONS.get(parent) or Settings).model_fields
    close = difflib.get_close_matches(str(loc[-1]), known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; known here: {', '.join(known)}"


_SECTIONS: dict[str, type[BaseModel]] = {
    "nats": NatsSettings,
    "log": LogSettings,
    "channels": ChannelSettings,
    "outbox": OutboxSettings,
}
