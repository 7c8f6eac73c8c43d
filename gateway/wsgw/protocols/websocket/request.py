"""What a WebSocket handshake asks for beside its channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wsgw.channels.start import Start
from wsgw.errors import BAD_REQUEST, GatewayError
from wsgw.protocols.start import start_of

#: Offered by a client that wants envelopes, as by ``?envelope=1``.
ENVELOPE_PROTOCOL = "wsgw.envelope.v1"


class WebSocketRequest(NamedTuple):
    """Whether messages are to come in an ``envelope``, the ``subprotocol`` to answer with, and from where on."""

    envelope: bool
    subprotocol: str | None
    start: Start


def websocket_request(query: Mapping[str, str], subprotocols: Sequence[str]) -> WebSocketRequest:
    """What ``query`` and the offered ``subprotocols`` ask for; raises GatewayError."""
    subprotocol = ENVELOPE_PROTOCOL if ENVELOPE_PROTOCOL in subprotocols else None
    envelope = subprotocol is not None or query.get("envelope") == "1"
    after = query.get("after")
    if after is not None and not envelope:
        raise GatewayError(BAD_REQUEST, "after= needs envelope=1: a bare payload does not say where it stands")
    return WebSocketRequest(envelope, subprotocol, start_of(query, after))
