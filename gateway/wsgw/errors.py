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


BAD_REQUEST = Kind("bad_request", 400, closecodes.INVALID_DATA, "the message is not of the form this surface takes")
FORBIDDEN = Kind("forbidden", 403, 4503, "NATS or a rule of this gateway refuses the subject")
UNKNOWN_CHANNEL = Kind("unknown_channel", 404, 4504, "no channel of that name is configured")
WRONG_DIRECTION = Kind("wrong_direction", 405, 4505, "the channel does not go that way")
NOT_FOUND = Kind("not_found", 404, 4504, "nothing is served on that path")
METHOD_NOT_ALLOWED = Kind("method_not_allowed", 405, 4505, "the path does not take that HTTP method")
TOO_LARGE = Kind("too_large", 413, closecodes.TOO_BIG, "the payload is larger than NATS max_payload")
TOO_MANY_SUBJECTS = Kind(
    "too_many_subjects", 503, closecodes.TRY_AGAIN_LATER, "the pattern channel has max_subjects subjects in use"
)
NATS_UNAVAILABLE = Kind("nats_unavailable", 503, closecodes.TRY_AGAIN_LATER, "the gateway has no connection to NATS")
UNCONFIRMED = Kind(
    "unconfirmed", 504, closecodes.TRY_AGAIN_LATER, "the connection to NATS was lost: unknown whether accepted"
)
NO_RESPONDERS = Kind("no_responders", 503, closecodes.TRY_AGAIN_LATER, "nobody answers requests on the subject")
TIMEOUT = Kind("timeout", 504, closecodes.TRY_AGAIN_LATER, "no reply within the channel's timeout")
SLOW_CONSUMER = Kind("slow_consumer", 503, 4008, "acks and answers pile up: the client does not read")
OVERLOADED = Kind("overloaded", 503, closecodes.TRY_AGAIN_LATER, "too many publishes or requests are waiting")
DRAINING = Kind("draining", 503, closecodes.GOING_AWAY, "the gateway is stopping")
INTERNAL = Kind("internal", 500, closecodes.INTERNAL_ERROR, "a fault of the gateway")

KINDS: tuple[Kind, ...] = (
    BAD_REQUEST,
    FORBIDDEN,
    UNKNOWN_CHANNEL,
    WRONG_DIRECTION,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    TOO_LARGE,
    NATS_UNAVAILABLE,
    UNCONFIRMED,
    NO_RESPONDERS,
    TIMEOUT,
    TOO_MANY_SUBJECTS,
    SLOW_CONSUMER,
    OVERLOADED,
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
HTTP_ONLY: frozenset[Kind] = frozenset({NOT_FOUND, METHOD_NOT_ALLOWED})


class WsgwError(Exception):
    """The root of everything this package raises on purpose."""


class GatewayError(WsgwError):
    """Something a client asked for that cannot be done: a ``kind`` of the table and a sentence naming what and why."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message

    def as_json(self) -> dict[str, dict[str, str]]:
        """The error as HTTP bodies and Socket.IO acks carry it."""
        return {"error": {"code": self.kind.name, "message": self.message}}


class ConfigError(WsgwError):
    """A configuration that cannot be used; the message names the file (or option), the key and the reason."""
