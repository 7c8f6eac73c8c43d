"""The files of TLS towards NATS (RFC 7468): read, and found good."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from wsgw.config.natsfiles import BadFileError, TlsFiles, content_of
from wsgw.config.term import Term

CA_FILE, CERTIFICATE_FILE, KEY_FILE = "tls.ca_file", "tls.certificate_file", "tls.key_file"


def term_of(certificate_file: str) -> Term:
    """That of the own certificate; raises BadFileError."""
    return _term(_certificates(CERTIFICATE_FILE, certificate_file)[0])


def overdue_of(files: TlsFiles) -> list[BadFileError]:
    """What of it has expired, or is not good yet; raises BadFileError for what is of no use at all."""
    overdue: list[BadFileError] = []
    if files.ca_file is not None:
        overdue += _overdue(CA_FILE, files.ca_file, _certificates(CA_FILE, files.ca_file))
    if files.certificate_file is not None:
        own = _certificates(CERTIFICATE_FILE, files.certificate_file)[0]
        if files.key_file is not None and _public(own) != _public_of_private(files.key_file):
            reason = f"is not the key of the certificate in {files.certificate_file}"
            raise BadFileError(KEY_FILE, files.key_file, reason)
        overdue += _overdue(CERTIFICATE_FILE, files.certificate_file, [own])
    return overdue


def _overdue(key: str, path: str, certificates: Iterable[x509.Certificate]) -> list[BadFileError]:
    """Nothing where one of ``certificates`` is good now: there are old ones beside new ones."""
    reasons = [_term(each).untimely() for each in certificates]
    return [] if None in reasons else [BadFileError(key, path, f"the certificate {reasons[0]}")]


def _term(certificate: x509.Certificate) -> Term:
    return Term(certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _certificates(key: str, path: str) -> list[x509.Certificate]:
    """At least one; raises BadFileError."""
    content = content_of(key, path)
    try:
        return x509.load_pem_x509_certificates(content)
    except (ValueError, UnsupportedAlgorithm):
        found = "has a private key, and " if b"PRIVATE KEY-----" in content else "has "
        raise BadFileError(key, path, f"{found}no certificate in PEM form, or a broken one") from None


def _public_of_private(path: str) -> bytes:
    """Raises BadFileError."""
    content = content_of(KEY_FILE, path)
    try:
        return _public(load_pem_private_key(content, password=None))
    except TypeError:
        raise BadFileError(KEY_FILE, path, "has a key with a password; one without is needed") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadFileError(KEY_FILE, path, "has no private key in PEM form, or a broken one") from None


def _public(of: object) -> bytes:
    public = of.public_key()  # type: ignore[attr-defined]  # each kind of certificate and key has it
    return bytes(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
