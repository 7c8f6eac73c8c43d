"""The settings that bound what clients can make the gateway do."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, ByteSize, Field

from wsgw.config.values import Model, Seconds, number

MOST_SUBJECTS = 1_000_000

# each of a connection, a user or an address; None is no limit, for which the bounds have to stand first
_Connections = Annotated[int | None, Field(ge=1, le=1_000_000), BeforeValidator(number)]
_ConnectRate = Annotated[float | None, Field(ge=0.01, le=1_000_000), BeforeValidator(number)]
_MessageRate = Annotated[float | None, Field(ge=0.01, le=10_000_000), BeforeValidator(number)]
_ByteRate = Annotated[ByteSize | None, Field(ge=1024, le=1024**4)]
_COUNTED = "Connections at a time: WebSockets, Socket.IO sessions, streams."
_OF_THESE = "Bytes of these."


class QuotaSettings(Model):
    """What one user, or one address, may have of this process."""

    connections: _Connections = Field(default=None, description=_COUNTED)
    connects_per_second: _ConnectRate = Field(default=None, description="New ones of these.")
    messages_per_second: _MessageRate = Field(
        default=None, description="Messages and requests that it sends, of all its connections and POSTs together."
    )
    bytes_per_second: _ByteRate = Field(default=None, description=_OF_THESE)


class UserLimitsSettings(QuotaSettings):
    """Of one user."""

    connections: _Connections = Field(default=10_000, description=f"{_COUNTED} `null` is no limit.")


class LimitsSettings(Model):
    """What one client, and all together, can make the gateway do. What happens beyond is in docs/limits.md."""

    head_bytes: ByteSize = Field(
        default=ByteSize(64 * 1024),
        ge=1024,
        le=16 * 1024**2,
        description="Most bytes of a request's head: request line, headers, and trailers of a chunked body.",
    )
    headers: int = Field(default=100, ge=10, le=10_000, description="Most headers of a request, trailers included.")
    pipelined_requests: int = Field(
        default=32, ge=1, le=1000, description="Requests of one connection that are read while another one is answered."
    )
    head_timeout: Seconds = Field(
        default=10.0, description="How long a head may take: the first one from the connection's start on."
    )
    body_stall_timeout: Seconds = Field(default=20.0, description="How long a body may stand still.")
    body_timeout: Seconds = Field(default=120.0, description="How long a body may take in all.")
    idle_timeout: Seconds = Field(
        default=75.0, description="How long a connection may wait between two requests; balancers wait 60 s or less."
    )
    files_reserve: int = Field(
        default=64,
        ge=8,
        le=10_000,
        description="Open files that connections of clients leave free: for NATS, health checks and metrics.",
    )
    memory: ByteSize = Field(
        default=ByteSize(128 * 1024 * 1024),
        ge=1024**2,
        description="Most bytes kept for clients in all: what waits for slow ones, what is not complete yet, and their "
        "subscriptions to names of patterns.",
    )
    unconnected_sessions: int = Field(
        default=2000,
        ge=1,
        le=1_000_000,
        description="Socket.IO sessions that have not connected yet; beyond it the oldest of them end.",
    )
    session_requests: int = Field(
        default=256, ge=1, le=10_000, description="Requests of one client that wait for replies."
    )
    session_names: int = Field(
        default=1000, ge=1, le=MOST_SUBJECTS, description="Names of pattern channels that one client is subscribed to."
    )
    message_bytes: ByteSize | None = Field(
        default=None,
        ge=1,
        le=1024**3,
        description="Most bytes of a message of a client; where not given, or where that is less, NATS' `max_payload`.",
    )
    messages_per_second: _MessageRate = Field(
        default=None, description="Messages and requests that one connection may send; where not given, any number."
    )
    bytes_per_second: _ByteRate = Field(default=None, description=_OF_THESE)
    burst: Seconds = Field(
        default=5.0,
        description="Of every rate here: what could have come in this time may come at once, where nothing came.",
    )
    rate_timeout: Seconds = Field(
        default=30.0, description="How long a connection may go on beyond its rates before it is closed."
    )
    user: UserLimitsSettings = Field(
        default=UserLimitsSettings(), description="What one user may have, by whatever connections."
    )
    address: QuotaSettings = Field(
        default=QuotaSettings(), description="What those without a user may have that come from one address."
    )
