"""What NATS sends, cut into protocol lines (docs.nats.io, client protocol), with a short way for messages.

Messages of subscriptions that are in ``direct`` are handed over from the bytes that were read, and so are refusals of
subjects, which the library would tell in lower case; everything else goes to the library, whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from nats.errors import ProtocolError

from wsgw.broker.violation import PermissionViolation

log = logging.getLogger("wsgw.nats")

#: Gets subject and payload of a message; must not block.
Deliver = Callable[[bytes, bytes], None]
#: No line of NATS is longer: INFO lines, which name all servers of a cluster, are the longest.
MAX_LINE_BYTES = 1024 * 1024


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
        header, fields, start, stop = b"", [b""], 0, 0
        while at < end:
            if not header or not data.startswith(header, at):
                line = data.find(b"\r\n", at)
                if line < 0:
                    if end - at > MAX_LINE_BYTES:
                        raise ProtocolError("nats: a protocol line is too long")
                    break
                if not data.startswith((b"MSG ", b"HMSG "), at):
                    self._other_line(data[at : line + 2])
                    at = line + 2
                    continue
                header = data[at : line + 2]
                fields, start, stop = _message(header)
            if at + stop > end:
                needed = stop
                break
            deliver = direct.get(fields[2])
            if deliver is None:
                if self._expects(fields[2]):
                    self._on_other(data[at : at + stop])
            else:
                try:
                    deliver(fields[1], data[at + start : at + stop - 2])
                except Exception:  # the next message may do better
                    log.exception("nats: handling a message on %r failed", fields[1])
            at += stop
        if at < end:
            self._kept += data[at:] if at else data
            self._needed = needed

    def _other_line(self, line: bytes) -> None:
        refusal = PermissionViolation.parse(line) if line.startswith(b"-ERR") else None
        if refusal is None:
            self._on_other(line)
        else:
            self._on_refusal(refusal)


def _message(header: bytes) -> tuple[list[bytes], int, int]:
    """The fields of a message's first line, and where its payload begins and the message ends, from the line's start.

    ``MSG subject sid [reply] size`` or ``HMSG subject sid [reply] headers-size size``; raises ProtocolError.
    """
    fields = header.split()
    headers = fields[0] == b"HMSG"
    try:
        size = int(fields[-1])
        skipped = int(fields[-2]) if headers else 0
    except (ValueError, IndexError):
        raise ProtocolError("nats: malformed MSG") from None
    if len(fields) < 4 + headers or not 0 <= skipped <= size:
        raise ProtocolError("nats: malformed MSG")
    return fields, len(header) + skipped, len(header) + size + 2
