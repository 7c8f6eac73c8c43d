"""Checks signatures of tokens, by PyJWT."""

from __future__ import annotations

import warnings
from typing import Any, Protocol

from jwt import PyJWS
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError, InvalidSignatureError, PyJWTError
from jwt.warnings import InsecureKeyLengthWarning

from wsgw.access.compact import Compact, refusal
from wsgw.config.keys import HMAC_BYTES, BadKeyError, Key


class SigningKey:
    """``value`` (a secret's bytes, or a public key), which checks what is signed by one of ``algorithms``.

    Raises InvalidKeyError where it is none for them.
    """

    __slots__ = ("_algorithms", "_is_short", "_jws", "_value")

    def __init__(self, value: Any, algorithms: tuple[str, ...]) -> None:
        self._algorithms = algorithms
        self._jws = PyJWS(algorithms)
        known = self._jws.get_algorithm_by_name(algorithms[0])
        self._value = known.prepare_key(value)
        self._is_short = known.check_key_length(self._value) is not None
        for name in HMAC_BYTES.keys() & set(algorithms):
            self._jws.unregister_algorithm(name)
            self._jws.register_algorithm(name, _PreparedHMAC(_HASHES[name]))

    def fits(self, algorithm: str) -> bool:
        """Whether it can check what is signed by ``algorithm``."""
        return algorithm in self._algorithms

    def check(self, parts: Compact) -> bytes:
        """The claims, in JSON, of a token that this key signed; raises GatewayError (unauthenticated)."""
        try:
            if not self._is_short:
                return self._decode(parts.token)
            with warnings.catch_warnings():  # who configures a short secret is warned, and not each time
                warnings.simplefilter("ignore", InsecureKeyLengthWarning)
                return self._decode(parts.token)
        except InvalidSignatureError:
            raise refusal("has a signature that is not by the key") from None
        except PyJWTError as error:
            raise refusal(f"is none that its key can check: {error}") from None

    def _decode(self, token: bytes) -> bytes:
        payload: bytes = self._jws.decode(token, self._value, algorithms=self._algorithms)
        return payload


class _PreparedHMAC(HMACAlgorithm):
    """Of a secret that has been looked at: whether it is a key of another kind, which takes longer than a check."""

    def prepare_key(self, key: str | bytes) -> bytes:
        assert isinstance(key, bytes)
        return key


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
