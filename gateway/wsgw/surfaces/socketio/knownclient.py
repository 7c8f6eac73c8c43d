"""What the namespace of a gateway keeps of a connection's client, for the next time it connects on it."""

from __future__ import annotations

from typing import NamedTuple

from wsgw.access.principal import Principal
from wsgw.channels.start import Start


class KnownClient(NamedTuple):
    """Who it is, the channels that its handshake asked for, each once, and from where on."""

    principal: Principal
    asked: tuple[str, ...] | None
    start: Start
