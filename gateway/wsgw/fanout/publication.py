"""A publication on its way from NATS to sessions, and what a wire makes of it.

``Publication`` is what NATS delivered. A wire turns it into one ``Encoded``, once, whatever the number of
sessions. The ``Encoded`` of one turn make a ``Batch``, or several, whose bytes are joined once and written to each
session.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, TypeVar

import orjson

from wsgw.channels.channel import Channel
from wsgw.channels.position import encode_one
from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.frames import Message, encode

#: Bytes of a batch; a publication alone may be larger.
BATCH_BYTES = 256 * 1024
#: The text of a publication that nobody has asked for.
UNDECODED = object()
#: The JSON of such a one. Else it is some, or None where it is none, or False where that was counted, too.
UNPARSED = True


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

    __slots__ = ("_json", "_text", "payload", "received_at", "subject")

    def __init__(self, subject: str, payload: bytes, received_at: float) -> None:
        self.subject = subject
        self.payload = payload
        self.received_at = received_at
        self._text: object = UNDECODED
        self._json: bytes | bool | None

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
    def json(self) -> bytes | None:
        """The payload as JSON without line ends, or None where it is none; parsed at most once."""
        found: bytes | bool | None = getattr(self, "_json", UNPARSED)  # not set in __init__: few are asked
        if found is UNPARSED:
            found = self._json = _json_of(self.payload)
        return found if isinstance(found, bytes) else None

    def turned_out_no_json(self) -> bool:
        """Whether somebody wanted it as JSON and it is none; True once, for who counts."""
        if getattr(self, "_json", UNPARSED) is not None:
            return False
        self._json = False
        return True

    @property
    def reply(self) -> str | None:
        """The subject on which the publisher waits for an answer; None without one, or when it is not UTF-8."""
        return None

    @property
    def id(self) -> str:
        """Where it stands in its stream, for a client that resumes after it; empty where no stream holds it."""
        return ""

    @property
    def headers(self) -> Headers:
        """Its headers, taken apart when first asked for; none when they break NATS' form."""
        return NO_HEADERS


def _json_of(payload: bytes) -> bytes | None:
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    return orjson.dumps(value) if b"\n" in payload or b"\r" in payload else payload


class StreamPublication(Publication):
    """A publication that a stream holds: ``of`` as it came, at ``sequence`` of the stream of that ``identity``.

    ``stored_at_ns`` is the stream's time, since 1970.
    """

    __slots__ = ("_of", "identity", "sequence", "stored_at_ns")

    def __init__(self, of: Publication, identity: str, sequence: int, stored_at_ns: int) -> None:
        # without super(), which costs as much as all of it
        self.subject = of.subject
        self.payload = of.payload
        self.received_at = of.received_at
        self._text = UNDECODED
        self._of = of
        self.identity = identity
        self.sequence = sequence
        self.stored_at_ns = stored_at_ns

    @property
    def id(self) -> str:
        return encode_one(self.identity, self.sequence)

    @property
    def headers(self) -> Headers:
        return self._of.headers

    @property
    def size(self) -> int:
        """Of the payload, in bytes."""
        return len(self.payload)

    @property
    def kept_bytes(self) -> int:
        """What it takes in memory."""
        return len(self.payload) + len(self.subject) + STREAM_PUBLICATION_BYTES


#: What a ``StreamPublication`` takes beside payload and subject.
STREAM_PUBLICATION_BYTES = 500


#: What an ``Encoded`` takes beside its bytes: the object with its tuple of messages, and each message with the head of
#: its data (``tests/unit/fanout/test_publication.py`` measures it).
ENCODED_BYTES, MESSAGE_BYTES = 120, 128


class Encoded:
    """One publication (or control packet) in one wire: its ``messages``.

    A Socket.IO binary event is several messages; they are queued, dropped and written together.
    """

    __slots__ = ("_framed", "kept_bytes", "messages", "origin", "outboxes", "size")

    #: the name that its clients subscribed to, and the subject; set only where it has to be told apart
    origin: tuple[str, str]

    def __init__(self, *messages: Message) -> None:
        self.messages = messages
        #: bytes of all messages, framing not counted
        self.size = len(messages[0].data) if len(messages) == 1 else sum([len(m.data) for m in messages])
        #: what it takes in memory
        self.kept_bytes = self.size + ENCODED_BYTES + MESSAGE_BYTES * len(messages)
        #: how many keep it as a publication; its bytes count once for all of them
        self.outboxes = 0

    @property
    def data(self) -> bytes:
        """All messages without framing, joined."""
        messages = self.messages
        return messages[0].data if len(messages) == 1 else b"".join([message.data for message in messages])

    @property
    def frames(self) -> bytes:
        """All messages as WebSocket frames, joined; made anew each time, for a ``Batch`` keeps what is shared."""
        messages = self.messages
        return encode(messages[0]) if len(messages) == 1 else b"".join(map(encode, messages))

    def framed(self) -> Framed:
        """It with its ``frames``, made once for all who write it by itself: their transports keep the same bytes."""
        made: Framed | None = getattr(self, "_framed", None)  # not set in __init__: few are asked, all would pay
        if made is None:
            made = self._framed = Framed(self)
        return made


class Framed(Encoded):
    """An ``Encoded`` whose ``frames`` are made once, when first asked for."""

    __slots__ = ("_frames",)

    def __init__(self, of: Encoded) -> None:
        super().__init__(*of.messages)
        self._frames = b""

    @property
    def frames(self) -> bytes:
        if not self._frames:
            self._frames = super().frames
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
    def made(self) -> dict[Hashable, tuple[Batch, Hashable]]:
        """What was made of it for clients that need something else each, by what that is (see ``stamp``)."""
        return {}

    @property
    def made_bytes(self) -> int:
        """Bytes of what was made of it for others, framing not counted."""
        return sum([batch.size for batch, _ in self.made.values()])

    @cached_property
    def frames(self) -> bytes:
        """All items as WebSocket frames, joined; made once and shared by every session."""
        items = self.items
        return items[0].frames if len(items) == 1 else b"".join([item.frames for item in items])

    @cached_property
    def data(self) -> bytes:
        """All items without framing, joined; made once and shared by every session."""
        items = self.items
        return items[0].data if len(items) == 1 else b"".join([item.data for item in items])

    @cached_property
    def chunk(self) -> bytes:
        """``data`` as a chunk of a body (RFC 9112 section 7.1); made once and shared by every session."""
        data = self.data
        return b"%x\r\n%b\r\n" % (len(data), data)

    @cached_property
    def kept_bytes(self) -> int:
        """What its items take in memory."""
        return sum([item.kept_bytes for item in self.items])


class Wire(Protocol):
    """How a protocol writes publications. Two sessions with the same wire object share the encoded bytes."""

    #: the value of the ``transport`` label in metrics
    transport: str

    def encode(self, channel: Channel, name: str, publication: Publication) -> Encoded:
        """``publication`` as a session gets it that subscribed to ``name``: ``channel``'s, or one that matches it."""
        ...

    def dropped(self, name: str, count: int) -> Encoded | None:
        """What tells a client that ``count`` publications to ``name`` were dropped for it; None: it cannot be told."""
        ...


class HasSize(Protocol):
    """Of a number of bytes."""

    @property
    def size(self) -> int: ...


Sized = TypeVar("Sized", bound=HasSize)


def cut(items: list[Sized]) -> tuple[list[Sized], list[Sized]]:
    """The first of ``items`` that make a batch, at least one, and the rest."""
    size = 0
    for number, item in enumerate(items):
        size += item.size
        if size > BATCH_BYTES and number:
            return items[:number], items[number:]
    return items, []
