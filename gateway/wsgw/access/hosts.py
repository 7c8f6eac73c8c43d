"""Under which names a gateway is asked: against DNS rebinding.

A page of anybody can have the name it was loaded from resolved to this machine; then browsers take the gateway for the
page's own host, and Origin equals Host. But Host still is that name. A name that somebody else gives away has a dot in
it: so addresses, ``localhost`` and names without a dot are as good as none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from wsgw.config.hosts import HostPatterns, is_address, is_loopback, split_port


class Hosts:
    """``listening`` are the addresses or names to listen on, ``named`` is the setting ``hosts``, None where not given.

    Checked while listening on loopback only, and everywhere where there are names.
    """

    def __init__(self, listening: Collection[str], named: Iterable[str] | None) -> None:
        self._has_names = named is not None
        #: listened on is loopback only: browsers of this machine reach it as proxies do
        self.on_loopback = bool(listening) and all(map(is_loopback, listening))
        self._checks = self._has_names or self.on_loopback
        self._named = HostPatterns(named or ())

    def allows(self, host: str | None, *, proxied: bool = False) -> bool:
        """Whether a request may be for ``host``, the header's value; browsers never leave it out (None).

        ``proxied``: it came by a unix socket, which no browser reaches; the proxy there may be asked by any name.
        """
        if host is None or not (self._has_names if proxied else self._checks):
            return True
        try:
            name, _ = split_port(host)
        except ValueError:
            return False
        return "." not in name or is_address(name) or name in self._named
