"""Which pages of other origins may ask a surface and read its answers: CORS, as the Fetch standard has it.

Header values go in as the request had them, None where it had none; headers come out by lower-case name.
"""

from __future__ import annotations

from collections.abc import Sequence

#: How long a browser may keep the answer to a preflight.
MAX_AGE_SECONDS = 600


class Origins:
    """``allowed`` is ``"*"`` for all, or the origins (``http://page:80``); ``methods`` are what their pages may use."""

    def __init__(self, allowed: str | Sequence[str], methods: Sequence[str]) -> None:
        self._allowed = None if allowed == "*" else frozenset([allowed] if isinstance(allowed, str) else allowed)
        self._methods = ",".join(methods)

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Whether a request comes from an allowed page, or from no page of another origin at all."""
        return self._allowed is None or origin is None or origin in self._allowed or _is_own(origin, host)

    def headers(self, origin: str | None) -> dict[str, str]:
        """What every answer carries, refusals too."""
        if self._allowed is None:
            return {"access-control-allow-origin": "*"}
        if origin is None or origin not in self._allowed:
            return {"vary": "origin"}
        return {"access-control-allow-origin": origin, "vary": "origin"}

    def preflight(self, origin: str | None, wanted_headers: str | None) -> dict[str, str]:
        """What the answer to OPTIONS carries; ``wanted_headers`` is ``Access-Control-Request-Headers``."""
        return self.headers(origin) | {
            "access-control-allow-methods": self._methods,
            "access-control-allow-headers": "content-type" if wanted_headers is None else wanted_headers,
            "access-control-max-age": str(MAX_AGE_SECONDS),
        }


def _is_own(origin: str, host: str | None) -> bool:
    return origin.partition("://")[2] == host
