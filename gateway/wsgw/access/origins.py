"""Which pages may ask a gateway and read its answers: by Origin, and as CORS tells it (the Fetch standard)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from wsgw.config.hosts import HostPatterns, split_port
from wsgw.config.origins import ANY, DEFAULT_PORTS, SAME, Origin, entry_of, is_pattern, origin_of

Headers = list[tuple[bytes, bytes]]

#: How long a browser may keep the answer to a preflight.
MAX_AGE_SECONDS = 600
#: Of ``Access-Control-Request-Headers``; who asks for more is told of those that are used here.
MAX_WANTED_BYTES = 1024
_USED = b"authorization,content-type,last-event-id,nats-msg-id"


class Asked(NamedTuple):
    """What a browser asked for, as proxies say: the ``host`` (None: they left the header Host as it was), by which
    ``scheme``, None where not said, and the ``port`` that is meant where the host names none (None: the scheme's).
    """

    host: bytes | None = None
    scheme: str | None = None
    port: int | None = None


#: Nobody says anything.
NOTHING = Asked()
#: No proxy does, and it came by TLS: what was asked for is the header Host, by https.
BY_TLS = Asked(scheme="https")


class Origins:
    """``allowed`` is the setting ``origins``: ``same``, ``any``, or a list of which each says what it stands for.

    With ``credentials`` pages may have cookies sent along, but not with ``any``.
    """

    def __init__(self, allowed: str | Sequence[str] = SAME, *, credentials: bool = False) -> None:
        entries = [allowed] if isinstance(allowed, str) else allowed
        self._any = allowed == ANY
        self._same = SAME in entries
        named = [entry_of(each) for each in entries if each not in (SAME, ANY)]
        self._named = frozenset(each for each in named if not is_pattern(each))
        patterns: dict[tuple[str, int | None], list[str]] = {}
        for each in filter(is_pattern, named):
            patterns.setdefault((each.scheme, each.port), []).append(each.host)
        self._patterns = {key: HostPatterns(hosts) for key, hosts in patterns.items()}
        self._credentials = credentials

    def allows(self, origin: str | None, host: str | None, asked: Asked = NOTHING) -> bool:
        """Whether who sends these headers (None: without) may ask; no browser leaves out a page's Origin.

        Of ``asked`` scheme and port are looked at: ``host`` is what counts.
        """
        if self._any or origin is None:
            return True
        try:
            page = origin_of(origin)
        except ValueError:  # null, or nothing that a browser says
            return False
        if page in self._named or page.host in self._patterns.get((page.scheme, page.port), ()):
            return True
        return self._same and _is_own(page, host, asked)

    def headers(self, origin: bytes | None) -> Headers:
        """What every answer carries to a request that is allowed."""
        if self._any:
            return [(b"access-control-allow-origin", b"*")]
        if origin is None:
            return [(b"vary", b"origin")]
        told = [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        return [*told, (b"access-control-allow-credentials", b"true")] if self._credentials else told


def preflight(methods: str, wanted: bytes | None) -> Headers:
    """What the answer to OPTIONS carries besides; ``wanted`` is ``Access-Control-Request-Headers``."""
    listed = wanted is None or len(wanted) > MAX_WANTED_BYTES
    return [
        (b"access-control-allow-methods", methods.replace(" ", "").encode()),
        (b"access-control-allow-headers", _USED if listed or wanted is None else wanted),
        (b"access-control-max-age", str(MAX_AGE_SECONDS).encode()),
    ]


def _is_own(page: Origin, host: str | None, asked: Asked) -> bool:
    """Whether ``page`` is of ``host``. By which scheme that was asked is known where it came by TLS, or proxies say so:
    TLS may end before here.
    """
    if host is None or page.scheme not in ("http", "https") or asked.scheme not in (None, page.scheme):
        return False
    try:
        name, port = split_port(host)
    except ValueError:
        return False
    if port is None:
        port = DEFAULT_PORTS[page.scheme] if asked.port is None else asked.port
    return page.host == name and page.port == port
