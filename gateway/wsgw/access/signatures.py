"""Checks signatures of tokens, by PyJWT."""

from __future__ import annotations

from typing import Any, Protocol

from jwt import PyJWS
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError, InvalidSignatureError, PyJWTError

from wsgw.access.compact import Compact, refusal
from wsgw.config.keys import HMAC_BYTES, BadKeyError, Key


class SigningKey:
    """``value`` (a secret's bytes, or a public key), which checks what is signed by one of ``algorithms``.

    Raises InvalidKeyError where it is none for them.
    """

    __slots__ = ("_algorithms", "_jws", "_value")

    def __init__(self, value: Any, algorithms: tuple[str, ...]) -> None:
        self._algorithms = algorithms
        self._jws = PyJWS(algorithms)
        self._value = self._jws.get_algorithm_by_name(algorithms[0]).prepare_key(value)
        for name in HMAC_BYTES.keys() & set(algorithms):
            self._jws.unregister_algorithm(name)
            self._jws.register_algorithm(name, _PreparedHMAC(_HASHES[name]))

    def fits(self, algorithm: str) -> bool:
        """Whether it can check what is signed by ``algorithm``."""
        return algorithm in self._algorithms

    def check(self, parts: Compact) -> bytes:
        """The claims, in JSON, of a token that this key signed; raises GatewayError (unauthenticated)."""
        try:
            payload: bytes = self._jws.decode(parts.token, self._value, algorithms=self._algorithms)
        except InvalidSignatureError:
            raise refusal("has a signature that is not by the key") from None
        except PyJWTError as error:
            raise refusal(f"is none that its key can check: {error}") from None
        return payload


class _PreparedHMAC(HMACAlgorithm):
    """Of a secret that has been looked at: whether it is a key of another kind, which takes longer than a check."""

    def prepare_key(self, key: str | bytes) -> bytes:
        assert isinstance(key, bytes)
        return key

    def check_key_length(self, key: object) -> str | None:
        """Who configures a short one is warned, and not with each token."""
        return None


_HASHES = {"HS256": HMACAlgorithm.SHA256, "HS384": HMACAlgorithm.SHA384, "HS512": HMACAlgorithm.SHA512}


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
