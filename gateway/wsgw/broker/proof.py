"""What a connection to NATS is made with, read from its files: TLS, and who the gateway is."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsgw.broker.subscription import Credentials
from wsgw.config.natsfiles import BadFileError, TlsFiles
from wsgw.tasks import NoThread, in_thread
from wsgw.trust import verifying_as_others

if TYPE_CHECKING:
    from wsgw.config.natsidentity import Identity

#: Reads at a time; each is a thread, and one of a disk that does not answer stays.
MOST_READING = 4
_READING = threading.Semaphore(MOST_READING)


@dataclass(frozen=True, slots=True)
class Proof:
    """``context`` is None without TLS, ``identity`` without a file that says who the gateway is.

    ``overdue`` says what in the files has expired or is not good yet. That is tried all the same: clocks may be wrong.
    """

    context: ssl.SSLContext | None = None
    identity: Identity | None = None
    overdue: tuple[str, ...] = ()


async def read_proof(credentials: Credentials, scheme: str) -> Proof:
    """For a URL of ``scheme``; raises BadFileError, and OSError while earlier reads have not ended, or where
    there is no thread for it.

    The files are read in a thread: they may be anywhere.
    """
    tls = credentials.tls or (TlsFiles() if scheme == "tls" else None)
    if tls is None and credentials.credentials_file is None and credentials.nkey_seed_file is None:
        return Proof()
    if not _READING.acquire(blocking=False):
        raise OSError("the files of nats.tls, or of its credentials, are still being read: their disk does not answer")
    try:
        return await in_thread(lambda: _read_once(credentials, tls), "nats: reading files")
    except NoThread:
        _READING.release()  # nobody else does
        raise


def _read_once(credentials: Credentials, tls: TlsFiles | None) -> Proof:
    try:
        return _read(credentials, tls)
    finally:
        _READING.release()


def _read(credentials: Credentials, tls: TlsFiles | None) -> Proof:
    from wsgw.config.natsidentity import of_credentials, of_nkey  # what it needs takes long

    overdue: list[BadFileError] = []
    context = identity = None
    if tls is not None:
        context, overdue = _context_of(tls)
    if credentials.credentials_file is not None:
        identity = of_credentials(credentials.credentials_file)
    elif credentials.nkey_seed_file is not None:
        identity = of_nkey(credentials.nkey_seed_file)
    if identity is not None and identity.overdue is not None:
        overdue.append(identity.overdue)
    return Proof(context, identity, tuple(error.said for error in overdue))


def _context_of(files: TlsFiles) -> tuple[ssl.SSLContext, list[BadFileError]]:
    """By which certificates and names of servers are verified; and what has expired."""
    from wsgw.config.natstls import CA_FILE, CERTIFICATE_FILE, overdue_of

    overdue = overdue_of(files)
    key, path = CA_FILE, files.ca_file or ""
    try:
        context = verifying_as_others(ssl.create_default_context(cafile=files.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if files.certificate_file is not None:
            key, path = CERTIFICATE_FILE, files.certificate_file
            context.load_cert_chain(path, files.key_file, password=_no_password)
    except OSError as error:  # as SSLError is
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise BadFileError(key, path, f"OpenSSL cannot use it: {reason}") from None
    return context, overdue


def _no_password() -> str:
    return ""  # OpenSSL would ask for it at the terminal
