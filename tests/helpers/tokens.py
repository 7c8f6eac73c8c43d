"""Tokens for tests, keys that sign them, and a server of public keys (a JWKS)."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from wsgw.config.auth import AuthSettings
from wsgw.config.file import ConfigFile
from wsgw.config.load import load
from wsgw.protocols.handshake import Handshake

SECRET = "not so secret, but of 32 bytes or more"


def auth(**values: Any) -> AuthSettings:
    """The section, with SECRET where it does not say ``jwt``."""
    found = load({}, {}, ConfigFile("x.yml", {"auth": {"jwt": {"secret": SECRET}} | values})).auth
    assert found is not None
    return found


def token(claims: Mapping[str, Any] | None = None, key: Any = SECRET, algorithm: str = "HS256", **headers: Any) -> str:
    """With ``claims``, one that lasts a minute unless they say ``exp``; a claim that is None is left out."""
    said = {"sub": "ann", "exp": time.time() + 60} | dict(claims or {})
    return jwt.encode(
        {name: value for name, value in said.items() if value is not None}, key, algorithm, headers=headers or None
    )


def part(value: object) -> str:
    """A part of a token: ``value`` as JSON, or bytes as they are, in base64url."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def shown(*headers: tuple[str, str], query: str = "") -> Handshake:
    """A request with these headers."""
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return Handshake("/ws/A", query.encode(), raw, "127.0.0.1")


def bearing(text: str) -> Handshake:
    """A request with that token."""
    return shown(("Authorization", f"Bearer {text}"))


@cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """One of several, made once."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ed_key(number: int = 0) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def public_pem(key: Any) -> bytes:
    """The public half of ``key``, as a file has it."""
    found: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found


def pem_file(folder: Path, key: Any) -> str:
    """A file with the public half of ``key``."""
    path = folder / "public.pem"
    path.write_bytes(public_pem(key))
    return str(path)


def jwk(key: Any, kid: str | None = None, **members: Any) -> dict[str, Any]:
    """The public half of ``key``, as a JWKS has it."""
    public = key.public_key()
    kinds: dict[type, Any] = {rsa.RSAPublicKey: RSAAlgorithm, ec.EllipticCurvePublicKey: ECAlgorithm}
    kind = next((found for each, found in kinds.items() if isinstance(public, each)), OKPAlgorithm)
    found: dict[str, Any] = kind.to_jwk(public, as_dict=True)
    found.pop("key_ops", None)
    return found | ({} if kid is None else {"kid": kid}) | members


class JwksServer:
    """Answers with ``body``; ``asked`` counts. While ``silent`` it does not answer."""

    def __init__(self) -> None:
        self.asked = 0
        self.status = "200 OK"
        self.headers: list[str] = []
        self.body = b""
        self.url = ""
        self.silent = False
        self.at_once = 0  # requests that are not answered yet
        self.most_at_once = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    def has(self, *keys: Mapping[str, Any]) -> None:
        """From now on these are the keys."""
        self.body = json.dumps({"keys": keys}).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                await self.may_answer.wait()
                if self.silent:
                    await reader.read()  # until the client gives up
                    return
            finally:
                self.at_once -= 1
            head = [f"HTTP/1.1 {self.status}", f"Content-Length: {len(self.body)}", "Connection: close", *self.headers]
            writer.write("\r\n".join([*head, "", ""]).encode() + self.body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def jwks_server(*keys: Mapping[str, Any], tls: ssl.SSLContext | None = None) -> AsyncIterator[JwksServer]:
    """On a free port, with these keys."""
    found = JwksServer()
    found.has(*keys)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, ssl=tls)
    found.url = f"http{'' if tls is None else 's'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    try:
        yield found
    finally:
        found.may_answer.set()
        server.close()
