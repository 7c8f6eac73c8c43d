"""Clients that show tokens, each one of its own: no two are known from one another."""

from __future__ import annotations

import time
import uuid
from functools import cache
from typing import Any

import jwt
from bench.wires import Greeting, SocketIO, Wire
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

SECRET = "the secret of the bench, of more than 32 bytes"
#: The query parameter that has the token of a WebSocket.
PARAMETER = "token"


def token(key: str, algorithm: str) -> str:
    """Of a user that there was none of before, for an hour."""
    rights = {"subscribe": ["IN", "chat.*"], "publish": ["OUT"]}
    claims = {"sub": uuid.uuid4().hex, "exp": int(time.time()) + 3600, "wsgw": rights}
    return jwt.encode(claims, _loaded(key) if algorithm == "RS256" else key, algorithm)


@cache
def _loaded(key: str) -> Any:
    """To load one takes longer than to sign with it, and a loaded one goes to no other process."""
    return serialization.load_pem_private_key(key.encode(), None)


class TokenWire(Wire):
    """Plain WebSocket with a token in the query; signed by ``key``."""

    def __init__(self, key: str, algorithm: str) -> None:
        self._key, self._algorithm = key, algorithm

    def path(self, channel: str) -> str:
        return f"{super().path(channel)}?{PARAMETER}={token(self._key, self._algorithm)}"


class TokenSocketIO(SocketIO):
    """Socket.IO with a token in the payload of CONNECT, by HMAC."""

    def greet(self, channel: str, subscribe: bool) -> Greeting:
        opened = yield b""
        if not opened.startswith(b"0{"):
            raise ValueError(f"no Engine.IO handshake: {opened!r}")
        answer = yield b'40{"token":"%b"}' % token(SECRET, "HS256").encode()
        if not answer.startswith(b"40"):
            raise ValueError(f"no Socket.IO connection: {answer!r}")


def pair() -> tuple[str, str]:
    """A private RSA key and its public one, as PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def by_secret() -> dict[str, Any]:
    """The section ``auth`` for tokens by HMAC."""
    return {"jwt": {"secret": SECRET}, "query_parameter": PARAMETER}


def by_public_key(file: str) -> dict[str, Any]:
    """That for tokens by RSA, whose public key is in ``file``."""
    return {"jwt": {"public_key_file": file}, "query_parameter": PARAMETER}
