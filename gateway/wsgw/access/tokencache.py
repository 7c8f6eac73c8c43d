"""Whose tokens are known to be good, for a while: signatures by public keys take a tenth of a millisecond each."""

from __future__ import annotations

from hashlib import sha256

from wsgw.access.identity import Identity

MAX_TOKENS = 4096
#: Of tokens; what is kept for one is a few times its size.
MAX_BYTES = 4 * 1024 * 1024


class TokenCache:
    """Identities by token, those that were asked for last; the tokens themselves are not kept."""

    __slots__ = ("_bytes", "_found")

    def __init__(self) -> None:
        self._found: dict[bytes, tuple[Identity, int]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._found)

    def get(self, token: str, now: float) -> Identity | None:
        """Whose ``token`` is; None where it is not known, or over at the Unix time ``now``."""
        key = _digest(token)
        entry = self._found.pop(key, None)
        if entry is None:
            return None
        identity, size = entry
        if identity.expires_at is not None and identity.expires_at <= now:
            self._bytes -= size
            return None
        self._found[key] = entry  # as the last one
        return identity

    def put(self, token: str, identity: Identity) -> None:
        """``token`` is good, and ``identity``'s."""
        key, size = _digest(token), len(token)
        before = self._found.pop(key, None)
        self._bytes += size - (0 if before is None else before[1])
        self._found[key] = identity, size
        while len(self._found) > MAX_TOKENS or self._bytes > MAX_BYTES:
            _, dropped = self._found.pop(next(iter(self._found)))
            self._bytes -= dropped

    def clear(self) -> None:
        """Other keys count from now on."""
        self._found.clear()
        self._bytes = 0


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "replace")).digest()
