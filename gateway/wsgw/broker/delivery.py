"""Messages of NATS become publications."""

from __future__ import annotations

import time
from collections.abc import Callable

from wsgw.broker.headers import parse
from wsgw.broker.parser import Deliver
from wsgw.fanout.publication import UNDECODED, Headers, Publication


class FullPublication(Publication):
    """A publication with what few have: the ``reply`` subject or the header ``block`` as NATS wrote them, or both.

    A class of its own, so that the others need not carry it. What nobody asks for is not made.
    """

    __slots__ = ("_block", "_headers", "_reply")

    def __init__(self, subject: str, payload: bytes, received_at: float, reply: bytes, block: bytes) -> None:
        # without super(), which costs as much as all of it
        self.subject = subject
        self.payload = payload
        self.received_at = received_at
        self._text = UNDECODED
        self._reply = reply
        self._block = block
        self._headers: Headers | None = None

    @property
    def reply(self) -> str | None:
        try:
            return self._reply.decode() or None
        except UnicodeDecodeError:
            return None  # nobody could answer there: subjects are text for us

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            self._headers = parse(self._block)
        return self._headers


def receiver(deliver: Callable[[Publication], None], hidden: bytes | None) -> Deliver:
    """What makes publications of a subscription's messages for ``deliver``, but of subjects that begin with ``hidden``.

    Raises UnicodeDecodeError for a subject that is not UTF-8.
    """
    clock = time.monotonic

    def receive(subject: bytes, payload: bytes, reply: bytes | None = None, block: bytes = b"") -> None:
        if hidden is None or not subject.startswith(hidden):
            if reply is None:
                deliver(Publication(subject.decode(), payload, clock()))
            else:
                deliver(FullPublication(subject.decode(), payload, clock(), reply, block))

    return receive
