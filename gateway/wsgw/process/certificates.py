"""The certificate that clients see, read again when its files change, or at SIGHUP.

New connections get the new one; those there are keep theirs. A pair that cannot be used changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from datetime import UTC, datetime
from functools import partial

from wsgw.config.certificates import BadCertificateError, Certificate, certificate_of
from wsgw.config.file import Look, look
from wsgw.config.listening import TlsSettings
from wsgw.errors import ConfigError
from wsgw.process.watch import Watch
from wsgw.tasks import NoThread, end, in_thread

log = logging.getLogger("wsgw.server")

Looks = tuple[Look | None, Look | None]


class Certificates:
    """``context`` is the one for new connections, ``current`` its certificate. The constructor raises ConfigError.

    A context that is in use is never changed: certificate and key could not be in one step. Nor does a callback choose
    it in handshakes, which Python has with names in ASCII only; for others it prints where it stands.
    """

    def __init__(self, tls: TlsSettings) -> None:
        self._tls = tls
        # looked at before it is read: what changes meanwhile is read again
        self._watch = Watch(_look(tls), lambda: _look(tls), "looking at the certificate")
        try:
            self.context, self.current = _read(tls)
        except BadCertificateError as error:
            raise ConfigError(f"tls.{error.key}: {error}") from None
        self._task: asyncio.Task[None] | None = None
        _tell("TLS", self.current)

    def request(self) -> None:
        """Read it again, whether it has changed or not."""
        self._watch.request()

    def start(self) -> None:
        """Look after the files from now on; needs the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="reading the certificate again")

    async def stop(self) -> None:
        """Read nothing any more."""
        if self._task is not None:
            await end(self._task)

    # -- inside

    async def _run(self) -> None:
        while True:
            await self._watch.due()
            seen = self._watch.seen
            try:
                seen = await self._watch.look()
                self.context, self.current = await in_thread(partial(_read, self._tls), "reading the certificate")
            except NoThread as error:
                log.error("certificate not read again, the one before stays until there is a thread for it: %s", error)
                await self._watch.later()
                continue
            except BadCertificateError as error:
                log.error("certificate not read again, the one before stays: tls.%s: %s", error.key, error)
            except Exception:  # whatever it is, the gateway goes on
                log.exception("certificate not read again, the one before stays: a fault")
            else:
                _tell("TLS: certificate read again", self.current)
            self._watch.read(seen)


def _look(tls: TlsSettings) -> Looks:
    return look(tls.certificate_file), look(tls.key_file)


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # a client could have us sign without end
    # all that are left are good, and clients know which one is fast for them: AES where there are instructions for it
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    return context


def _read(tls: TlsSettings) -> tuple[ssl.SSLContext, Certificate]:
    """Raises BadCertificateError."""
    certificate = certificate_of(tls)
    context = _new_context()
    try:
        context.load_cert_chain(tls.certificate_file, tls.key_file, password=_no_password)
    except (OSError, ValueError) as error:  # SSLError is an OSError: too small a key, say
        reason = (error.reason or "not taken") if isinstance(error, ssl.SSLError) else str(error)
        text = reason.lower().replace("_", " ")
        raise BadCertificateError("certificate_file", f"{tls.certificate_file}: {text}") from None
    return context, certificate


def _no_password() -> str:
    raise ValueError("the key is encrypted")  # else it were asked for on the terminal


def _tell(what: str, certificate: Certificate) -> None:
    if certificate.ends <= datetime.now(UTC):
        log.warning("%s: %s: it has expired, and clients will refuse it", what, certificate)
    else:
        log.info("%s: %s", what, certificate)
