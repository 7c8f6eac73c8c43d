"""How a publication is written for plain WebSocket clients: a message is a payload."""

from __future__ import annotations

from wsgw.channels.channel import Channel
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded, Publication
from wsgw.protocols.envelope import dropped, envelope


class WebSocketWire:
    """A ``Wire``: a payload that is valid UTF-8 is a text message, any other a binary one."""

    transport = "websocket"

    def encode(self, channel: Channel, name: str, publication: Publication) -> Encoded:
        payload = publication.payload
        return Encoded(Message(payload.isascii() or publication.text is not None, payload))

    def dropped(self, name: str, count: int) -> None:
        """A bare payload is what was published, and nothing else."""


class EnvelopeWire:
    """A ``Wire``: a message is an envelope."""

    transport = "websocket"

    def encode(self, channel: Channel, name: str, publication: Publication) -> Encoded:
        return Encoded(Message(True, envelope(channel, name, publication)))

    def dropped(self, name: str, count: int) -> Encoded:
        return Encoded(Message(True, dropped(name, count)))


WEBSOCKET_WIRE = WebSocketWire()
ENVELOPE_WIRE = EnvelopeWire()
