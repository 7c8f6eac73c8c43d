"""Who a client is that comes by proxies: by whose word that is taken, and as what it counts.

Every proxy appends to what others said before it, and a client may begin with what it likes. So what was said is read
from the last on, for as long as it was said by who is trusted: the first address that is not a trusted proxy's is the
client's, and nothing before it is looked at. Of a peer that is not trusted nothing is.

Proxies write one of the two headers and pass the other one on, as the client sent it. So where both are there they have
to name the same client; else neither is believed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from wsgw.access.network import Networks, network_of, parsed
from wsgw.access.origins import Asked
from wsgw.config.origins import DEFAULT_PORTS
from wsgw.config.proxies import UNIX
from wsgw.protocols.forwarded import ForwardingError, Hop, IPAddress, forwarded, forwarded_for
from wsgw.shares.repeats import Repeats

log = logging.getLogger("wsgw.access")

#: Trusted proxies on end.
MAX_HOPS = 32
#: Peers of which is known what they are; and what they say, where that is short, of which is known who it leads to.
MAX_KNOWN, MAX_KNOWN_BYTES = 4096, 256
LOG_PERIOD_SECONDS = 600.0

_FORWARDED, _FOR = b"forwarded", b"x-forwarded-for"
_HOST, _PROTO, _PORT = b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port"
_READ = frozenset({_FORWARDED, _FOR, _HOST, _PROTO, _PORT})
#: Who sends one of them is a proxy, or has one in front.
_TELLING = frozenset({_FORWARDED, _FOR, b"x-real-ip", b"via"})
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}

Headers = Iterable[tuple[bytes, bytes]]


class Caller(NamedTuple):
    """``client`` is the address, None where it is the peer's. ``network`` is what limits by address count it as, None
    where the address says nothing. ``asked`` is what the browser asked for, None where nobody says it that is trusted.
    """

    client: str | None
    network: str | None
    asked: Asked | None = None


class _Peer(NamedTuple):
    """What is known of a peer by its address alone. ``caller`` is it where no header says more. ``near``: it is no
    address of the internet, as those of proxies mostly are.
    """

    address: IPAddress | None
    trusted: bool
    caller: Caller
    near: bool = False


class _Way(NamedTuple):
    """Where a header leads to: the client's ``address``, or (not ``told``) that of the last proxy that is known of;
    over how many ``hops``, and what the one that is nearest to the client says that it asked for. ``fault``: why that
    is not to be believed.
    """

    address: IPAddress | None
    told: bool = False
    hops: int = 0
    host: str | None = None
    proto: str | None = None
    fault: str = ""


class Proxies:
    """``trusted`` is the setting ``trusted_proxies``. None: it is not known whether there are proxies.

    Then an address counts only where it may be a client's: it is one of the internet, and no header tells of a proxy.
    ``counting``: there are limits by address; that they do not apply to somebody is said then.
    """

    def __init__(
        self,
        trusted: Sequence[str] | None = None,
        *,
        counting: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counting = counting
        self._repeats = Repeats(log, LOG_PERIOD_SECONDS, clock)
        self._told = False
        self.replace(trusted)

    def replace(self, trusted: Sequence[str] | None) -> None:
        """From now on ``trusted`` are; connections keep the address that they came with by the PROXY protocol."""
        self._known_of = trusted is not None
        self._forgotten = False
        #: whether there is anybody to be trusted
        self.any = bool(trusted)
        self._networks = Networks(each for each in trusted or () if each != UNIX)
        self._unix = UNIX in (trusted or ())
        self._peer = lru_cache(MAX_KNOWN)(self._look_at)
        self._caller = lru_cache(MAX_KNOWN)(self._told_by)

    def trusts(self, peer: str) -> bool:
        """Whether ``peer`` is a proxy: an address, or UNIX."""
        return self._peer(peer).trusted

    def caller(self, peer: str, headers: Headers) -> Caller:
        """Who asks, where ``peer`` (an address, UNIX, or empty) sends ``headers``, whose names are in lower case."""
        known = self._peer(peer)
        if known.trusted:
            said = tuple([header for header in headers if header[0] in _READ])
            if not said:
                return known.caller
            short = sum([len(value) for _, value in said]) <= MAX_KNOWN_BYTES
            return (self._caller if short else self._told_by)(peer, said)
        if self._known_of:
            if known.near and not self._forgotten:
                self._tell_of_forgotten(peer, headers)
            return known.caller
        if known.caller.network is None:
            if self.counting and not self._told:
                self._tell(peer, "is no address of the internet" if known.address else "is no address")
            return known.caller
        telling = [name for name, _ in headers if name in _TELLING]
        if not telling:
            return known.caller
        if self.counting and not self._told:
            self._tell(peer, f"sends the header {telling[0].decode()}, as proxies do")
        return Caller(None, None)

    # -- inside

    def _look_at(self, peer: str) -> _Peer:
        if peer == UNIX:
            return _Peer(None, self._unix, Caller(None, None), near=True)
        address = parsed(peer)
        if address is None:
            return _Peer(None, False, Caller(None, None))
        if address in self._networks:
            return _Peer(address, True, Caller(None, None))
        counts = self._known_of or address.is_global
        return _Peer(address, False, Caller(None, network_of(address) if counts else None), near=not address.is_global)

    def _told_by(self, peer: str, said: tuple[tuple[bytes, bytes], ...]) -> Caller:
        """Of a peer that is trusted, and has said something."""
        lines: dict[bytes, list[bytes]] = {}
        for name, value in said:
            lines.setdefault(name, []).append(value)
        way = self._way(self._peer(peer).address, lines)
        client = None if way.address is None or not way.hops else str(way.address)
        if way.fault:
            self._repeats.say(logging.WARNING, f"what {peer} says of clients is not believed", f": {way.fault}")
            return Caller(client, UNIX if way.address is None else network_of(way.address))
        network = network_of(way.address) if way.told and way.address is not None else None
        return Caller(client, network, _asked(way, lines))

    def _way(self, peer: IPAddress | None, lines: dict[bytes, list[bytes]]) -> _Way:
        """Where what is said leads to."""
        ways: list[_Way] = []
        if _FORWARDED in lines:
            ways.append(self._walk(peer, forwarded(lines[_FORWARDED])))
        if _FOR in lines:
            ways.append(self._walk(peer, forwarded_for(lines[_FOR])))
        ways = [way for way in ways if way.hops or way.fault]
        if not ways:
            return _Way(peer)
        if len(ways) == 2 and (ways[0][:2] != ways[1][:2] or ways[0].fault or ways[1].fault):
            return _Way(
                peer, fault="Forwarded and X-Forwarded-For name two; have it remove the one that it does not write"
            )
        return ways[0]

    def _walk(self, peer: IPAddress | None, hops: Iterator[Hop]) -> _Way:
        """From ``peer``, which is trusted, along ``hops`` to the first that is not."""
        way = _Way(peer)
        try:
            for hop in hops:
                if way.hops == MAX_HOPS:
                    return way._replace(fault=f"there are more than {MAX_HOPS} proxies on end")
                told = hop.address is not None and hop.address not in self._networks
                way = _Way(
                    way.address if hop.address is None else hop.address,
                    told,
                    way.hops + 1,
                    way.host if hop.host is None else hop.host,
                    way.proto if hop.proto is None else hop.proto,
                )
                if told or hop.address is None:
                    break
        except ForwardingError as error:
            return way._replace(fault=str(error))
        return way

    def _tell(self, peer: str, why: str) -> None:
        self._told = True
        log.warning(
            "limits by address are configured, and do not apply to %s, which %s: whether clients come by proxies is "
            "not known. Set 'trusted_proxies' to the addresses of the proxies, or to [] where there are none",
            peer or "a peer",
            why,
        )

    def _tell_of_forgotten(self, peer: str, headers: Headers) -> None:
        """Once: there may be a proxy that is not in the list, or comes by another address than who wrote it thought."""
        telling = [name for name, _ in headers if name in (_FORWARDED, _FOR)]
        if telling:
            self._forgotten = True
            log.warning(
                "%s sends the header %s and is not in 'trusted_proxies': it is not believed, and whoever comes by it "
                "has its address. Add it there if it is a proxy of yours",
                peer,
                telling[0].decode(),
            )


def _asked(way: _Way, lines: dict[bytes, list[bytes]]) -> Asked | None:
    """What the browser asked for."""
    hops = max(1, way.hops)
    host = _one(way.host, _of(lines, _HOST, hops))
    proto = _one(way.proto, _of(lines, _PROTO, hops))
    scheme = None if proto is None else _SCHEMES.get(proto.lower())
    port = _port(_of(lines, _PORT, hops))
    if port is None and scheme is not None:
        port = DEFAULT_PORTS[scheme]
    if host is None and port is None:
        return None
    return Asked(None if host is None else host.encode("latin-1"), scheme, port)


def _one(said: str | None, other: str | None) -> str | None:
    """What Forwarded or the other header say; None where they contradict each other, for one may be a client's."""
    if said is None or other is None:
        return other if said is None else said
    return said if said.lower() == other.lower() else None


def _port(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdecimal()) or len(text) > 5:
        return None
    port = int(text)
    return port if 0 < port < 65536 else None


def _of(lines: dict[bytes, list[bytes]], name: bytes, hops: int) -> str | None:
    """What the proxy said that is ``hops`` away, in a header to which each may have appended."""
    values = b",".join(lines.get(name, ())).decode("latin-1").split(",")
    return values[-min(hops, len(values))].strip(" \t") or None
