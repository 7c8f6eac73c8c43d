"""A CA for tests, and certificates that it signs: of nats-servers, and of their clients."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_SIGNS = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """Its certificate is ``folder``/NAME.pem; those that ``issue`` makes are beside it.

    ``bare``: it says neither what its key is for nor which one it is, and Python 3.13 does not trust it unless told.
    """

    def __init__(self, folder: Path, name: str = "ca", days: float = 1, *, bare: bool = False) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        builder = _builder(self._name, self._name, self._key, days)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self._bare = bare
        if not bare:
            builder = builder.add_extension(_SIGNS, critical=True)
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False)
        self.certificate = builder.sign(self._key, hashes.SHA256())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def issue(self, name: str, *hosts: str, days: float = 1, later: bool = False) -> tuple[Path, Path]:
        """Files with a certificate for ``name`` and ``hosts``, and its key. Again with the same name: others in them.

        It ends in so many days, and began a day before that or now; ``later``: it begins a day before that.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_named(name), self._name, key, days, later)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), False)
        if not self._bare:
            signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(signer, critical=False)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        files = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        _write(files[0], certificate.public_bytes(Encoding.PEM))
        _write(files[1], key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files


def serial(certificate_file: Path) -> int:
    """The number of the certificate in it."""
    return x509.load_pem_x509_certificate(certificate_file.read_bytes()).serial_number


def sha256(certificate_file: Path) -> str:
    """The fingerprint of the certificate in it, in hexadecimal."""
    return x509.load_pem_x509_certificate(certificate_file.read_bytes()).fingerprint(hashes.SHA256()).hex()


def _write(path: Path, content: bytes) -> None:
    """As who renews certificates does: no reader finds half of it."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.rename(path)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: float, later: bool = False
) -> x509.CertificateBuilder:
    end = datetime.now(UTC) + timedelta(days=days)
    start = (end if later else min(end, datetime.now(UTC))) - timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
