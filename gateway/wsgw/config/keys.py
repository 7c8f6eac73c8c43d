"""With what tokens are checked: the key that ``auth.jwt`` names, read and found good for its algorithms.

What is needed for it (PyJWT, cryptography) takes long to import, so this module is imported where there is ``auth``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from wsgw.config.auth import JwtSettings
from wsgw.config.contents import UnreadableError, content_of, shown

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey

#: Of HMAC, and how long a secret is to be, which is how long what they make of it is (RFC 7518 section 3.2).
HMAC_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
#: By the curve's name.
EC_ALGORITHMS = {"secp256r1": "ES256", "secp256k1": "ES256K", "secp384r1": "ES384", "secp521r1": "ES512"}
PUBLIC_ALGORITHMS = (*RSA_ALGORITHMS, *EC_ALGORITHMS.values(), "EdDSA")
JWKS_ALGORITHMS = ("RS256", "ES256", "EdDSA")
#: Smaller ones can be broken (RFC 7518 section 3.3); larger ones take long.
RSA_BITS = range(2048, 8192 + 1)
MAX_FILE_BYTES = 64 * 1024


class BadKeyError(ValueError):
    """``key`` is the setting below ``auth.jwt``; the text is the reason, and shows nothing of a secret."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


@dataclass(frozen=True, slots=True)
class Key:
    """What tokens are checked with, by one of ``algorithms``: a secret, a public key, or those of a JWKS (None)."""

    value: bytes | PublicKey | None = field(repr=False)
    algorithms: tuple[str, ...]


def key_of(jwt: JwtSettings) -> Key:
    """The key of ``jwt``, read from its file where it is in one; raises BadKeyError."""
    if jwt.jwks_url is not None:
        return Key(None, _algorithms(jwt, JWKS_ALGORITHMS, PUBLIC_ALGORITHMS, "the public keys of jwks_url"))
    if jwt.public_key_file is not None:
        value = _public_key("public_key_file", _content("public_key_file", jwt.public_key_file))
        usual = algorithms_of(value)
        return Key(value, _algorithms(jwt, usual[:1], usual, "the key in public_key_file"))
    secret = hmac_secret(jwt)
    return Key(secret, _algorithms(jwt, ("HS256",), tuple(HMAC_BYTES), "a secret"))


def hmac_secret(jwt: JwtSettings) -> bytes:
    """What signs tokens, where ``jwt`` has a secret; raises BadKeyError."""
    if jwt.secret_file is not None:
        key, secret = "secret_file", _content("secret_file", jwt.secret_file)
        secret = secret.removesuffix(b"\n").removesuffix(b"\r")
    else:
        assert jwt.secret is not None
        key, secret = "secret", jwt.secret.get_secret_value().encode("utf-8", "surrogatepass")
    if not secret:
        raise BadKeyError(key, "the secret is empty")
    if secret.lstrip().startswith(b"-----BEGIN "):
        raise BadKeyError(key, "has a key in PEM form, which is no secret; a public key belongs to public_key_file")
    return secret


def weakness(jwt: JwtSettings) -> str | None:
    """Why the key of ``jwt``, which is good, is not as good as it should be; None where it is."""
    key = key_of(jwt)
    if isinstance(key.value, bytes):
        least = max(HMAC_BYTES[name] for name in key.algorithms)
        if len(key.value) < least:
            name = "secret" if jwt.secret_file is None else "secret_file"
            return f"{name}: the secret has {len(key.value)} bytes; with fewer than {least} it can be guessed"
    elif key.value is None and jwt.audience is None:
        return "jwks_url: without audience tokens are taken that its keys signed for other applications"
    return None


def algorithms_of(key: object) -> tuple[str, ...]:
    """What ``key``, a public one, can check, the usual one first; none where it is of no use."""
    if isinstance(key, rsa.RSAPublicKey):
        return RSA_ALGORITHMS if key.key_size in RSA_BITS else ()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return tuple(filter(None, [EC_ALGORITHMS.get(key.curve.name)]))
    return ("EdDSA",) if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) else ()


def _algorithms(jwt: JwtSettings, usual: tuple[str, ...], fitting: tuple[str, ...], what: str) -> tuple[str, ...]:
    for name in jwt.algorithms or ():
        if name not in fitting:
            raise BadKeyError("algorithms", f"{name[:32]!r} is not for {what}; {', '.join(fitting)} are")
    return usual if jwt.algorithms is None else tuple(dict.fromkeys(jwt.algorithms))


def _content(key: str, path: str) -> bytes:
    try:
        content = content_of(path, MAX_FILE_BYTES)
    except UnreadableError as error:
        raise BadKeyError(key, f"{shown(path)}: {error}") from None
    if not content.strip():
        raise BadKeyError(key, f"{path}: is empty")
    return content


def _public_key(key: str, content: bytes) -> PublicKey:
    if b"PRIVATE KEY-----" in content:
        raise BadKeyError(key, "has a private key; only the public one belongs here")
    found: object
    try:
        if b"-----BEGIN CERTIFICATE-----" in content:
            found = x509.load_pem_x509_certificate(content).public_key()
        else:
            found = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise BadKeyError(key, "has no public key or certificate in PEM form") from None
    if isinstance(found, rsa.RSAPublicKey) and found.key_size not in RSA_BITS:
        bits = f"{RSA_BITS.start} to {RSA_BITS.stop - 1}"
        raise BadKeyError(key, f"has an RSA key of {found.key_size} bits; {bits} are taken")
    if not algorithms_of(found):
        raise BadKeyError(key, "has a key that signs no tokens; RSA, EC (P-256, P-384, P-521) and Ed25519 are taken")
    assert isinstance(found, PublicKey)
    return found
