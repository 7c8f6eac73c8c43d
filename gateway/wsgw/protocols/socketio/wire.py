"""Publications as events of the main namespace, in the ways that clients ask for."""

from __future__ import annotations

import orjson

from wsgw.channels.channel import Channel, Payload
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded, Publication, StreamPublication
from wsgw.fanout.stamp import Stampable
from wsgw.protocols.envelope import envelope
from wsgw.protocols.socketio.arguments import quote
from wsgw.protocols.socketio.packets import encode_event

_MAX_NAMES = 4096


class SocketIOWire:
    """One string argument, or one binary where it is not UTF-8; the value itself where the channel's payloads are JSON.

    Or (``enveloped``) one object that says more. It keeps nothing but prefixes.
    """

    transport = "socketio"

    __slots__ = ("_enveloped", "_heads")

    def __init__(self, *, enveloped: bool = False) -> None:
        self._enveloped = enveloped
        self._heads: dict[str, bytes] = {}

    def encode(self, channel: Channel, name: str, publication: Publication) -> Encoded:
        """See ``publication.Wire``. On the fan-out path: once per publication and name."""
        value = publication.json if channel.payload is Payload.JSON else None
        text = publication.text
        if text is None and not self._enveloped:
            return encode_event("/", name, [publication.payload])
        head = self._heads.get(name)
        if head is None:
            if len(self._heads) >= _MAX_NAMES:
                self._heads.clear()
            head = self._heads[name] = b"42[" + quote(name) + b","
        if self._enveloped:
            return Encoded(Message(True, head + envelope(channel, name, publication) + b"]"))
        if value is not None:
            return Encoded(Message(True, head + value + b"]"))
        assert text is not None
        return Encoded(Message(True, head + quote(text) + b"]"))

    def dropped(self, name: str, count: int) -> Encoded:
        """See ``publication.Wire``."""
        said = orjson.dumps({"channel": name, "dropped": count})
        return Encoded(Message(True, b'42["wsgw:dropped",%b]' % said))


class RecoveryWire:
    """As ``of``, for clients that come back: the last argument of every event says where its client stands."""

    __slots__ = ("_of", "transport")

    def __init__(self, of: SocketIOWire) -> None:
        self._of = of
        self.transport = of.transport

    def encode(self, channel: Channel, name: str, publication: Publication) -> Stampable:
        """See ``stamp.StampingWire``."""
        sequence = publication.sequence if isinstance(publication, StreamPublication) else None
        return Stampable(sequence, *self._of.encode(channel, name, publication).messages)

    def dropped(self, name: str, count: int) -> Encoded:
        """See ``publication.Wire``. It says nothing of where the client stands, which publications do."""
        return self._of.dropped(name, count)

    def stamp(self, item: Encoded, position: str) -> Encoded:
        """See ``stamp.StampingWire``. ``position`` needs no quoting."""
        packet, *attachments = item.messages
        return Encoded(Message(True, b'%b,"%b"]' % (packet.data[:-1], position.encode())), *attachments)


#: Shared, so that all sessions share what they encode.
SOCKETIO_WIRE = SocketIOWire()
SOCKETIO_ENVELOPE_WIRE = SocketIOWire(enveloped=True)
RECOVERY_WIRE = RecoveryWire(SOCKETIO_WIRE)
RECOVERY_ENVELOPE_WIRE = RecoveryWire(SOCKETIO_ENVELOPE_WIRE)
