"""The key that ``auth.jwt`` names: read, and good for its algorithms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from helpers.tokens import ec_key, ed_key, pem_file, rsa_key
from wsgw.config.auth import JwtSettings
from wsgw.config.keys import JWKS_ALGORITHMS, MAX_FILE_BYTES, BadKeyError, Key, algorithms_of, key_of


def key(**values: Any) -> Key:
    return key_of(JwtSettings(**values))


def problem(**values: Any) -> tuple[str, str]:
    with pytest.raises(BadKeyError) as caught:
        key(**values)
    return caught.value.key, str(caught.value)


@pytest.mark.parametrize(
    ("content", "secret"), [(b"abc", b"abc"), (b"abc\n", b"abc"), (b"abc\r\n", b"abc"), (b" a\nb\n\n", b" a\nb\n")]
)
def test_a_secret_in_a_file(tmp_path: Path, content: bytes, secret: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert key(secret_file=str(path)) == Key(secret, ("HS256",))
    assert "abc" not in repr(key(secret_file=str(path)))


def test_a_secret_is_that_of_the_configuration() -> None:
    assert key(secret="äbc ").value == "äbc ".encode()
    assert key(secret="a", algorithms=["HS512", "HS256", "HS512"]).algorithms == ("HS512", "HS256")


@pytest.mark.parametrize("content", [b"", b"\n", b" \n\n"])
def test_empty_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    for name in ("secret_file", "public_key_file"):
        assert problem(**{name: str(path)}) == (name, f"{path}: is empty")


def test_files_that_are_none(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"a" * (MAX_FILE_BYTES + 1))
    assert "larger than" in problem(secret_file=str(large))[1]
    assert "larger than" in problem(secret_file="/dev/zero")[1]


@pytest.mark.parametrize(
    ("private", "algorithm"),
    [
        (rsa_key(), "RS256"),
        (ec_key(), "ES256"),
        (ec.generate_private_key(ec.SECP256K1()), "ES256K"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ec.generate_private_key(ec.SECP521R1()), "ES512"),
        (ed_key(), "EdDSA"),
        (ed448.Ed448PrivateKey.generate(), "EdDSA"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_public_keys(tmp_path: Path, private: Any, algorithm: str) -> None:
    path = pem_file(tmp_path, private)
    found = key(public_key_file=path)
    assert found.algorithms == (algorithm,)
    assert found.value == private.public_key()
    assert problem(public_key_file=path, algorithms=["HS256"])[0] == "algorithms"
    other = "RS512" if algorithm != "RS256" else "ES256"
    assert problem(public_key_file=path, algorithms=[algorithm, other])[0] == "algorithms"


def test_other_algorithms_of_rsa(tmp_path: Path) -> None:
    assert key(public_key_file=pem_file(tmp_path, rsa_key()), algorithms=["PS256", "RS512"]).algorithms == (
        "PS256",
        "RS512",
    )


def test_a_certificate(tmp_path: Path) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "id")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(ec_key().public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    path = tmp_path / "cert.pem"
    path.write_bytes(builder.sign(ec_key(), hashes.SHA256()).public_bytes(Encoding.PEM))
    assert key(public_key_file=str(path)) == Key(ec_key().public_key(), ("ES256",))


def test_what_is_no_public_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("x")
    assert problem(public_key_file=str(path)) == ("public_key_file", "has no public key or certificate in PEM form")
    path.write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    assert "has no public key" in problem(public_key_file=str(path))[1]
    path.write_bytes(ec_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert "has a private key" in problem(public_key_file=str(path))[1]
    small = rsa.generate_private_key(65537, 1024)
    assert "1024 bits" in problem(public_key_file=pem_file(tmp_path, small))[1]
    for other in (
        x25519.X25519PrivateKey.generate(),
        dsa.generate_private_key(2048),
        ec.generate_private_key(ec.SECP224R1()),
    ):
        assert "signs no tokens" in problem(public_key_file=pem_file(tmp_path, other))[1]


@pytest.mark.parametrize(("bits", "good"), [(2047, False), (2048, True), (8192, True), (8193, False)])
def test_the_size_of_rsa(bits: int, good: bool) -> None:
    public = rsa.RSAPublicNumbers(65537, (1 << bits) - 1).public_key()
    assert public.key_size == bits
    assert bool(algorithms_of(public)) is good


def test_a_public_key_is_no_secret(tmp_path: Path) -> None:
    path = pem_file(tmp_path, rsa_key())
    reason = "has a key in PEM form, which is no secret; a public key belongs to public_key_file"
    assert problem(secret_file=path) == ("secret_file", reason)
    assert problem(secret=Path(path).read_text()) == ("secret", reason)
    path_of_nothing = tmp_path / "nothing"
    path_of_nothing.write_bytes(b"\r\n")
    assert problem(secret_file=str(path_of_nothing))[0] == "secret_file"
    assert problem(public_key_file=path, algorithms=["ES256"]) == (
        "algorithms",
        "'ES256' is not for the key in public_key_file; RS256, RS384, RS512, PS256, PS384, PS512 are",
    )


def test_keys_at_a_url() -> None:
    assert key(jwks_url="https://h/k") == Key(None, JWKS_ALGORITHMS)
    assert key(jwks_url="https://h/k", algorithms=["PS256"]).algorithms == ("PS256",)
    for name in ("HS256", "none", "x"):
        assert problem(jwks_url="https://h/k", algorithms=[name])[0] == "algorithms"
