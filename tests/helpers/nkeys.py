"""Nkeys, JWTs of operators, accounts and users, and files of credentials, as nsc makes them."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from helpers.tokens import part

OPERATOR, ACCOUNT, USER = 14 << 3, 0, 20 << 3


class Nkey:
    """A new one of a kind; ``public`` and ``seed`` are as files have them."""

    def __init__(self, kind: int) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.public = _text(bytes([kind]) + self._key.public_key().public_bytes_raw())
        self.seed = _text(bytes([18 << 3 | kind >> 5, (kind & 31) << 3]) + self._key.private_bytes_raw())

    def jwt(self, subject: str, nats: Mapping[str, Any], **claims: Any) -> str:
        """One about ``subject``, signed by this key."""
        said = {"jti": str(time.monotonic_ns()), "iat": int(time.time()), "iss": self.public, "name": "test"}
        body = part({"typ": "JWT", "alg": "ed25519-nkey"}) + "."
        body += part(said | {"sub": subject, "nats": {"version": 2, **nats}} | claims)
        return f"{body}.{part(self._key.sign(body.encode()))}"


class Operator:
    """An operator with one account; ``configuration`` is that of a nats-server that trusts it."""

    def __init__(self) -> None:
        self._key, self._account = Nkey(OPERATOR), Nkey(ACCOUNT)
        limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
        account = self._key.jwt(
            self._account.public,
            {"type": "account", "limits": {**limits, "wildcards": True}, "default_permissions": {}},
        )
        operator = self._key.jwt(self._key.public, {"type": "operator"})
        self.configuration = f"""
            operator: {operator}
            resolver: MEMORY
            resolver_preload: {{ {self._account.public}: {account} }}
        """

    def user_jwt(self, user: Nkey, **claims: Any) -> str:
        """That of a user who may do anything."""
        return self._account.jwt(user.public, {"type": "user", "subs": -1, "data": -1, "payload": -1}, **claims)

    def credentials(self, path: Path, **claims: Any) -> Path:
        """The file at ``path``, with those of a new user."""
        user = Nkey(USER)
        path.write_text(credentials(self.user_jwt(user, **claims), user.seed))
        return path


def credentials(jwt: str, seed: str) -> str:
    """The text of a file of credentials."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n"
        "NKEY Seed printed below can be used to sign and prove identity.\n"
        "NKEYs are sensitive and should be treated as secrets.\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n\n"
        "*************************************************************\n"
    )


def _text(body: bytes) -> str:
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).rstrip(b"=").decode()
