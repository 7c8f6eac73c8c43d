"""Engine.IO 4: packets, polling payloads and refusals, as a server reads and writes them.

Source: the Engine.IO protocol, revision 4 (docs/engine.io-protocol/v4-current.md of socketio/socket.io).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import orjson

from wsgw.errors import WsgwError
from wsgw.fanout.frames import Message, is_utf8
from wsgw.protocols.engineio import base64
from wsgw.protocols.longtext import LONG_TEXT_BYTES, Content, LongText

OPEN = "0"
CLOSE = "1"
PING = "2"
PONG = "3"
MESSAGE = "4"
UPGRADE = "5"
NOOP = "6"

CLOSE_PACKET = Message(True, b"1")
PING_PACKET = Message(True, b"2")
PROBE_REPLY = Message(True, b"3probe")
NOOP_PACKET = Message(True, b"6")

#: The parsers of some clients refuse a payload of more packets.
MAX_PAYLOAD_PACKETS = 16

_TYPES = frozenset("0123456")
_SEPARATOR = b"\x1e"


class PacketError(WsgwError):
    """Not a packet, or not one that may be sent here; the connection it came on is closed."""


class EnginePacket(NamedTuple):
    """One packet: ``type`` is one of the digits above; ``data`` is bytes only for a binary MESSAGE."""

    type: str
    data: Content


def decode(message: Message) -> EnginePacket:
    """The packet that a WebSocket message is; raises PacketError."""
    text, data = message
    if not text:
        return EnginePacket(MESSAGE, data)
    return _decode_text(data)


def decode_payload(body: bytes) -> Iterator[EnginePacket]:
    """The packets of a polling request's body, one by one; raises PacketError at the first that is none."""
    start = 0
    while start <= len(body):
        end = body.find(_SEPARATOR, start)  # no split: a body may hold millions of packets
        part = body[start:] if end < 0 else body[start:end]
        start = len(body) + 1 if end < 0 else end + 1
        if len(part) > LONG_TEXT_BYTES and not is_utf8(part):
            raise PacketError("a text packet is not UTF-8")
        yield _decode_text(part)


def encode_payload(messages: Iterable[Message]) -> bytes:
    """The body of a polling answer with ``messages`` (as they go over WebSocket) as its packets."""
    return _SEPARATOR.join([data if text else b"b" + b64encode(data) for text, data in messages])


def open_packet(
    sid: str,
    upgrades: Sequence[str],
    ping_interval_seconds: float,
    ping_timeout_seconds: float,
    max_payload_bytes: int,
) -> Message:
    """The handshake's answer."""
    return Message(
        True,
        b"0"
        + orjson.dumps(
            {
                "sid": sid,
                "upgrades": list(upgrades),
                "pingInterval": round(ping_interval_seconds * 1000),
                "pingTimeout": round(ping_timeout_seconds * 1000),
                "maxPayload": max_payload_bytes,
            }
        ),
    )


class RequestError(NamedTuple):
    """Why a request is refused, as the reference server says it: the ``code`` and ``message`` of the answer's body."""

    code: int
    message: str
    http_status: int = 400

    @property
    def body(self) -> bytes:
        """The answer's body, JSON."""
        return orjson.dumps({"code": self.code, "message": self.message})

    @property
    def reason(self) -> str:
        """The value of the ``reason`` label of ``wsgw_rejected_total``."""
        return self.message.lower().replace(" ", "_")


UNKNOWN_TRANSPORT = RequestError(0, "Transport unknown")
UNKNOWN_SID = RequestError(1, "Session ID unknown")
BAD_HANDSHAKE_METHOD = RequestError(2, "Bad handshake method")
BAD_REQUEST = RequestError(3, "Bad request")
TOO_LARGE = RequestError(3, "Payload too large", 413)
UNAUTHENTICATED = RequestError(4, "Unauthenticated", 401)
EXPIRED = RequestError(4, "Token expired", 401)
UNAVAILABLE = RequestError(4, "Auth unavailable", 503)
DRAINING = RequestError(4, "Draining", 503)
NO_MEMORY = RequestError(4, "No memory", 503)
OVERLOADED = RequestError(4, "Overloaded", 503)
RATE_LIMITED = RequestError(4, "Rate limited", 429)
TOO_MANY_CONNECTIONS = RequestError(4, "Too many connections", 429)
UNSUPPORTED_VERSION = RequestError(5, "Unsupported protocol version")
REQUEST_ERRORS = (
    UNKNOWN_TRANSPORT,
    UNKNOWN_SID,
    BAD_HANDSHAKE_METHOD,
    BAD_REQUEST,
    TOO_LARGE,
    UNAUTHENTICATED,
    EXPIRED,
    UNAVAILABLE,
    DRAINING,
    NO_MEMORY,
    OVERLOADED,
    RATE_LIMITED,
    TOO_MANY_CONNECTIONS,
    UNSUPPORTED_VERSION,
)


class RequestRefused(WsgwError):
    """A request that is answered with ``error``, and ``headers``."""

    def __init__(self, error: RequestError, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.headers: Mapping[str, str] = {} if headers is None else headers


def _decode_text(data: bytes) -> EnginePacket:
    """Long ``data`` is known to be UTF-8."""
    if data.startswith(b"b"):  # in WebSocket messages of clients that may send no binary ones (``forceBase64``)
        try:
            return EnginePacket(MESSAGE, base64.decode(data[1:]))
        except ValueError as error:
            raise PacketError("a binary packet is not base64") from error
    if len(data) > LONG_TEXT_BYTES:
        kind = chr(data[0])
        if kind not in _TYPES:
            raise PacketError("not a packet")
        return EnginePacket(kind, LongText(data, 1))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise PacketError("a text packet is not UTF-8") from error
    if text[:1] not in _TYPES:  # the empty string is in no frozenset of characters
        raise PacketError("not a packet")
    return EnginePacket(text[0], text[1:])
