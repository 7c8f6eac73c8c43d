"""What is to be changed where NATS cannot be had: in the words of OpenSSL and nats-server as they are.

(That they say them: test_handshake_tls.)
"""

from __future__ import annotations

import ssl

import pytest

from wsgw.broker.refusal import NeedsChange, refusal_of
from wsgw.broker.subscription import Credentials
from wsgw.config.natsfiles import BadFileError, TlsFiles

OWN = Credentials(tls=TlsFiles("ca.pem", "own.crt", "own.key"))
FIRST = Credentials(tls=TlsFiles(handshake_first=True))
VERIFY = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {} (_ssl.c:1006)"


@pytest.mark.parametrize(
    ("said", "credentials", "told"),
    [
        (
            VERIFY.format("unable to get local issuer certificate"),
            OWN,
            "the server's certificate is not good: unable to get local issuer certificate; "
            "it is to be signed by one of those in nats.tls.ca_file, ca.pem",
        ),
        (
            VERIFY.format("self-signed certificate"),
            Credentials(),
            "the server's certificate is not good: self-signed certificate; "
            "it is to be signed by one of the CAs of the system, or nats.tls.ca_file has to name another",
        ),
        (
            VERIFY.format("Hostname mismatch, certificate is not valid for 'h'."),
            OWN,
            "the server's certificate is not good: Hostname mismatch, certificate is not valid for 'h'; "
            "the name in nats.servers has to be one that it is for",
        ),
        (
            VERIFY.format("certificate has expired"),
            OWN,
            "the server's certificate is not good: certificate has expired; "
            "the server needs another one, or a clock is wrong",
        ),
        (
            "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)",
            Credentials(),
            "the server asks for a certificate; nats.tls.certificate_file and key_file say which: certificate required",
        ),
        (
            "[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] ssl/tls alert certificate expired (_ssl.c:2580)",
            OWN,
            "the server does not take the certificate in nats.tls.certificate_file, own.crt: certificate expired",
        ),
        (
            "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:2580)",
            OWN,
            "the server does not take the certificate in nats.tls.certificate_file, own.crt: unknown ca",
        ),
        (
            "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)",
            FIRST,
            "the server does not begin with TLS; nats.tls.handshake_first is for servers that do",
        ),
        (
            "nats: 'Authorization Violation'",
            Credentials(credentials_file="a.creds"),
            "NATS says 'Authorization Violation' to the user in nats.credentials_file, a.creds; "
            "it, or its account, is not known there, or no more",
        ),
        (
            "nats: 'User Authentication Expired'",
            Credentials(nkey_seed_file="a.nk"),
            "NATS says 'User Authentication Expired' to the nkey in nats.nkey_seed_file, a.nk",
        ),
        (
            "nats: 'Authorization Violation'",
            Credentials("ann", "secret"),
            "NATS says 'Authorization Violation' to the user 'ann'; it, or the password, is another one there",
        ),
        (
            "nats: 'Authorization Violation'",
            Credentials(token="secret"),
            "NATS says 'Authorization Violation' to the token; it is another one there",
        ),
        (
            "nats: 'Authorization Violation'",
            OWN,
            "NATS says 'Authorization Violation' to the certificate in nats.tls.certificate_file, own.crt, "
            "and no other user",
        ),
        (
            "nats: 'Authorization Violation'",
            Credentials(),
            "NATS says 'Authorization Violation' to somebody without a user; "
            "nats.user, token, credentials_file or nkey_seed_file say who the gateway is",
        ),
    ],
)
def test_what_is_to_be_changed(said: str, credentials: Credentials, told: str) -> None:
    refusal = refusal_of(ssl.SSLError(1, said), credentials, ())
    assert isinstance(refusal, NeedsChange)
    assert str(refusal) == told
    assert refusal_of(refusal, credentials, ("again",)) is refusal
    if not told.startswith("the server does not begin"):
        assert str(refusal_of(ssl.SSLError(1, said), credentials, ("a", "b"))) == f"{told} (a; b)"


def test_a_file() -> None:
    assert str(refusal_of(BadFileError("tls.ca_file", "a", "is empty"), OWN, ())) == "nats.tls.ca_file: a: is empty"


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 4222)"),
        ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"),
        OSError("nats: 'Maximum Connections Exceeded'"),
    ],
)
def test_what_may_go_by_itself(error: Exception) -> None:
    assert refusal_of(error, OWN, ("a",)) is None
