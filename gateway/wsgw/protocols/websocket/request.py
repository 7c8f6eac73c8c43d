"""What a WebSocket handshake asks for beside its channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wsgw.channels.start import Start
from wsgw.errors import BAD_REQUEST, GatewayError
from wsgw.protocols.start import start_of

#: Offered by a client that wants envelopes, as by ``?envelope=1``.
ENVELOPE_PROTOCOL = "wsgw.envelope.v1"
#: Offered before a token, which browsers have no other place for: ``new WebSocket(url, ["bearer", token])``.
BEARER_PROTOCOL = "bearer"


class WebSocketRequest(NamedTuple):
    """Whether messages are to come in an ``envelope``, the ``subprotocol`` to answer with, and from where on."""

    envelope: bool
    subprotocol: str | None
    start: Start


def websocket_request(query: Mapping[str, str], subprotocols: Sequence[str]) -> WebSocketRequest:
    """What ``query`` and the offered ``subprotocols`` ask for; raises GatewayError."""
    subprotocol = chosen(subprotocols)
    envelope = subprotocol == ENVELOPE_PROTOCOL or query.get("envelope") == "1"
    after = query.get("after")
    if after is not None and not envelope:
        raise GatewayError(BAD_REQUEST, "after= needs envelope=1: a bare payload does not say where it stands")
    return WebSocketRequest(envelope, subprotocol, start_of(query, after))


def chosen(subprotocols: Sequence[str]) -> str | None:
    """Which of the offered ``subprotocols`` to answer with: browsers fail a connection that none of theirs is.

    A token is never answered with: it would stand in one place more.
    """
    return next((known for known in (ENVELOPE_PROTOCOL, BEARER_PROTOCOL) if known in subprotocols), None)


def any_of(subprotocols: Sequence[str]) -> str | None:
    """The same where they say nothing of what is spoken: the first one, where none is known.

    What stands beside ``bearer`` may be a token, on either side: then it is that.
    """
    return chosen(subprotocols) or next(filter(None, subprotocols), None)
