"""Clients that speak TLS: a certificate for both servers, wires that ask for it, and a socket that the worker can use.

TLS 1.3, a handshake of its own for each connection (nothing is resumed), and a certificate of ECDSA P-256 that clients
do not check: what that costs is theirs. Ciphers are offered in the order of browsers, see ``openssl.cnf``.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from os import environ
from pathlib import Path
from typing import NamedTuple, cast

from bench.wires import Nats, Wire
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_OPENSSL = Path(__file__).parent / "openssl.cnf"
_READ_BYTES = 256 * 1024


class Files(NamedTuple):
    """Of a certificate and its key."""

    certificate: Path
    key: Path


def files(folder: Path) -> Files:
    """Made once in ``folder``: a certificate that signs itself."""
    made = Files(folder / "certificate.pem", folder / "key.pem")
    if not made.key.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        made.certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
        made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


class TlsWire(Wire):
    """wsgw's ``/ws/`` by TLS."""

    secure = True


class TlsNats(Nats):
    """nats-server's WebSocket listener by TLS."""

    secure = True


@contextmanager
def ciphers_of_browsers() -> Iterator[None]:
    """Processes that begin here offer ciphers as browsers do; Python itself has no say in those of TLS 1.3."""
    before = environ.get("OPENSSL_CONF")
    environ["OPENSSL_CONF"] = str(_OPENSSL)
    try:
        yield
    finally:
        del environ["OPENSSL_CONF"]
        if before is not None:
            environ["OPENSSL_CONF"] = before


@cache
def trusting() -> ssl.SSLContext:
    """Of a client that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


class TlsSocket:
    """A socket within TLS, not blocking, with those methods of ``socket.socket`` that a client of the bench calls.

    What is sent before the handshake is done goes out behind it. Only a little may be sent: what the kernel does not
    take is an error.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trusting().wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self._shaken = False
        self._waits = b""
        self.setsockopt, self.getsockopt = self._socket.setsockopt, self._socket.getsockopt
        self.setblocking, self.bind, self.connect_ex = (
            self._socket.setblocking,
            self._socket.bind,
            self._socket.connect_ex,
        )
        self.fileno, self.close = self._socket.fileno, self._socket.close

    @property
    def cipher(self) -> str:
        """The one that was agreed upon, with the version in front."""
        return f"{self._tls.version()} {(self._tls.cipher() or ('none',))[0]}"

    def send(self, data: bytes | memoryview) -> int:
        """All of it."""
        if self._shaken:
            self._tls.write(data)
        else:
            self._waits += data
            self._shake()
        self._flush()
        return len(data)

    def recv_into(self, buffer: bytearray) -> int:
        """What came, 0 at the end; raises BlockingIOError where that is nothing of what is within."""
        data = self._socket.recv(min(_READ_BYTES, len(buffer)))  # within there is less of it than that
        if not data:
            return 0
        self._incoming.write(data)
        if not self._shaken:
            self._shake()
            self._flush()
        size, view = 0, memoryview(buffer)
        try:
            while self._shaken:
                read = cast("int", self._tls.read(len(view) - size, view[size:]))  # into a buffer it is a number
                if not read:
                    break
                size += read
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            return size
        if not size:
            raise BlockingIOError
        return size

    # -- inside

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self._shaken = True
        if self._waits:
            self._tls.write(self._waits)
            self._waits = b""

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data and self._socket.send(data) < len(data):
            raise OSError("the kernel does not take what is sent by TLS")
