"""Connecting to a NATS server: nats-py's part in it. What it would do afterwards is ``client``'s.

The private parts used here are guarded by tests/unit/test_pins.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import Error

from wsgw.broker.info import ServerInfo
from wsgw.broker.proof import Proof, read_proof
from wsgw.broker.refusal import NeedsChange, refusal_of
from wsgw.broker.subscription import Credentials
from wsgw.tasks import within

#: What connecting may take beyond its timeout, which nats-py applies to each of its steps.
CONNECT_GRACE_SECONDS = 1.0
#: Of a server that waits for TLS, maybe; and of one that did not wait for it.
SILENT = "the server said nothing; where it has handshake_first, nats.tls.handshake_first is needed"
SILENT_FIRST = "the server said nothing; nats.tls.handshake_first is for those that have handshake_first"


class Handshake(Client):
    """The library's client up to the answer to its first PING; ``on_error`` gets what it meets on the way."""

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        super().__init__()
        self._on_error = on_error
        self._credentials = Credentials()
        self._proof = Proof()
        self._greeted = False
        self.info = ServerInfo()

    @property
    def ends(self) -> datetime | None:
        """When the JWT ends that was shown, and with it the connection; None where it has no end."""
        identity = self._proof.identity
        return None if identity is None else identity.term.ends

    async def run(
        self, server: str, credentials: Credentials, name: str, timeout_seconds: float, known_as: str = ""
    ) -> TcpTransport:
        """Connect to the URL ``server``, once, and hand the connection over; raises OSError, nats.errors.Error and
        whatever a strange answer leads to, after about ``timeout_seconds`` at most TimeoutError.

        NeedsChange where trying again does not help. See ``NatsConnection.open`` for ``known_as``.
        """
        self._credentials = credentials
        connecting = self._connect(server, name, timeout_seconds, known_as)
        try:
            await within(timeout_seconds + CONNECT_GRACE_SECONDS, connecting, "nats: connecting")
            tcp, self._transport = self._transport, None
        except Exception as error:
            raise self._explained(error) from None
        finally:
            self._drop()
        assert isinstance(tcp, TcpTransport)
        return tcp

    async def _connect(self, server: str, name: str, timeout_seconds: float, known_as: str) -> None:
        credentials = self._credentials
        self._proof = await read_proof(credentials, urlsplit(server).scheme)
        identity = self._proof.identity
        if identity is not None and identity.jwt is None:
            self._public_nkey = identity.public_key
        await self.connect(
            servers=[server],
            name=name,
            user=credentials.user,
            password=credentials.password,
            token=credentials.token,
            tls=self._proof.context,
            tls_hostname=known_as or None,
            tls_handshake_first=credentials.tls is not None and credentials.tls.handshake_first,
            signature_cb=None if identity is None else identity.signed,
            user_jwt_cb=None if identity is None or identity.jwt is None else identity.jwt.encode,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=timeout_seconds,  # type: ignore[arg-type]  # nats-py takes any number
            error_cb=self._error,
        )

    def _drop(self) -> None:
        """Close what was not handed over, and leave no work to the collector."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
        self._transport = None
        del self._ps, self._error_cb, self._on_error
        self._signature_cb = self._user_jwt_cb = None
        self._reading_task = self._ping_interval_task = self._flusher_task = None

    async def _error(self, error: Exception) -> None:
        self._on_error(self._explained(error))

    def _explained(self, error: Exception) -> Exception:
        """``error``, or what tells more of it."""
        reader = getattr(self._transport, "_io_reader", None)
        if reader is not None and isinstance(error, OSError):  # who writes hears of a loss, not of its reason
            error = reader.exception() or error
        credentials, proof = self._credentials, self._proof
        refusal = refusal_of(error, credentials, proof.overdue)
        if refusal is not None:
            return refusal
        silent = reader is not None and not self._greeted and isinstance(error, (TimeoutError, Error))
        if silent and proof.context is not None:
            first = credentials.tls is not None and credentials.tls.handshake_first
            return OSError(SILENT_FIRST if first else SILENT)
        return error

    # -- the library's

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        self._greeted = True
        try:
            self.info = ServerInfo.of(info)
        except ValueError as error:
            raise Error(f"the server sends {error}") from None
        if self._proof.context is not None and info.get("tls_available"):
            info["tls_required"] = True  # the library asks for no other; ``info`` is what it looks at
        identity = self._proof.identity
        if identity is not None and info.get("auth_required") and "nonce" not in info:
            raise NeedsChange("the server asks for a user and password or a token, not for an nkey or a JWT")

    def _connect_command(self) -> bytes:
        # the library speaks plain TCP to a server that does not ask for TLS, whatever was wanted; this is the last
        # moment before the credentials are sent
        if self._proof.context is not None and not self._is_secure():
            who = "the URL asks" if self._credentials.tls is None else "nats.tls asks"
            raise NeedsChange(f"{who} for TLS but the server does not offer it")
        return super()._connect_command()

    def _is_secure(self) -> bool:
        writer = getattr(self._transport, "_io_writer", None)
        return writer is not None and writer.get_extra_info("ssl_object") is not None

    async def _read_loop(self) -> None:
        """Nothing, as the next two: there is nothing to do when the connection is made."""

    async def _ping_interval(self) -> None:
        pass

    async def _flusher(self) -> None:
        pass
