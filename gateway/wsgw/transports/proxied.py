"""From a connection of a proxy to the one that it passes on: by the PROXY protocol's header in front of it.

Who is no trusted proxy is not asked: what it sends is for the protocol within, which refuses such a header. Who is one
may begin with it or not. Such a proxy has to begin with one, or speak HTTP itself: where it passes on what clients send
as it comes, they could send the header as well.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from uvicorn.protocols.utils import get_local_addr

from wsgw.config.proxies import UNIX
from wsgw.core.edge import Edge
from wsgw.protocols.proxyheader import ProxyHeaderError, find, is_header
from wsgw.transports.peer import is_unix, peer_of


class Within(Protocol):
    """The protocol object of what is passed on."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...

    def comes_from(self, client: tuple[str, int]) -> None:
        """The connection is that of ``client`` (address and port), as far as requests are concerned."""

    def turn_away(self, why: str) -> None:
        """Nothing can be made of what comes: answer 400 and end."""


class ProxyEntrance(asyncio.Protocol):
    """See the module. ``within`` has the connection from its first moment on: clocks and bounds are its."""

    __slots__ = ("_edge", "_kept", "_transport", "_within")

    def __init__(self, within: Within, edge: Edge) -> None:
        self._within = within
        self._edge = edge
        self._kept = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._edge.proxies.trusts(_peer_of(self._transport)):
            self._leave()
        self._within.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        data = self._kept + data if self._kept else data
        try:
            found = find(data)
        except ProxyHeaderError as error:
            self._leave()
            self._within.turn_away(f"the PROXY header: {error}")
            return
        if found is None:
            self._kept = data
            return
        self._leave()
        if found.source is not None:
            self._within.comes_from((found.source.address, found.source.port))
        if len(data) > found.size:
            self._within.data_received(data[found.size :] if found.size else data)

    def eof_received(self) -> bool | None:
        return self._within.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._within.connection_lost(exc)

    def pause_writing(self) -> None:
        self._within.pause_writing()

    def resume_writing(self) -> None:
        self._within.resume_writing()

    # -- inside

    def _leave(self) -> None:
        self._kept = b""
        self._transport.set_protocol(cast("asyncio.Protocol", self._within))


def entrance(within: Within, edge: Edge) -> asyncio.Protocol:
    """``within`` where there are no proxies; else what has it behind a PROXY header."""
    return ProxyEntrance(within, edge) if edge.proxies.any else cast("asyncio.Protocol", within)


def why_none(data: bytes, client: tuple[str, int] | None, otherwise: str) -> str:
    """Why ``data`` of ``client`` is no request: ``otherwise``, unless it is a PROXY header, which is none here."""
    if is_header(data):
        peer = UNIX if client is None else client[0]
        return f"a PROXY header came from {peer}, which is not in 'trusted_proxies', or not at the beginning"
    return otherwise


def _peer_of(transport: asyncio.Transport) -> str:
    """As ``Proxies`` takes it."""
    remote = peer_of(transport)
    if remote is not None:
        return remote[0]
    return UNIX if is_unix(get_local_addr(transport)) else ""
