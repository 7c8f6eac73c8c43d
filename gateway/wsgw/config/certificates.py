"""The certificate and key that ``tls`` names: read, and found to be a pair.

What is needed for it (cryptography) takes long to import, so this module is imported where there is ``tls``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from wsgw.config.contents import UnreadableError, content_of, shown
from wsgw.config.listening import TlsSettings

MAX_FILE_BYTES = 1024 * 1024
#: Of a certificate that are shown.
MAX_NAMES = 3


class BadCertificateError(ValueError):
    """``key`` is the setting below ``tls``; the text is the reason, and shows nothing of a key."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


@dataclass(frozen=True, slots=True)
class Certificate:
    """``names`` are the first of those that it is for; it is valid before ``ends``."""

    names: tuple[str, ...]
    begins: datetime
    ends: datetime

    def __str__(self) -> str:
        return f"{', '.join(self.names) or 'nobody'}, valid until {self.ends:%Y-%m-%d %H:%M} UTC"


def certificate_of(tls: TlsSettings) -> Certificate:
    """The first one in the file, which is the gateway's own; raises BadCertificateError."""
    content = _content("certificate_file", tls.certificate_file)
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise BadCertificateError("certificate_file", f"{tls.certificate_file}: has no certificate in PEM form")
    try:
        own = x509.load_pem_x509_certificates(content)[0]
        public = own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        reason = f"{tls.certificate_file}: has a certificate that cannot be read"
        raise BadCertificateError("certificate_file", reason) from None
    if _public_of(tls) != public:
        raise BadCertificateError("key_file", f"{tls.key_file}: is not the key of the certificate")
    return Certificate(_names(own), own.not_valid_before_utc, own.not_valid_after_utc)


def _public_of(tls: TlsSettings) -> bytes:
    content = _content("key_file", tls.key_file)
    try:
        key = load_pem_private_key(content, None)
        return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except TypeError:
        raise BadCertificateError("key_file", f"{tls.key_file}: is encrypted, and nobody is here to say how") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadCertificateError("key_file", f"{tls.key_file}: has no private key in PEM form") from None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return tuple(str(name.value) for name in list(names)[:MAX_NAMES])
    except (x509.ExtensionNotFound, ValueError):
        return ()


def _content(key: str, path: str) -> bytes:
    try:
        return content_of(path, MAX_FILE_BYTES, again=True)
    except UnreadableError as error:
        raise BadCertificateError(key, f"{shown(path)}: {error}") from None
