"""Socket.IO 5 packets over Engine.IO messages, as a server reads and writes them; and publications as events.

Source: the Socket.IO protocol, revision 5 (docs/socket.io-protocol/v5-current.md of socketio/socket.io). A packet is
the text of one message, ``<type>[<attachments>-][<namespace>,][<ack id>][<JSON>]``, then one message per attachment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from wsgw.channels.channel import RESERVED_EVENTS
from wsgw.errors import WsgwError
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.protocols.longtext import Content, LongText
from wsgw.protocols.socketio.arguments import (
    MAX_SCANNED_CHARS,
    OBJECT_BYTES,
    Argument,
    ArgumentError,
    Attachment,
    Json,
    join,
    memory_bytes,
    only,
    quote,
    split,
    split_binary,
)
from wsgw.protocols.socketio.longarguments import split_long, split_long_binary

CONNECT = "0"
DISCONNECT = "1"
EVENT = "2"
ACK = "3"
CONNECT_ERROR = "4"
BINARY_EVENT = "5"
BINARY_ACK = "6"

#: Most attachments of one packet, as in the reference parser.
MAX_ATTACHMENTS = 10

#: More than the longest header has.
_HEADER_BYTES = 2048
_HEADER = re.compile(r"([0-6])(?:([0-9]{1,3})-)?(?:(/[^,]{0,255})(?:,|\Z))?([0-9]{0,16})")
#: What nearly all packets begin with: an event of the main namespace, its name with nothing escaped.
_PLAIN_EVENT = re.compile(r'2([0-9]{0,16})\["([^"\\\x00-\x1f\ud800-\udfff]{0,1024})",')


class ProtocolError(WsgwError):
    """Not a Socket.IO packet that a client may send; the connection it came on is closed."""


class SocketPacket(NamedTuple):
    """One packet of a client: CONNECT, DISCONNECT, EVENT or ACK (binary ones are these two as well, once whole).

    ``args`` of a CONNECT is empty, or its payload; ``name`` is an EVENT's; an ACK without an ``id`` answers nothing.
    """

    type: str
    namespace: str
    id: int | None
    name: str
    args: list[Argument]

    @property
    def memory_bytes(self) -> int:
        """What it takes in memory, about."""
        return OBJECT_BYTES + memory_bytes(self.name) + sum([memory_bytes(arg) for arg in self.args])


class Decoder:
    """Puts packets together from messages. A packet with its attachments has at most ``max_packet_bytes()``.

    One argument of a long packet has at most ``max_value_bytes()``, else it is Oversized.
    """

    __slots__ = ("_attachments", "_bytes", "_expected", "_kept", "_max_packet_bytes", "_max_value_bytes", "_packet")

    def __init__(self, max_packet_bytes: Callable[[], int], max_value_bytes: Callable[[], int]) -> None:
        self._max_packet_bytes = max_packet_bytes
        self._max_value_bytes = max_value_bytes
        self._packet: SocketPacket | None = None  # the one whose attachments are being received
        self._expected = 0
        self._attachments: list[bytes] = []
        self._bytes = 0  # of it, as it came
        self._kept = 0  # and in memory

    @property
    def kept_bytes(self) -> int:
        """What is kept of a packet whose attachments have not all come; 0 where there is none."""
        return 0 if self._packet is None else self._kept

    def add(self, data: Content) -> SocketPacket | None:
        """The packet that the message ``data`` completes, or None; raises ProtocolError."""
        if type(data) is not bytes:
            if self._packet is not None:
                raise ProtocolError("text where an attachment is due")
            return self._text(data) if type(data) is str else self._long(data)  # type: ignore[arg-type]  # not str
        if self._packet is None:
            raise ProtocolError("an attachment without a packet")
        self._bytes += len(data)
        if self._bytes > self._max_packet_bytes():
            raise ProtocolError("the attachments are too large")
        self._kept += memory_bytes(data)
        self._attachments.append(data)
        return self._completed() if len(self._attachments) == self._expected else None

    def _text(self, text: str) -> SocketPacket | None:
        plain = _PLAIN_EVENT.match(text)
        if plain is not None:
            arg = only(text, plain.end())
            id_digits, name = plain.groups()
            if arg is not None and name not in RESERVED_EVENTS:
                # as ``SocketPacket(...)``, which takes three times as long
                return tuple.__new__(SocketPacket, (EVENT, "/", int(id_digits) if id_digits else None, name, [arg]))
        header = _header(text)
        return self._packet_of(header, text[header.end() :], len(text))

    def _long(self, text: LongText) -> SocketPacket | None:
        begin = text.begin(_HEADER_BYTES)
        header = _header(begin)
        rest = LongText(text.data, text.at + len(begin[: header.end()].encode()))
        return self._packet_of(header, rest.whole(MAX_SCANNED_CHARS) or rest, len(text))

    def _packet_of(self, header: re.Match[str], payload: str | LongText, size: int) -> SocketPacket | None:
        """The packet with that ``header``, if it is whole; ``size`` is the whole message's."""
        kind, attachments, namespace, id_digits = header.groups()
        binary = kind in (BINARY_EVENT, BINARY_ACK)
        if binary is not (attachments is not None):
            raise ProtocolError("the number of attachments is missing, or out of place")
        id = int(id_digits) if id_digits else None
        namespace = namespace or "/"
        if kind in (CONNECT, DISCONNECT):
            return self._control(kind, namespace, payload)
        if kind == CONNECT_ERROR:
            raise ProtocolError("a packet that only servers send")
        is_event = kind in (EVENT, BINARY_EVENT)
        expected = int(attachments) if binary else 0
        if expected > MAX_ATTACHMENTS:
            raise ProtocolError("too many attachments")
        if not payload and not is_event:
            payload = "[]"  # an ack without arguments
        try:
            args = self._arguments(payload, expected if binary else None)
        except ArgumentError as error:
            raise ProtocolError(str(error)) from error
        name = _event_name(args) if is_event else ""
        packet = SocketPacket(EVENT if is_event else ACK, namespace, id, name, args)  # type: ignore[arg-type]  # see below
        if not expected:
            return packet
        self._packet, self._expected, self._bytes, self._kept = packet, expected, size, packet.memory_bytes
        return None

    def _arguments(
        self, payload: str | LongText, attachments: int | None
    ) -> list[Argument] | list[Argument | Attachment]:
        """Those of a packet with so many ``attachments``, None where it is none for such; raises ArgumentError."""
        if isinstance(payload, str):
            return split(payload) if attachments is None else split_binary(payload, attachments)
        return split_long(payload, self._max_value_bytes()) if attachments is None else split_long_binary(payload)

    def _control(self, kind: str, namespace: str, payload: str | LongText) -> SocketPacket:
        """An id is passed over, as the reference server does."""
        if payload and kind == DISCONNECT:
            raise ProtocolError("more than a DISCONNECT has")
        if not payload:
            return SocketPacket(kind, namespace, None, "", [])
        if not isinstance(payload, str):
            raise ProtocolError("the payload of a CONNECT is too long")
        try:
            args = split(f"[{payload}]")
        except ArgumentError as error:
            raise ProtocolError(str(error)) from error
        if len(args) != 1 or payload[0] != "{" or type(args[0]) is not Json or args[0].problem:
            raise ProtocolError("the payload of a CONNECT is an object")
        return SocketPacket(kind, namespace, None, "", args)

    def _completed(self) -> SocketPacket:
        """The packet, with each Attachment among its arguments replaced by what came for it."""
        packet, attachments = self._packet, self._attachments
        assert packet is not None
        self._packet, self._attachments = None, []
        args: list[Argument | Attachment] = [*packet.args]
        packet.args[:] = [attachments[arg.num] if isinstance(arg, Attachment) else arg for arg in args]
        return packet


def encode_event(namespace: str, name: str, args: Sequence[Argument]) -> Encoded:
    """An event of the server, which asks for no ack."""
    head, payload, attachments = _parts(EVENT, BINARY_EVENT, namespace, quote(name), args)
    return Encoded(Message(True, head + payload), *attachments)


def encode_acks(namespace: str, ids: Sequence[int], args: Sequence[Argument]) -> list[Encoded]:
    """The answers to a client's events with those ``ids``, the same for all."""
    head, payload, attachments = _parts(ACK, BINARY_ACK, namespace, b"", args)
    return [Encoded(Message(True, head + b"%d" % id + payload), *attachments) for id in ids]


def encode_text_acks(namespace: str, ids: Sequence[int], args: Sequence[Argument]) -> list[Message] | None:
    """As ``encode_acks``, a message each; None where there are binary ones among ``args``."""
    head, payload, attachments = _parts(ACK, BINARY_ACK, namespace, b"", args)
    if attachments:
        return None
    new = tuple.__new__  # as ``Message(...)``, in a third of its time
    return [new(Message, (True, b"%b%d%b" % (head, id, payload))) for id in ids]


def encode_connect(namespace: str, sid: str, pid: str | None = None) -> Encoded:
    """The answer to a CONNECT that was accepted; ``pid`` is what the client names itself by when it comes back."""
    more = b"" if pid is None else b',"pid":' + quote(pid)
    return _text(CONNECT, namespace, b'{"sid":' + quote(sid) + more + b"}")


def encode_connect_error(namespace: str, message: str, data: Json | None) -> Encoded:
    """The answer to a CONNECT that was refused."""
    more = b"" if data is None else b',"data":' + data.raw.encode()
    return _text(CONNECT_ERROR, namespace, b'{"message":' + quote(message) + more + b"}")


def _header(text: str) -> re.Match[str]:
    header = _HEADER.match(text)
    if header is None:
        raise ProtocolError("no packet type")
    return header


def _event_name(args: list[Argument] | list[Argument | Attachment]) -> str:
    """Takes the name out of ``args``; raises ProtocolError."""
    first = args.pop(0) if args else None
    if type(first) is Json and (first.raw[0] in "-0123456789" or first.raw[0] == '"'):
        return first.raw  # a number, as JavaScript allows, or no Unicode text: names no channel
    if type(first) is not str or first in RESERVED_EVENTS:
        raise ProtocolError("an event has a name, and not a reserved one")
    return first


def _text(kind: str, namespace: str, payload: bytes) -> Encoded:
    return Encoded(Message(True, _head(kind, namespace) + payload))


def _head(kind: str, namespace: str) -> bytes:
    head = b"4" + kind.encode()
    return head if namespace == "/" else head + namespace.encode() + b","


def _parts(
    kind: str, binary_kind: str, namespace: str, first: bytes, args: Sequence[Argument]
) -> tuple[bytes, bytes, list[Message]]:
    """What comes before a packet's id and what behind it, and its attachments."""
    attachments: list[Message] = []
    payload = join(first, args, attachments)
    if attachments:
        kind = f"{binary_kind}{len(attachments)}-"
    return _head(kind, namespace), payload, attachments
