"""Certificates of a test's own, which clients of it trust."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID


class Pair:
    """A certificate, signed by itself, and its key, in files; ``make`` replaces both."""

    def __init__(self, folder: Path) -> None:
        self.certificate = folder / "certificate.pem"
        self.key = folder / "key.pem"
        self.serial = 0
        self.make()

    @property
    def settings(self) -> dict[str, str]:
        return {"certificate_file": str(self.certificate), "key_file": str(self.key)}

    def make(self, *, days: float = 1, password: bytes | None = None, other_key: bool = False) -> int:
        """Another one, which is written; its serial number."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
        now = datetime.now(UTC)
        self.serial = x509.random_serial_number()
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(self.serial)
            .not_valid_before(now - timedelta(days=100))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        kept: KeySerializationEncryption = NoEncryption() if password is None else BestAvailableEncryption(password)
        shown = ec.generate_private_key(ec.SECP256R1()) if other_key else key
        self._write(self.certificate, made.public_bytes(Encoding.PEM))
        self._write(self.key, shown.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, kept))
        return self.serial

    def trusted(self) -> ssl.SSLContext:
        """For clients: it is as it is now that they trust."""
        context = ssl.create_default_context(cadata=self.certificate.read_text())
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        other = path.with_suffix(".new")
        other.write_bytes(content)
        other.rename(path)


def blind() -> ssl.SSLContext:
    """For clients that take any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
