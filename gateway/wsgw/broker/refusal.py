"""Why NATS cannot be had until somebody changes something: told so that it says what."""

from __future__ import annotations

import re

from wsgw.broker.subscription import Credentials
from wsgw.config.natsfiles import BadFileError, TlsFiles

#: What OpenSSL says of a server's certificate; and of what a server has said against ours (RFC 8446 section 6.2).
_NOT_VERIFIED = re.compile(r"certificate verify failed: (.*?)\.?(?: \(_ssl|$)")
_ALERT = re.compile(
    r"alert (certificate required|bad certificate|unknown ca|certificate (?:expired|revoked|unknown)"
    r"|unsupported certificate|access denied|handshake failure|decrypt error)"
)
#: What nats-server says of who is not, or no longer, to be let in.
_NOT_LET_IN = re.compile(r"authorization violation|(?:user|account) authentication (?:expired|revoked)", re.IGNORECASE)
#: What OpenSSL says of INFO in the place of TLS.
_NO_TLS = re.compile(r"wrong version number|packet length too long|record layer failure", re.IGNORECASE)


class NeedsChange(OSError):
    """Trying again does not help: a file, a setting, or the server has to be changed. The text says which."""


def refusal_of(error: Exception, credentials: Credentials, overdue: tuple[str, ...]) -> NeedsChange | None:
    """What is to be changed after ``error``, met while connecting; None where that cannot be said.

    ``overdue`` is what is known to be in the files that has expired.
    """
    if isinstance(error, NeedsChange):
        return error
    if isinstance(error, BadFileError):
        return NeedsChange(error.said)
    said = str(error)
    tls = credentials.tls or TlsFiles()
    why = f" ({'; '.join(overdue)})" if overdue else ""
    found = _NOT_VERIFIED.search(said)
    if found is not None:
        return NeedsChange(f"the server's certificate is not good: {found[1]}; {_remedy(found[1], tls)}{why}")
    found = _ALERT.search(said)
    if found is not None:
        return NeedsChange(f"{_of_certificate(found[1], tls)}{why}")
    if tls.handshake_first and _NO_TLS.search(said):
        return NeedsChange("the server does not begin with TLS; nats.tls.handshake_first is for servers that do")
    if _NOT_LET_IN.search(said):
        return NeedsChange(f"NATS says {said.removeprefix('nats: ')} to {_shown_of(credentials)}{why}")
    return None


def _remedy(reason: str, tls: TlsFiles) -> str:
    if "mismatch" in reason:
        return "the name in nats.servers has to be one that it is for"
    if "expired" in reason or "not yet valid" in reason:
        return "the server needs another one, or a clock is wrong"
    if tls.ca_file is None:
        return "it is to be signed by one of the CAs of the system, or nats.tls.ca_file has to name another"
    return f"it is to be signed by one of those in nats.tls.ca_file, {tls.ca_file}"


def _of_certificate(alert: str, tls: TlsFiles) -> str:
    if tls.certificate_file is None:
        what = "the server asks for a certificate; nats.tls.certificate_file and key_file say which"
    else:
        what = f"the server does not take the certificate in nats.tls.certificate_file, {tls.certificate_file}"
    return f"{what}: {alert}"


def _shown_of(credentials: Credentials) -> str:
    """What was shown, and where it is from."""
    if credentials.credentials_file is not None:
        path = credentials.credentials_file
        return f"the user in nats.credentials_file, {path}; it, or its account, is not known there, or no more"
    if credentials.nkey_seed_file is not None:
        return f"the nkey in nats.nkey_seed_file, {credentials.nkey_seed_file}"
    if credentials.user is not None:
        return f"the user {credentials.user!r}; it, or the password, is another one there"
    if credentials.token is not None:
        return "the token; it is another one there"
    if credentials.tls is not None and credentials.tls.certificate_file is not None:
        return f"the certificate in nats.tls.certificate_file, {credentials.tls.certificate_file}, and no other user"
    return "somebody without a user; nats.user, token, credentials_file or nkey_seed_file say who the gateway is"
