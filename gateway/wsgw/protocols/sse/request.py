"""What a request for a stream asks for."""

from __future__ import annotations

from typing import NamedTuple

from wsgw.channels.start import Start
from wsgw.errors import BAD_REQUEST, GatewayError
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.start import start_of

#: Of one stream.
MAX_CHANNELS = 64


class StreamRequest(NamedTuple):
    """``names`` of channels, at least one, and from where on; whether events are to come in an ``envelope``.

    ``several`` says that the client asked as one does for several channels.
    """

    names: tuple[str, ...]
    several: bool
    envelope: bool
    start: Start


def stream_request(name: str | None, handshake: Handshake) -> StreamRequest:
    """What is asked for by ``/sse/{name}``, or (None) by ``/sse?channel=…&channel=…``; raises GatewayError."""
    if name is not None:
        names: tuple[str, ...] = (name,)
    else:
        names = tuple(dict.fromkeys(value for key, value in handshake.fields if key == "channel"))
        if not names:
            raise GatewayError(BAD_REQUEST, "a stream is of /sse/{channel}, or of /sse?channel=a&channel=b")
        if len(names) > MAX_CHANNELS:
            raise GatewayError(BAD_REQUEST, f"{len(names)} channels in one stream, which has at most {MAX_CHANNELS}")
    # the header first: an EventSource repeats its first URL for ever
    after = handshake.header(b"last-event-id") or handshake.query.get("last_event_id") or None
    several = name is None
    envelope = several or handshake.query.get("envelope") == "1"
    return StreamRequest(names, several, envelope, start_of(handshake.query, after))
