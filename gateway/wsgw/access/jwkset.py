"""A set of public keys of an identity provider, as JSON (RFC 7517): which of them can check tokens."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from wsgw.access.compact import refusal
from wsgw.access.signatures import SigningKey
from wsgw.config.keys import algorithms_of

MAX_KEYS = 100
#: By ``kty``. Symmetric keys (``oct``) are secrets: one that is published is none.
_KINDS: dict[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}
#: The member of a private key; whoever published it has given it away.
_PRIVATE = "d"


class NamedKey(NamedTuple):
    """One of a set, that of tokens which call it ``kid``."""

    kid: str | None
    key: SigningKey


class KeySet:
    """The keys that can check what is signed by one of the algorithms that are taken."""

    def __init__(self, keys: list[NamedKey]) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, algorithm: str, kid: str | None) -> SigningKey | None:
        """The key called ``kid``; of a token that names none, the only one that fits, if there is only one.

        ``kid`` is looked for in the set and nowhere else. Raises GatewayError where several fit.
        """
        fitting = [one.key for one in self._keys if one.key.fits(algorithm) and kid in (None, one.kid)]
        if kid is None and len(fitting) > 1:
            raise refusal("does not name its key ('kid'), and several would fit")
        return fitting[0] if fitting else None


def key_set(body: bytes, algorithms: tuple[str, ...]) -> KeySet:
    """The keys in ``body`` that are of use; raises ValueError where there are none, or too many to be a set."""
    try:
        value = orjson.loads(body)
    except ValueError:
        raise ValueError("it is no JSON") from None
    keys = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(keys, list):
        raise ValueError("it has no list of keys")  # noqa: TRY004  bad input, not a fault
    if len(keys) > MAX_KEYS:
        raise ValueError(f"it has {len(keys)} keys, more than {MAX_KEYS}")
    found = [key for one in keys if isinstance(one, dict) and (key := _public_key(one, algorithms)) is not None]
    if not found:
        raise ValueError(f"none of its {len(keys)} keys is one for {', '.join(algorithms)}")
    return KeySet(found)


def _public_key(values: dict[str, Any], algorithms: tuple[str, ...]) -> NamedKey | None:
    """None where it is of no use: of another kind, for another purpose, too small, or broken."""
    kid, kind, operations = values.get("kid"), _KINDS.get(str(values.get("kty"))), values.get("key_ops")
    if kind is None or _PRIVATE in values or values.get("use", "sig") != "sig" or not isinstance(kid, str | None):
        return None
    if operations is not None and "verify" not in (operations if isinstance(operations, list) else ()):
        return None
    try:
        key = kind.from_jwk(values)
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, OverflowError):
        return None
    its_own = values.get("alg")
    fitting = tuple(name for name in algorithms_of(key) if name in algorithms and its_own in (None, name))
    return NamedKey(kid, SigningKey(key, fitting)) if fitting else None
