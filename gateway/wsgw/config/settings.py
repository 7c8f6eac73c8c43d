"""The settings: one model, which says what there is, what it takes and what it is by default."""

from __future__ import annotations

import resource
from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from wsgw.channels.channel import Channel, Direction, OnGap, Payload, SlowConsumer
from wsgw.channels.durable import Durable, Storage, stream_name
from wsgw.channels.hemera import TOPIC
from wsgw.channels.template import template_of
from wsgw.config.addresses import Address, addresses_of
from wsgw.config.auth import AuthSettings
from wsgw.config.delegate import Authorizing
from wsgw.config.hemera import HemeraFields, action_of
from wsgw.config.hosts import Hosts
from wsgw.config.limits import MOST_SUBJECTS, LimitsSettings
from wsgw.config.listening import Admin, BasePath, Listen, Tls
from wsgw.config.nats import NatsSettings
from wsgw.config.origins import SAME, Origins
from wsgw.config.proxies import TrustedProxies
from wsgw.config.values import Delay, Model, Seconds, section
from wsgw.log import FORMATS, LEVELS

DEFAULT_FILE = "wsgw.yml"
MOST_REPLAYED = 10_000


def _subject(value: str) -> str:
    try:
        template_of(value)
    except ValueError as error:
        raise ValueError(f"{value!r} {error}") from None
    return value


class OutboxSettings(Model):
    """How much of a channel may wait for one slow client."""

    messages: int = Field(default=16_384, ge=1, le=1_000_000, description="Most publications that wait for one client.")
    bytes: ByteSize = Field(
        default=ByteSize(8 * 1024 * 1024),
        ge=1024,
        le=1024**3,
        description="Most bytes that wait for one client, what its socket holds included.",
    )


class DurableSettings(Model):
    """The JetStream stream of a durable channel."""

    stream: str | None = Field(
        default=None,
        description="Its name; the channel's where not given, with `_` for what is no letter, digit, `-` or `_`.",
    )
    max_age: Seconds = Field(default=86400.0, description="How long it keeps a message (`24h`).")
    max_bytes: ByteSize = Field(default=ByteSize(1024**3), ge=1024, description="How many bytes it keeps at most.")
    replicas: int = Field(default=1, ge=1, le=5, description="How many servers of a cluster have it.")
    storage: Storage = Field(default=Storage.FILE, description="Where it is: `file` or `memory`.")
    managed: bool = Field(
        default=True,
        description="The gateway makes the stream where there is none, and never changes one: where one differs from "
        "these values the channel is `failed`, and `/readyz` and the log name both. `false`: it is there already, and "
        "taken as it is.",
    )
    domain: str | None = Field(default=None, description="JetStream's domain, that of a leaf node.")
    api_prefix: str | None = Field(default=None, description="What stands for `$JS.API`, where an account imports it.")

    def durable(self, channel: str) -> Durable:
        """As the gateway uses it, for the channel of that name."""
        return Durable(
            stream=stream_name(channel) if self.stream is None else self.stream,
            max_age_seconds=self.max_age,
            max_bytes=int(self.max_bytes),
            replicas=self.replicas,
            storage=self.storage,
            managed=self.managed,
            domain=self.domain,
            api_prefix=self.api_prefix,
        )


class OnJoinSettings(Model):
    """What a client gets of the past that does not say where it stands."""

    last: int = Field(default=0, ge=0, le=MOST_REPLAYED, description="How many of the newest publications.")


def _durable(value: object) -> object:
    """``true`` is all defaults, ``false`` is not durable."""
    if isinstance(value, bool):
        return {} if value else None
    return value


class ChannelSettings(Model):
    """One channel."""

    name: str = Field(
        description="What clients call it. `*` and a last `>` make it a pattern whose names clients join."
    )
    direction: Direction = Field(
        description="`inbound` (NATS to client), `outbound` (client to NATS), `both`, `request`."
    )
    subject: Annotated[str, AfterValidator(_subject)] | None = Field(
        default=None,
        description="The NATS subject; the name where not given. Tokens such as `{sub}`, `{org.id}`, `{sub|base64url}` "
        "or `{sub|sha256}` are filled from the client's claims.",
    )
    hemera: HemeraFields = Field(
        default=None,
        description="Messages are those of hemera (npm's nats-hemera): fields of a pattern such as "
        "`{topic: math, cmd: add}`, of which `topic` is the subject, or `true` for the topic alone. Clients send and "
        "get the fields as a JSON object; a request is an `act`, its reply the result.",
    )
    slow_consumer: SlowConsumer | None = Field(
        default=None,
        description="What happens to a client that does not take what comes: `drop_oldest` (the default, when its "
        "outbox is full), `latest` (of each subject only the newest waits), or `disconnect` (4008, when it is full; "
        "that of durable channels, which take no other).",
    )
    on_gap: OnGap = Field(
        default=OnGap.IGNORE,
        description="What happens to WebSockets without an envelope where publications may be missing, which others "
        "are told: `ignore`, or `close` (4100).",
    )
    outbox: OutboxSettings = Field(default=OutboxSettings(), description="Limits of what waits for one slow client.")
    timeout: Seconds | None = Field(
        default=None, description="How long a request waits for its reply; `request_timeout` where not given."
    )
    durable: Annotated[DurableSettings | None, BeforeValidator(_durable)] = Field(
        default=None, description="Publications are held in a JetStream stream; `true` for one with all defaults."
    )
    on_join: OnJoinSettings = Field(
        default=OnJoinSettings(), description="What clients of a durable channel get that come without a position."
    )
    payload: Payload | None = Field(
        default=None,
        description="`bytes` (the default), or `json` (that with `hemera`): then it is a value in envelopes, and "
        "Socket.IO's argument is the value.",
    )
    authorize: Authorizing = Field(
        default=None,
        description="A NATS service is asked whether a client may use a name of the channel; nobody where not given.",
    )
    headers: list[str] = Field(
        default=[],
        description="Names of NATS headers that clients see: in envelopes, and those of replies in answers over HTTP.",
    )

    def channel(self, request_timeout: float) -> Channel:
        """The channel, as the gateway uses it; ``request_timeout`` in seconds where it has no ``timeout``."""
        usual = SlowConsumer.DROP_OLDEST if self.durable is None else SlowConsumer.DISCONNECT
        payload = Payload.BYTES if self.hemera is None else Payload.JSON
        subject = next((each for each in (self.subject, (self.hemera or {}).get(TOPIC)) if each is not None), self.name)
        template = None if self.subject is None else template_of(self.subject)
        return Channel(
            name=self.name,
            direction=self.direction,
            subject=subject if template is None else template.subject,
            slow_consumer=usual if self.slow_consumer is None else self.slow_consumer,
            outbox_messages=self.outbox.messages,
            outbox_bytes=int(self.outbox.bytes),
            timeout_seconds=request_timeout if self.timeout is None else self.timeout,
            durable=None if self.durable is None else self.durable.durable(self.name),
            payload=payload if self.payload is None else self.payload,
            headers=tuple(self.headers),
            on_join_last=self.on_join.last,
            on_gap=self.on_gap,
            hemera=action_of(self.hemera, subject),
            template=template,
            authorize=None if self.authorize is None else self.authorize.authorize(),
        )

    @property
    def subject_key(self) -> tuple[str, ...]:
        """Of what says the subject."""
        if self.subject is not None:
            return ("subject",)
        return ("name",) if self.hemera is None or TOPIC not in self.hemera else ("hemera", TOPIC)


def _one_of(known: Collection[str]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in known:
            raise ValueError(f"{value!r} is not one of {', '.join(known)}")
        return value

    return AfterValidator(check)


class LogSettings(Model):
    """What is logged, and how."""

    level: Annotated[str, _one_of(LEVELS)] = Field(
        default="info", description=f"One of {', '.join(LEVELS)}. Payloads are logged at no level."
    )
    format: Annotated[str, _one_of(FORMATS)] = Field(default="plainText", description=f"One of {', '.join(FORMATS)}.")


class Settings(BaseSettings):
    """Everything that can be configured. Build it with ``config.load``, which also checks what spans several keys."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    listen: Listen = Field(
        default="127.0.0.1:3007",
        description="Address and port of the HTTP and WebSocket server, or a list of them. `[::]:3007` is all, of IPv4 "
        "too; `localhost:3007` both loopbacks; `unix:/run/wsgw.sock?mode=660` a unix socket.",
    )
    port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Overrides the port of `listen`, where that has one; 0 takes a free one.",
    )
    base_path: BasePath = Field(
        default=None,
        validate_default=False,
        description="The path that everything is below, such as `/rt` of an ingress. See docs/operations.md.",
    )
    tls: Tls = Field(
        default=None,
        validate_default=False,
        description="TLS 1.2 or newer for clients; where not given, none. See docs/operations.md.",
    )
    admin: Admin = Field(
        default=None,
        validate_default=False,
        description="A listener for operators; where not given, they ask where clients do. See docs/operations.md.",
    )
    origins: Origins = Field(
        default=SAME,
        description="Whose pages may use the gateway: `same` (those of its own host and port), `any`, or a list of "
        "origins such as `https://app.example`, `https://*.app.example` and `same`. See docs/security.md.",
    )
    hosts: Hosts = Field(
        default=None,
        validate_default=False,
        description="Names with a dot by which the gateway may be asked for; `*.app.example` is all below one. Where "
        "not given, any, but none while it listens on loopback only. See docs/security.md.",
    )
    trusted_proxies: TrustedProxies = Field(
        default=None,
        validate_default=False,
        description="Addresses and networks of the proxies in front, `unix` for who connects to a unix socket: what "
        "they say of a client's address, host and scheme is believed. `[]` where there are none; where not given that "
        "is not known, and limits by address do not apply to who may be one. See docs/limits.md.",
    )
    nats: NatsSettings = Field(default=NatsSettings(), description="The NATS servers and credentials.")
    channels: list[ChannelSettings] = Field(default=[], description="The channels clients may use.")
    auth: Annotated[AuthSettings | None, section("leave it out where everybody may use every channel")] = Field(
        default=None,
        validate_default=False,
        description="Who clients are and what they may do; where not given, everybody may use every channel.",
    )
    request_timeout: Seconds = Field(
        default=2.0, description="How long a request waits for its reply where the channel does not say."
    )
    max_subjects: int | None = Field(
        default=None,
        ge=1,
        le=MOST_SUBJECTS,
        description="Names of one pattern channel, or subjects of one that claims fill, that clients are subscribed to "
        "at a time; where not given, as many as the process may have open files (the hard limit), at least 10000.",
    )
    drain_delay: Delay = Field(
        default=0.0,
        description="How long a stop only announces itself: `/readyz` says 503, all else goes on; `3s` behind a proxy.",
    )
    drain_seconds: Seconds = Field(
        default=2.0,
        description="What clients, requests and NATS share in a stop, which ends within `drain_delay`, that and 2 s "
        "whatever they do.",
    )
    watch: bool = Field(
        default=False,
        description="Read the file again when it changes, as at SIGHUP; a mounted Kubernetes ConfigMap, too.",
    )
    limits: LimitsSettings = Field(default=LimitsSettings(), description="What clients can make the gateway do.")
    log: LogSettings = Field(default=LogSettings(), description="Log level and format.")

    @property
    def subjects_limit(self) -> int:
        """``max_subjects``, or what takes its place."""
        if self.max_subjects is not None:
            return self.max_subjects
        _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
        return MOST_SUBJECTS if files == resource.RLIM_INFINITY else max(10_000, min(files, MOST_SUBJECTS))

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where to listen."""
        return addresses_of(self.listen, self.port)

    def channel_table(self) -> list[Channel]:
        """The channels, as the gateway uses them."""
        return [settings.channel(self.request_timeout) for settings in self.channels]
