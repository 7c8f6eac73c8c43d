"""The certificate and key of ``tls``: what is taken, and which words what is not gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.certificates import Pair
from wsgw.config.certificates import certificate_of
from wsgw.config.load import load
from wsgw.errors import ConfigError


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_a_pair(pair: Pair) -> None:
    settings = load({"tls": pair.settings}, {})
    assert settings.tls is not None
    certificate = certificate_of(settings.tls)
    assert certificate.names == ("localhost", "127.0.0.1")
    assert str(certificate).startswith("localhost, 127.0.0.1, valid until 20")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda pair: pair.certificate.unlink(), "tls.certificate_file: {certificate}: No such file or directory"),
        (lambda pair: pair.key.unlink(), "tls.key_file: {key}: No such file or directory"),
        (lambda pair: pair.key.write_text(""), "tls.key_file: {key}: has no private key in PEM form"),
        (
            lambda pair: pair.certificate.write_text(pair.key.read_text()),
            "tls.certificate_file: {certificate}: has no certificate in PEM form",
        ),
        (
            lambda pair: pair.certificate.write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"),
            "tls.certificate_file: {certificate}: has a certificate that cannot be read",
        ),
        (lambda pair: pair.make(other_key=True), "tls.key_file: {key}: is not the key of the certificate"),
        (
            lambda pair: pair.make(password=b"secret"),
            "tls.key_file: {key}: is encrypted, and nobody is here to say how",
        ),
        (lambda pair: pair.key.write_bytes(bytes(2**20 + 1)), "tls.key_file: {key}: is larger than 1048576 bytes"),
    ],
)
def test_what_is_no_pair(pair: Pair, spoil: Callable[[Pair], object], reason: str) -> None:
    spoil(pair)
    with pytest.raises(ConfigError) as refused:
        load({"tls": pair.settings}, {})
    assert str(refused.value) == "command line: " + reason.format(certificate=pair.certificate, key=pair.key)


def test_where_there_is_nothing_for_it(pair: Pair) -> None:
    with pytest.raises(ConfigError, match=r"^command line: tls: 'listen' has no address with a port"):
        load({"tls": pair.settings, "listen": "unix:/s"}, {})
    with pytest.raises(ConfigError, match=r"tls: keys are expected here; leave it out"):
        load({"tls": None}, {})
    with pytest.raises(ConfigError, match=r"tls.key: unknown key; known here: certificate_file, key_file"):
        load({"tls": {**pair.settings, "key": "x"}}, {})
