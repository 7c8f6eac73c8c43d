"""What NATS sends, cut into protocol lines (docs.nats.io, client protocol), with a short way for messages.

Messages of subscriptions that are in ``direct`` are handed over from the bytes that were read, and so are refusals of
subjects, which the library would tell in lower case; everything else goes to the library, whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from nats.errors import ProtocolError

from wsgw.broker.violation import PermissionViolation

log = logging.getLogger("wsgw.nats")

#: Verbs of the protocol: what begins a message, without and with headers, and an error.
MESSAGES = (b"MSG ", b"HMSG ")
ERROR = b"-ERR"
LINE_END = b"\r\n"
#: What a block of headers begins with: more of it, or a status.
HEADER_BLOCKS = (b"NATS/1.0\r\n", b"NATS/1.0 ")
#: No line of NATS is longer: INFO lines, which name all servers of a cluster, are the longest.
MAX_LINE_BYTES = 1024 * 1024


class Deliver(Protocol):
    """Gets the messages of a subscription."""

    def __call__(self, subject: bytes, payload: bytes, reply: bytes | None = ..., block: bytes = ..., /) -> None:
        """One message; must not block.

        Where there is a reply subject or a header block both are given, and the one that is not there is empty.
        """


class DirectParser:
    """``direct`` maps a subscription's number, as the bytes NATS writes, to who gets its messages; it may change.

    ``on_refusal``, and ``on_other``, which gets lines (with the payload, where there is one), must neither block nor
    raise. Messages of other subscriptions are dropped unless ``expects(number)``.
    """

    def __init__(
        self,
        direct: Mapping[bytes, Deliver],
        on_refusal: Callable[[PermissionViolation], None],
        on_other: Callable[[bytes], None],
        expects: Callable[[bytes], bool],
    ) -> None:
        self._direct = direct
        self._expects = expects
        self._on_refusal = on_refusal
        self._on_other = on_other
        self._kept = bytearray()  # the beginning of a line, or of a message
        self._needed = 0

    def feed(self, data: bytes) -> None:
        """Take ``data`` apart; raises nats.errors.ProtocolError."""
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return
            data = bytes(self._kept)
            self._kept.clear()
        direct = self._direct
        at, end = 0, len(data)
        needed = 0
        # the last message's first line and what it says: the next one's is often the same
        header, subject, number, simple, start, stop = b"", b"", b"", b"", 0, 0
        reply: bytes | None = None
        while at < end:
            if not header or not data.startswith(header, at):
                line = data.find(LINE_END, at)
                if line < 0:
                    if end - at > MAX_LINE_BYTES:
                        raise ProtocolError("nats: a protocol line is too long")
                    break
                if not data.startswith(MESSAGES, at):
                    self._other_line(data[at : line + 2])
                    at = line + 2
                    continue
                header = data[at : line + 2]
                subject, number, reply, start, stop = _message(header)
                # most are a subject and a payload; what the others cost must not slow these: nobody has their number
                simple = number if reply is None else b""
            if at + stop > end:
                needed = stop
                break
            deliver = direct.get(simple)
            try:
                if deliver is not None:
                    deliver(subject, data[at + start : at + stop - 2])
                elif (deliver := direct.get(number)) is not None:
                    block = data[at + len(header) : at + start]
                    deliver(subject, data[at + start : at + stop - 2], reply, block)
                elif self._expects(number):
                    self._on_other(_readable(data[at : at + stop], len(header), start))
            except Exception:  # the next message may do better
                log.exception("nats: handling a message on %r failed", subject)
            at += stop
        if at < end:
            self._kept += data[at:] if at else data
            self._needed = needed

    def _other_line(self, line: bytes) -> None:
        refusal = PermissionViolation.parse(line) if line.startswith(ERROR) else None
        if refusal is None:
            self._on_other(line)
        else:
            self._on_refusal(refusal)


def _readable(message: bytes, header_end: int, payload_start: int) -> bytes:
    """``message`` for the library, whose read loop ends at a block of headers that is none: then without the block.

    Anybody who answers a request may write one.
    """
    block = message[header_end:payload_start]
    if not block or (block.startswith(HEADER_BLOCKS) and block.endswith(LINE_END + LINE_END)):
        return message
    words = message[:header_end].split()
    payload = message[payload_start:]
    line = b" ".join([b"MSG", *words[1:-2], b"%d" % (len(payload) - len(LINE_END))])
    return line + LINE_END + payload


def _message(header: bytes) -> tuple[bytes, bytes, bytes | None, int, int]:
    """What a message's first line says: subject, the subscription's number, the reply subject, and where the payload
    begins and the message ends, from the line's start.

    The reply is empty without one, and None without one and without headers. Raises ProtocolError.
    """
    reply: bytes | None
    before = b""  # only lines with headers pay for what they alone have
    match header.split():
        case [b"MSG", subject, number, size]:
            reply = None
        case [b"MSG", subject, number, reply, size]:
            pass
        case [b"HMSG", subject, number, before, size]:
            reply = b""
        case [b"HMSG", subject, number, reply, before, size]:
            pass
        case _:
            raise ProtocolError("nats: malformed MSG")
    try:
        length = int(size)
        skipped = int(before) if before else 0
    except ValueError:
        raise ProtocolError("nats: malformed MSG") from None
    if not 0 <= skipped <= length:
        raise ProtocolError("nats: malformed MSG")
    start = len(header)
    return subject, number, reply, start + skipped, start + length + 2
