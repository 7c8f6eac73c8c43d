"""Certificates and keys towards NATS: that they are some, fit together, and are good now."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from helpers.authority import Authority
from wsgw.config.natsfiles import BadFileError, TlsFiles
from wsgw.config.natstls import overdue_of


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def files(**paths: Path) -> TlsFiles:
    ca_file, certificate_file, key_file = [
        str(paths[name]) if name in paths else None for name in ("ca_file", "certificate_file", "key_file")
    ]
    return TlsFiles(ca_file, certificate_file, key_file)


def problem(**paths: Path) -> tuple[str, str]:
    with pytest.raises(BadFileError) as caught:
        overdue_of(files(**paths))
    return caught.value.key, str(caught.value)


def late(**paths: Path) -> list[tuple[str, str]]:
    return [(error.key, str(error)) for error in overdue_of(files(**paths))]


def test_good_ones(ca: Authority) -> None:
    certificate, key = ca.issue("client")
    assert late(ca_file=ca.file, certificate_file=certificate, key_file=key) == []
    assert late() == []
    assert late(ca_file=certificate) == [], "any may be trusted"


def test_one_file_may_have_both(ca: Authority, tmp_path: Path) -> None:
    certificate, key = ca.issue("client")
    for parts in ((certificate, key), (key, certificate)):
        both = tmp_path / "both.pem"
        both.write_bytes(b"".join(part.read_bytes() for part in parts))
        assert late(certificate_file=both, key_file=both) == []


def test_what_are_none(ca: Authority, tmp_path: Path) -> None:
    certificate, key = ca.issue("client")
    garbage = tmp_path / "garbage"
    garbage.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    said = "no certificate in PEM form, or a broken one"
    assert problem(ca_file=garbage) == ("tls.ca_file", f"{garbage}: has {said}")
    assert problem(certificate_file=garbage, key_file=key) == ("tls.certificate_file", f"{garbage}: has {said}")
    assert problem(certificate_file=key, key_file=key)[1] == f"{key}: has a private key, and {said}"
    said = "has no private key in PEM form, or a broken one"
    assert problem(certificate_file=certificate, key_file=garbage) == ("tls.key_file", f"{garbage}: {said}")
    assert problem(certificate_file=certificate, key_file=certificate)[1] == f"{certificate}: {said}"
    garbage.unlink()
    assert problem(ca_file=garbage)[1] == f"{garbage}: No such file or directory"


def test_a_key_with_a_password(ca: Authority) -> None:
    certificate, key = ca.issue("client")
    private = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    assert problem(certificate_file=certificate, key_file=key) == (
        "tls.key_file",
        f"{key}: has a key with a password; one without is needed",
    )


def test_a_key_of_another_certificate(ca: Authority) -> None:
    certificate, _ = ca.issue("client")
    _, key = ca.issue("other")
    assert problem(certificate_file=certificate, key_file=key) == (
        "tls.key_file",
        f"{key}: is not the key of the certificate in {certificate}",
    )


def test_what_has_expired(ca: Authority, tmp_path: Path) -> None:
    old = Authority(tmp_path, "old", days=-1)
    certificate, key = ca.issue("client", days=-1)
    ((ca_key, ca_said), (own_key, own_said)) = late(ca_file=old.file, certificate_file=certificate, key_file=key)
    assert (ca_key, own_key) == ("tls.ca_file", "tls.certificate_file")
    assert ca_said.startswith(f"{old.file}: the certificate expired on 2")
    assert own_said.startswith(f"{certificate}: the certificate expired on 2")
    later, _ = ca.issue("later", days=5, later=True)
    assert "is good from" in late(certificate_file=later)[0][1]


def test_an_old_ca_beside_a_new_one(ca: Authority, tmp_path: Path) -> None:
    old = Authority(tmp_path, "old", days=-1)
    both = tmp_path / "both.pem"
    both.write_bytes(old.file.read_bytes() + ca.file.read_bytes())
    assert late(ca_file=both) == []
