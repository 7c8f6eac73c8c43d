"""How a publication is written for plain WebSocket clients: a message is a payload."""

from __future__ import annotations

from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded, Publication


class WebSocketWire:
    """A ``Wire``: a payload that is valid UTF-8 is a text message, any other a binary one."""

    transport = "websocket"

    def encode(self, name: str, publication: Publication) -> Encoded:
        payload = publication.payload
        return Encoded(Message(payload.isascii() or publication.text is not None, payload))


WEBSOCKET_WIRE = WebSocketWire()
