"""The settings: one model, which says what there is, what it takes and what it is by default."""

from __future__ import annotations

import re
import resource
from collections.abc import Collection
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from wsgw.channels.channel import Channel, Direction, SlowConsumer
from wsgw.config import file as configfile
from wsgw.log import FORMATS, LEVELS

DEFAULT_FILE = "wsgw.yml"
MOST_SUBJECTS = 1_000_000
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

    def channel(self, request_timeout: float) -> Channel:
        """The channel, as the gateway uses it; ``request_timeout`` in seconds where it has no ``timeout``."""
        return Channel(
            name=self.name,
            direction=self.direction,
            subject=self.name if self.subject is None else self.subject,
            slow_consumer=self.slow_consumer,
            outbox_messages=self.outbox.messages,
            outbox_bytes=int(self.outbox.bytes),
            timeout_seconds=request_timeout if self.timeout is None else self.timeout,
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


class Settings(BaseSettings):
    """Everything that can be configured. Build it with ``config.load``, which also checks what spans several keys."""

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
    max_subjects: int | None = Field(
        default=None,
        ge=1,
        le=MOST_SUBJECTS,
        description="Names of one pattern channel that clients are subscribed to at a time; where not given, as many "
        "as the process may have open files (connections), at least 10000.",
    )
    drain_seconds: Seconds = Field(
        default=2.0, description="How long a stop may take at most; where NATS does not answer, up to a second more."
    )
    log: LogSettings = Field(default=LogSettings(), description="Log level and format.")

    @property
    def subjects_limit(self) -> int:
        """``max_subjects``, or what takes its place."""
        if self.max_subjects is not None:
            return self.max_subjects
        _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
        return MOST_SUBJECTS if files == resource.RLIM_INFINITY else max(10_000, min(files, MOST_SUBJECTS))

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
        return [settings.channel(self.request_timeout) for settings in self.channels]
