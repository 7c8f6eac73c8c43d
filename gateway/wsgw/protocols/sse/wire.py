"""Events of a stream (WHATWG HTML, section 9.2.6): blocks of lines, each closed by an empty one.

A client takes CR, LF and CRLF alike for the end of a line, so a payload with a CR cannot be told as lines; nor can
bytes that are no UTF-8, which the whole stream is. Both come as events of the type ``binary``, in base64.
"""

from __future__ import annotations

from base64 import b64encode

import orjson

from wsgw.channels.channel import Channel
from wsgw.errors import GatewayError
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded, Publication, StreamPublication
from wsgw.fanout.stamp import Stampable
from wsgw.protocols.envelope import envelope

TRANSPORT = "sse"


class _Telling:
    """What the wires tell alike."""

    transport = TRANSPORT

    def dropped(self, name: str, count: int) -> Encoded:
        """See ``publication.Wire``."""
        said = orjson.dumps({"channel": name, "dropped": count})
        return Encoded(Message(True, b"event: wsgw:dropped\ndata: %b\n\n" % said))


def _block(publication: Publication, lines: bytes) -> Encoded:
    id = publication.id
    if id:
        lines = b"id: %b\n%b" % (id.encode(), lines)
    return Encoded(Message(True, lines))


class SseWire(_Telling):
    """A ``Wire``: the data of an event is a payload."""

    def encode(self, channel: Channel, name: str, publication: Publication) -> Encoded:
        payload = publication.payload
        if b"\r" in payload or not (payload.isascii() or publication.text is not None):
            return _block(publication, b"event: binary\ndata: %b\n\n" % b64encode(payload))
        return _block(publication, b"data: %b\n\n" % payload.replace(b"\n", b"\ndata: "))


class SseEnvelopeWire(_Telling):
    """A ``Wire``: the data of an event is an envelope."""

    def encode(self, channel: Channel, name: str, publication: Publication) -> Encoded:
        return _block(publication, b"data: %b\n\n" % envelope(channel, name, publication))


class SseChannelsWire(_Telling):
    """A ``StampingWire`` for a stream of several channels: envelopes with the channel's name.

    A client keeps the id of the last event only, so each has the position in all of them.
    """

    def encode(self, channel: Channel, name: str, publication: Publication) -> Stampable:
        data = b"data: %b\n\n" % envelope(channel, name, publication, with_channel=True)
        sequence = publication.sequence if isinstance(publication, StreamPublication) else None
        return Stampable(sequence, Message(True, data))

    def stamp(self, item: Encoded, position: str) -> Encoded:
        return Encoded(Message(True, b"id: %b\n%b" % (position.encode(), item.data) if "." in position else item.data))


SSE_WIRE = SseWire()
SSE_ENVELOPE_WIRE = SseEnvelopeWire()
SSE_CHANNELS_WIRE = SseChannelsWire()

#: A comment, which clients pass over.
HEARTBEAT = Encoded(Message(True, b":\n\n"))


def retry(milliseconds: int) -> bytes:
    """How long a client waits before it comes back when the stream has ended; no event."""
    return b"retry: %d\n\n" % milliseconds


def position(id: str) -> bytes:
    """Where the client stands: a block without data, which is no event but sets its last event's id."""
    return b"id: %b\n\n" % id.encode()


def gap(channels: list[str], missed: int | None) -> bytes:
    """The event that tells that publications are missing, and how many where that is known."""
    return b"event: wsgw:gap\ndata: %b\n\n" % orjson.dumps({"channels": channels, "missed": missed})


def failure(error: GatewayError) -> bytes:
    """The event that tells ``error``. One of the type ``error`` would be taken for a loss of the connection."""
    return b"event: wsgw:error\ndata: %b\n\n" % orjson.dumps(error.as_json())
