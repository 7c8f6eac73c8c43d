"""nats-py's protocol parser with a short way for messages: most of what NATS sends a gateway is ``MSG``.

A stream is cut into protocol lines (docs.nats.io, client protocol). Messages of subscriptions that are in ``direct``
are handed over from the bytes that were read, and so are refusals of subjects, which the library would tell in lower
case; everything else goes to the library's parser, whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from nats.aio.client import Client
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from wsgw.broker.refusal import Refusal

log = logging.getLogger("wsgw.nats")

#: Gets subject and payload of a message; must not block.
Deliver = Callable[[bytes, bytes], None]
#: No line of NATS is longer: INFO lines, which name all servers of a cluster, are the longest.
MAX_LINE_BYTES = 1024 * 1024


class DirectParser(Parser):
    """``direct`` maps a subscription's number, as the bytes NATS writes, to who gets its messages.

    ``on_refusal`` must neither block nor raise.
    """

    def __init__(self, client: Client, on_refusal: Callable[[Refusal], None]) -> None:
        self._on_refusal = on_refusal
        self.direct: dict[bytes, Deliver] = {}
        self._kept = bytearray()  # the beginning of a line, or of a message
        self._needed = 0
        super().__init__(client)

    def reset(self) -> None:
        super().reset()
        self._kept.clear()
        self._needed = 0

    async def parse(self, data: bytes = b"") -> None:
        """Take ``data`` apart; raises nats.errors.ProtocolError."""
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return
            data = bytes(self._kept)
            self._kept.clear()
        direct = self.direct
        at, end = 0, len(data)
        needed = 0
        while at < end:
            stop = data.find(b"\r\n", at)
            if stop < 0:
                if end - at > MAX_LINE_BYTES:
                    raise ProtocolError("nats: a protocol line is too long")
                break
            line, stop = stop, stop + 2
            if data.startswith((b"MSG ", b"HMSG "), at):
                try:
                    fields = data[at:line].split()
                    stop += int(fields[-1]) + 2
                except (ValueError, IndexError):
                    raise ProtocolError("nats: malformed MSG") from None
                if stop > end:
                    needed = stop - at
                    break
                deliver = direct.get(fields[2])
                if deliver is not None:
                    start = line + 2
                    if len(fields[0]) == 4:  # HMSG: headers come first
                        start += int(fields[-2])
                    try:
                        deliver(fields[1], data[start : stop - 2])
                    except Exception:  # it would end the read loop
                        log.exception("nats: handling a message on %r failed", fields[1])
                    at = stop
                    continue
            refusal = Refusal.parse(data[at:line]) if data.startswith(b"-ERR", at) else None
            if refusal is None:
                await super().parse(data[at:stop])
            else:
                self._on_refusal(refusal)
            at = stop
        if at < end:
            self._kept += data[at:] if at else data
            self._needed = needed
