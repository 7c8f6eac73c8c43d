"""What NATS sends, cut into protocol lines (docs.nats.io, client protocol): messages, and all others. Sans-I/O."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Protocol

from wsgw.errors import WsgwError
from wsgw.shares.repeats import Repeats

log = logging.getLogger("wsgw.nats")

#: What begins a message, without and with headers.
MESSAGES = (b"MSG ", b"HMSG ")
LINE_END = b"\r\n"
#: No line of NATS is longer: INFO lines, which name all servers of a cluster, are the longest, and nats-py does not
#: even connect to a server that greets with more than 32 KiB.
MAX_LINE_BYTES = 128 * 1024
#: No payload may be longer than the server says that it takes, or than this where it says less: others of its cluster
#: may take more, and nats-server advises none to take more than this.
LEAST_PAYLOAD_BYTES = 8 * 1024 * 1024
#: What a server may add to a message in headers.
HEADERS_BYTES = 1024 * 1024
#: Blanks are these, and several are one (docs.nats.io); servers send a single space. To NATS \v and \f, which are
#: blanks to Python, are characters of a subject.
_WORD = re.compile(rb"[^ \t\r\n]+")
#: What is taken apart between two looks at the clock.
WINDOW_BYTES = 32 * 1024


class ProtocolError(WsgwError):
    """What no NATS server sends. (That of nats-py does not say what was wrong.)"""


class Deliver(Protocol):
    """Gets the messages of a subscription."""

    def __call__(self, subject: bytes, payload: bytes, reply: bytes | None = ..., block: bytes = ..., /) -> None:
        """One message; must not block.

        Where there is a reply subject or a header block both are given, and the one that is not there is empty.
        """


class DirectParser:
    """``direct`` maps a subscription's number, as the bytes NATS writes, to who gets its messages; it may change.

    Those of others are dropped. ``on_line`` gets every other line, must not block, and may raise ProtocolError.
    """

    def __init__(
        self, direct: Mapping[bytes, Deliver], on_line: Callable[[bytes], None], repeats: Repeats | None = None
    ) -> None:
        self._direct = direct
        self._on_line = on_line
        self._repeats = repeats or Repeats(log)
        self._kept = bytearray()  # the beginning of a line, or of a message
        self._needed = 0
        #: no message may be longer, with its headers
        self.max_message_bytes = LEAST_PAYLOAD_BYTES + HEADERS_BYTES

    def allow(self, payload_bytes: int) -> None:
        """Take payloads of as many bytes from now on. What was allowed stays so: it may be on its way."""
        self.max_message_bytes = max(self.max_message_bytes, payload_bytes + HEADERS_BYTES)

    def feed(self, data: bytes, until: float = math.inf) -> bool:
        """Take ``data`` apart, at least a little, until the clock (``time.monotonic``) says so; raises ProtocolError.

        Whether something is left, with which the next call begins; it may bring nothing new.
        """
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return False
            data = bytes(self._kept)
            self._kept.clear()
        direct = self._direct
        at, end = 0, len(data)
        window = end if end < WINDOW_BYTES else WINDOW_BYTES
        needed = -1  # of what begins at ``at``, where not all of it is there
        # the last message's first line and what it says: the next one's is often the same
        header, subject, number, simple, start, stop = b"", b"", b"", b"", 0, 0
        reply: bytes | None = None
        while True:
            while at < window:
                if not header or not data.startswith(header, at):
                    line = data.find(LINE_END, at)
                    if (end if line < 0 else line) - at > MAX_LINE_BYTES:
                        raise ProtocolError(f"nats: a protocol line of more than {MAX_LINE_BYTES} bytes")
                    if line < 0:
                        needed = 0
                        break
                    if not data.startswith(MESSAGES, at):
                        self._on_line(data[at : line + 2])
                        at = line + 2
                        continue
                    header = data[at : line + 2]
                    subject, number, reply, start, stop = _message(header, self.max_message_bytes)
                    # most are a subject and a payload; what the others cost must not slow these: nobody has their
                    # number
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
                except Exception as error:  # the next message may do better
                    fault = f"nats: handling a message failed: {type(error).__name__}"
                    self._repeats.say(logging.ERROR, fault, f", on {subject[:200]!r}", error=error)
                at += stop
            if at >= end:
                return False
            left = needed < 0 and monotonic() >= until
            if left or needed >= 0:
                self._kept += data[at:] if at else data
                self._needed = max(needed, 0)
                return left
            window = at + WINDOW_BYTES


def _message(header: bytes, most_bytes: int) -> tuple[bytes, bytes, bytes | None, int, int]:
    """What a message's first line says: subject, the subscription's number, the reply subject, and where the payload
    begins and the message ends, from the line's start.

    The reply is empty without one, and None without one and without headers. Raises ProtocolError, also for a message
    of more than ``most_bytes``.
    """
    reply: bytes | None
    before = b""  # only lines with headers pay for what they alone have
    words = header.split(b" ")
    if len(words) < 4 or not words[2].isdigit():
        words = _WORD.findall(header)
    match words:
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
    if length > most_bytes:
        raise ProtocolError(
            f"nats: a message of more than {most_bytes} bytes, which are what the server says it takes at most "
            f"(max_payload), or {LEAST_PAYLOAD_BYTES}, and {HEADERS_BYTES} for headers"
        )
    start = len(header)
    return subject, number, reply, start + skipped, start + length + 2
