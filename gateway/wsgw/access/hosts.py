"""Under which names a gateway is asked: against DNS rebinding.

A page of anybody can have the name it was loaded from resolved to this machine; then browsers take the gateway for the
page's own host, and Origin equals Host. But Host still is that name. A name that somebody else gives away has a dot in
it: so addresses, ``localhost`` and names without a dot are as good as none.
"""

from __future__ import annotations

from collections.abc import Iterable

from wsgw.config.hosts import HostPatterns, is_address, is_loopback, split_port


class Hosts:
    """``listening`` is the address or name to listen on, ``named`` the setting ``hosts``, None where not given.

    Checked while listening on loopback only, and everywhere where there are names.
    """

    def __init__(self, listening: str, named: Iterable[str] | None) -> None:
        self._checks = named is not None or is_loopback(listening)
        self._named = HostPatterns(named or ())

    def allows(self, host: str | None) -> bool:
        """Whether a request may be for ``host``, the header's value; browsers never leave it out (None)."""
        if not self._checks or host is None:
            return True
        try:
            name, _ = split_port(host)
        except ValueError:
            return False
        return "." not in name or is_address(name) or name in self._named
