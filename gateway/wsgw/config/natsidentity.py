"""Who the gateway is for NATS: an nkey, that of a user, and maybe a JWT that an account has signed for it.

What is in the files is as docs.nats.io has it (Decentralized JWT Authentication); a seed, as github.com/nats-io/nkeys
does: base32 of two bytes that say what it is, the 32 of an Ed25519 key, and a checksum.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wsgw.config.natsfiles import BadFileError, content_of
from wsgw.config.term import FOR_EVER, Term

CREDENTIALS_FILE, NKEY_SEED_FILE = "credentials_file", "nkey_seed_file"

_SEED = 18 << 3
_USER = 20 << 3
#: What keys are of, by the byte that says it.
_KINDS = {_USER: "a user", 0: "an account", 14 << 3: "an operator", 13 << 3: "a server", 2 << 3: "a cluster"}

_SEED_LINE = re.compile(rb"(?<![A-Z0-9])S[A-Z2-7]{57}(?![A-Z0-9])")
_PUBLIC_LINE = re.compile(rb"(?<![A-Z0-9])[UAONCX][A-Z2-7]{55}(?![A-Z0-9])")
_JWT = re.compile(rb"(?<![\w.-])eyJ[\w-]*\.[\w-]+\.[\w-]+(?![\w.-])")
_COMMENT = re.compile(rb"^[ \t]*#.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Identity:
    """``public_key`` is that of the user (``U…``); ``overdue`` says why its JWT is not good now."""

    key: Ed25519PrivateKey = field(repr=False)
    public_key: str
    jwt: str | None = field(default=None, repr=False)
    overdue: BadFileError | None = None
    term: Term = FOR_EVER

    def signed(self, nonce: str) -> bytes:
        """The proof for a server that sent ``nonce``, in base64."""
        return base64.b64encode(self.key.sign(nonce.encode()))


def of_nkey(path: str) -> Identity:
    """That of the seed in the file at ``path``; raises BadFileError."""
    return _of_seed(NKEY_SEED_FILE, path, _content_of(NKEY_SEED_FILE, path))


def of_credentials(path: str) -> Identity:
    """That of the JWT and the seed in the file at ``path``; raises BadFileError."""
    content = _content_of(CREDENTIALS_FILE, path)
    found = _JWT.search(content)
    if found is None:
        raise BadFileError(CREDENTIALS_FILE, path, "has no JWT of a user (between lines such as BEGIN NATS USER JWT)")
    identity = _of_seed(CREDENTIALS_FILE, path, content)
    jwt = found[0].decode()
    try:
        claims = _claims(jwt)
        begins, ends = _time(claims, "nbf"), _time(claims, "exp")
        overdue = Term(begins, ends).untimely()
        term = Term(begins or _time(claims, "iat"), ends)  # of NATS' own clock, which may be a little ahead
    except (ValueError, OverflowError, RecursionError):
        raise BadFileError(CREDENTIALS_FILE, path, "has a JWT that cannot be read") from None
    of = claims.get("nats")
    kind = of.get("type", claims.get("type")) if isinstance(of, dict) else claims.get("type")
    if kind != "user":
        raise BadFileError(CREDENTIALS_FILE, path, "has a JWT that is not a user's")
    if claims.get("sub") != identity.public_key:
        raise BadFileError(CREDENTIALS_FILE, path, "has a seed that is not that of its JWT's user")
    error = None if overdue is None else BadFileError(CREDENTIALS_FILE, path, f"the JWT {overdue}")
    return Identity(identity.key, identity.public_key, jwt, error, term)


def _content_of(key: str, path: str) -> bytes:
    """Without comments, where old keys may be."""
    return _COMMENT.sub(b"", content_of(key, path))


def _of_seed(key: str, path: str, content: bytes) -> Identity:
    found = _SEED_LINE.search(content)
    if found is None:
        only = "only a public key, and " if _PUBLIC_LINE.search(content) else ""
        raise BadFileError(key, path, f"has {only}no seed of a user (58 letters and digits that begin with SU)")
    raw = base64.b32decode(found[0] + b"======")
    body, checksum = raw[:-2], raw[-2:]
    if binascii.crc_hqx(body, 0).to_bytes(2, "little") != checksum:
        raise BadFileError(key, path, "has a seed with a wrong checksum: a letter of it is another one, or missing")
    kind = (body[0] & 7) << 5 | body[1] >> 3
    if body[0] & 0xF8 != _SEED or kind != _USER:
        raise BadFileError(key, path, f"has the seed of {_KINDS.get(kind, 'something')}; a user's (SU…) is needed")
    private = Ed25519PrivateKey.from_private_bytes(body[2:])
    return Identity(private, _public_key(private))


def _public_key(private: Ed25519PrivateKey) -> str:
    body = bytes([_USER]) + private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).rstrip(b"=").decode()


def _claims(jwt: str) -> dict[str, object]:
    """Raises ValueError, RecursionError. What signed it is NATS' business."""
    part = jwt.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(claims, dict):
        raise ValueError("no object")  # noqa: TRY004  # as of all that is wrong with it
    return claims


def _time(claims: dict[str, object], name: str) -> datetime | None:
    """Raises ValueError, OverflowError; 0 is none, as for NATS."""
    value = claims.get(name, 0)
    if type(value) not in (int, float):
        raise ValueError(name)
    return datetime.fromtimestamp(float(value), UTC) if value else None  # type: ignore[arg-type]
