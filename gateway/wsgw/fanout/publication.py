"""A publication on its way from NATS to sessions, and what a wire makes of it.

``Publication`` is what NATS delivered. A wire turns it into one ``Encoded``, once, whatever the number of
sessions. The ``Encoded`` of one turn make a ``Batch``, or several, whose bytes are joined once and written to each
session.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.frames import Message, encode

#: The text of a publication that nobody has asked for.
UNDECODED = object()


@dataclass(frozen=True, slots=True)
class Headers(Mapping[str, tuple[str, ...]]):
    """The headers of a message: names as written, each with its values in order. Not to be changed.

    ``status`` (100 to 999) and ``description`` are those of a message that says how something went, such as 503.
    """

    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    status: int | None = None
    description: str = ""

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return self.fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)


NO_HEADERS = Headers()


class Publication:
    """One message from NATS: ``subject``, ``payload`` as published, ``received_at`` by ``time.monotonic``.

    This is what most are; ``broker.delivery`` has the kind with a reply subject or headers.
    """

    __slots__ = ("_text", "payload", "received_at", "subject")

    def __init__(self, subject: str, payload: bytes, received_at: float) -> None:
        self.subject = subject
        self.payload = payload
        self.received_at = received_at
        self._text: object = UNDECODED

    @property
    def text(self) -> str | None:
        """The payload as text, or None when it is not valid UTF-8; decoded at most once."""
        if self._text is UNDECODED:
            try:
                self._text = self.payload.decode()
            except UnicodeDecodeError:
                self._text = None
        return self._text  # type: ignore[return-value]

    @property
    def reply(self) -> str | None:
        """The subject on which the publisher waits for an answer; None without one, or when it is not UTF-8."""
        return None

    @property
    def headers(self) -> Headers:
        """Its headers, taken apart when first asked for; none when they break NATS' form."""
        return NO_HEADERS


class Encoded:
    """One publication (or control packet) in one wire: its ``messages``, and the same as finished WebSocket frames.

    A Socket.IO binary event is several messages; they are queued, dropped and written together.
    """

    __slots__ = ("_frames", "messages", "size")

    def __init__(self, *messages: Message) -> None:
        self.messages = messages
        #: bytes of all messages, framing not counted
        self.size = sum([len(m.data) for m in messages])
        self._frames: bytes | None = None

    @property
    def frames(self) -> bytes:
        """All messages as WebSocket frames, joined; made once."""
        if self._frames is None:
            self._frames = encode(self.messages[0]) if len(self.messages) == 1 else b"".join(map(encode, self.messages))
        return self._frames


class Batch:
    """What those who subscribed to ``name`` got in one turn: ``items`` in order, which ``deliveries`` counts."""

    def __init__(self, deliveries: Deliveries, name: str, items: Sequence[Encoded]) -> None:
        self.deliveries = deliveries
        self.name = name
        self.items = items
        #: bytes of all messages, framing not counted
        self.size = sum([item.size for item in items])

    @cached_property
    def frames(self) -> bytes:
        """All items as WebSocket frames, joined; made once and shared by every session."""
        items = self.items
        return items[0].frames if len(items) == 1 else b"".join([item.frames for item in items])


class Wire(Protocol):
    """How a protocol writes publications. Two sessions with the same wire object share the encoded bytes."""

    #: the value of the ``transport`` label in metrics
    transport: str

    def encode(self, name: str, publication: Publication) -> Encoded:
        """``publication`` as a session gets it that subscribed to ``name`` (a channel, or a subject of a pattern)."""
        ...
