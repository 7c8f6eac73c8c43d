"""The one table of errors: what each is called, and how each surface says it.

A kind has a name (the code in a Socket.IO ack and the ``reason`` label in metrics), an HTTP status and a WebSocket
close code. Close codes 4000-4499 tell a client that reconnecting makes sense, 4500-4999 that it does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsgw import closecodes


@dataclass(frozen=True, slots=True)
class Kind:
    """One row: ``name``, ``http_status`` (RFC 9110), ``close_code`` (RFC 6455 section 7.4), ``summary``."""

    name: str
    http_status: int
    close_code: int
    summary: str

    @property
    def passes(self) -> bool:
        """Whether to come again later makes sense."""
        code = self.close_code
        return (
            code in (closecodes.GOING_AWAY, closecodes.SERVICE_RESTART, closecodes.TRY_AGAIN_LATER)
            or 4000 <= code < 4500
        )


BAD_REQUEST = Kind("bad_request", 400, closecodes.INVALID_DATA, "the message is not of the form this surface takes")
UNAUTHENTICATED = Kind("unauthenticated", 401, 4501, "a token is needed that this gateway takes")
TOKEN_EXPIRED = Kind("token_expired", 401, 4010, "the client's token has ended; come back with a new one")
AUTH_UNAVAILABLE = Kind(
    "auth_unavailable", 503, closecodes.TRY_AGAIN_LATER, "who decides on clients cannot be asked now"
)
FORBIDDEN = Kind("forbidden", 403, 4503, "NATS or a rule of this gateway refuses the subject, or the page that asks")
UNKNOWN_CHANNEL = Kind("unknown_channel", 404, 4504, "no channel of that name is configured")
CHANNEL_CHANGED = Kind(
    "channel_changed", 503, closecodes.SERVICE_RESTART, "the channel is configured otherwise by now: connect again"
)
WRONG_DIRECTION = Kind("wrong_direction", 405, 4505, "the channel does not go that way")
NOT_FOUND = Kind("not_found", 404, 4504, "nothing is served on that path")
METHOD_NOT_ALLOWED = Kind("method_not_allowed", 405, 4505, "the path does not take that HTTP method")
TOO_LARGE = Kind(
    "too_large", 413, closecodes.TOO_BIG, "the payload is larger than NATS max_payload, or limits.message_bytes"
)
REQUEST_TIMEOUT = Kind("request_timeout", 408, closecodes.TRY_AGAIN_LATER, "the request did not come in time")
URI_TOO_LONG = Kind("uri_too_long", 414, 4504, "the request's line is longer than a head may be")
HEADERS_TOO_LARGE = Kind("headers_too_large", 431, 4504, "the request has too many headers, or too large ones")
FLOOD = Kind(
    "flood", 429, closecodes.POLICY_VIOLATION, "empty or control frames or packets, far more than a client needs"
)
RATE_LIMITED = Kind(
    "rate_limited", 429, 4009, "more than the client may send, or connect, in a second: less, and come back later"
)
TOO_MANY_CONNECTIONS = Kind(
    "too_many_connections", 429, 4009, "the user, or the address, has as many connections as it may"
)
TOO_MANY_SESSIONS = Kind(
    "too_many_sessions", 503, closecodes.TRY_AGAIN_LATER, "too many Socket.IO sessions have not connected yet"
)
NO_FILES = Kind("no_files", 503, closecodes.TRY_AGAIN_LATER, "the gateway may open no more files for clients")
NO_MEMORY = Kind("no_memory", 503, closecodes.TRY_AGAIN_LATER, "the gateway keeps as much for clients as it may")
TOO_MANY_SUBJECTS = Kind(
    "too_many_subjects", 503, closecodes.TRY_AGAIN_LATER, "the pattern channel has max_subjects subjects in use"
)
NATS_UNAVAILABLE = Kind("nats_unavailable", 503, closecodes.TRY_AGAIN_LATER, "the gateway has no connection to NATS")
UNCONFIRMED = Kind(
    "unconfirmed", 504, closecodes.TRY_AGAIN_LATER, "the connection to NATS was lost: unknown whether accepted"
)
MAYBE_STORED = Kind(
    "maybe_stored", 504, closecodes.TRY_AGAIN_LATER, "no word from the channel's stream in time: unknown whether stored"
)
NOT_STORED = Kind(
    "not_stored", 503, closecodes.TRY_AGAIN_LATER, "the channel's stream is not there, or did not take it"
)
STREAM_FULL = Kind("stream_full", 503, closecodes.TRY_AGAIN_LATER, "the channel's stream, or JetStream, has no room")
STREAM_UNAVAILABLE = Kind(
    "stream_unavailable", 503, closecodes.TRY_AGAIN_LATER, "the stream of a durable channel cannot be asked now"
)
NO_RESPONDERS = Kind("no_responders", 503, closecodes.TRY_AGAIN_LATER, "nobody answers requests on the subject")
TIMEOUT = Kind("timeout", 504, closecodes.TRY_AGAIN_LATER, "no reply within the channel's timeout")
GAP = Kind("gap", 503, 4100, "publications may be missing; come back, and have what there is now")
SERVICE_ERROR = Kind(
    "service_error", 502, closecodes.INTERNAL_ERROR, "the responder replied with an error, whose own code may be there"
)
SLOW_CONSUMER = Kind("slow_consumer", 503, 4008, "the client does not read what comes, or too much is kept for it")
OVERLOADED = Kind("overloaded", 503, closecodes.TRY_AGAIN_LATER, "too many publishes or requests are waiting")
DRAINING = Kind("draining", 503, closecodes.GOING_AWAY, "the gateway is stopping")
INTERNAL = Kind("internal", 500, closecodes.INTERNAL_ERROR, "a fault of the gateway")

KINDS: tuple[Kind, ...] = (
    BAD_REQUEST,
    UNAUTHENTICATED,
    TOKEN_EXPIRED,
    FORBIDDEN,
    UNKNOWN_CHANNEL,
    CHANNEL_CHANGED,
    WRONG_DIRECTION,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    REQUEST_TIMEOUT,
    TOO_LARGE,
    URI_TOO_LONG,
    FLOOD,
    RATE_LIMITED,
    TOO_MANY_CONNECTIONS,
    HEADERS_TOO_LARGE,
    NATS_UNAVAILABLE,
    AUTH_UNAVAILABLE,
    UNCONFIRMED,
    MAYBE_STORED,
    NOT_STORED,
    STREAM_FULL,
    STREAM_UNAVAILABLE,
    NO_RESPONDERS,
    TIMEOUT,
    SERVICE_ERROR,
    TOO_MANY_SUBJECTS,
    TOO_MANY_SESSIONS,
    GAP,
    SLOW_CONSUMER,
    OVERLOADED,
    NO_FILES,
    NO_MEMORY,
    DRAINING,
    INTERNAL,
)

#: Close codes that ``wsgw_closes_total`` counts under their own number; all others count as ``other``.
CLOSE_CODES: frozenset[int] = frozenset(
    {
        closecodes.NORMAL,
        closecodes.GOING_AWAY,
        closecodes.PROTOCOL_ERROR,
        closecodes.NO_STATUS,
        closecodes.ABNORMAL,
        closecodes.INVALID_DATA,
        closecodes.TOO_BIG,
        closecodes.INTERNAL_ERROR,
    }
    | {kind.close_code for kind in KINDS}
)


#: Told before a WebSocket is open, so over HTTP only; their close codes are those of the same about a channel.
HTTP_ONLY: frozenset[Kind] = frozenset(
    {NOT_FOUND, METHOD_NOT_ALLOWED, REQUEST_TIMEOUT, URI_TOO_LONG, HEADERS_TOO_LARGE, NO_FILES}
)


class WsgwError(Exception):
    """The root of everything this package raises on purpose."""


class GatewayError(WsgwError):
    """Something a client asked for that cannot be done: a ``kind`` of the table and a sentence naming what and why."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message

    @property
    def http_status(self) -> int:
        """The status of an answer over HTTP."""
        return self.kind.http_status

    def as_json(self) -> dict[str, dict[str, str]]:
        """The error as HTTP bodies and Socket.IO acks carry it."""
        return {"error": {"code": self.kind.name, "message": self.message}}


class LimitError(GatewayError):
    """A GatewayError of who is over a limit that passes: to come back makes sense in ``retry_after_seconds``."""

    def __init__(self, kind: Kind, message: str, retry_after_seconds: float) -> None:
        super().__init__(kind, message)
        self.retry_after_seconds = retry_after_seconds


class ConfigError(WsgwError):
    """A configuration that cannot be used; the message names the file (or option), the key and the reason."""
