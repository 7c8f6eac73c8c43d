"""Checks signatures of tokens, by PyJWT's algorithms."""

from __future__ import annotations

from typing import Any, Protocol

from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.exceptions import InvalidKeyError

from wsgw.access.compact import Compact, refusal
from wsgw.config.keys import BadKeyError, Key


class SigningKey:
    """``value`` (a secret's bytes, or a public key), which checks what is signed by one of ``algorithms``.

    It is prepared once: whether a secret is a key of another kind takes longer to see than a signature. Raises
    InvalidKeyError where it is none for them.
    """

    __slots__ = ("_by_name", "_value")

    def __init__(self, value: Any, algorithms: tuple[str, ...]) -> None:
        known = get_default_algorithms()
        self._by_name: dict[str, Algorithm] = {name: known[name] for name in algorithms}
        self._value = self._by_name[algorithms[0]].prepare_key(value)

    def fits(self, algorithm: str) -> bool:
        """Whether it can check what is signed by ``algorithm``."""
        return algorithm in self._by_name

    def check(self, parts: Compact) -> bytes:
        """The claims, in JSON, of a token that this key signed; raises GatewayError (unauthenticated)."""
        algorithm = self._by_name.get(parts.algorithm)
        if algorithm is None or not algorithm.verify(parts.signed, self._value, parts.signature):
            raise refusal("has a signature that is not by the key")
        return parts.payload


class Keys(Protocol):
    """Where keys are looked for."""

    #: what tokens may be signed by
    algorithms: tuple[str, ...]
    #: differs as soon as keys may be others
    generation: int

    def start(self) -> None:
        """Begin; needs a running loop."""

    async def close(self) -> None:
        """End its tasks and connections."""

    def find(self, algorithm: str, kid: str | None) -> SigningKey | None:
        """The key of a token; None where ``look`` may know more.

        Raises GatewayError: unauthenticated where there is none, auth_unavailable where that cannot be told.
        """

    async def look(self, algorithm: str, kid: str | None) -> SigningKey:
        """The key of a token for which ``find`` had none; raises GatewayError as that does."""


class OneKey:
    """The key of the configuration."""

    generation = 0

    def __init__(self, setting: str, key: Key) -> None:
        self.algorithms = key.algorithms
        try:
            self._key = SigningKey(key.value, key.algorithms)
        except InvalidKeyError:  # that of a secret which looks like a key of another kind
            raise BadKeyError(setting, "is no secret, but a key of another kind") from None

    def start(self) -> None:
        """Nothing to begin."""

    async def close(self) -> None:
        """Nothing to end."""

    def find(self, algorithm: str, kid: str | None) -> SigningKey | None:
        return self._key

    async def look(self, algorithm: str, kid: str | None) -> SigningKey:
        raise refusal("is signed by a key that is not known here")
