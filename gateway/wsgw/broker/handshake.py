"""Connecting to a NATS server: nats-py's part in it. What it would do afterwards is ``client``'s.

The private parts used here are guarded by tests/unit/test_pins.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import Error

from wsgw.broker.info import ServerInfo
from wsgw.broker.subscription import Credentials
from wsgw.tasks import within

#: What connecting may take beyond its timeout, which nats-py applies to each of its steps.
CONNECT_GRACE_SECONDS = 1.0


class Handshake(Client):
    """The library's client up to the answer to its first PING; ``on_error`` gets what it meets on the way."""

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        super().__init__()
        self._on_error = on_error
        self.info = ServerInfo()

    async def run(self, server: str, credentials: Credentials, name: str, timeout_seconds: float) -> TcpTransport:
        """Connect to the URL ``server``, once, and hand the connection over; raises OSError, nats.errors.Error and
        whatever a strange answer leads to, after about ``timeout_seconds`` at most TimeoutError.
        """
        connecting = self.connect(
            servers=[server],
            name=name,
            user=credentials.user,
            password=credentials.password,
            token=credentials.token,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=timeout_seconds,  # type: ignore[arg-type]  # nats-py takes any number
            error_cb=self._error,
        )
        try:
            await within(timeout_seconds + CONNECT_GRACE_SECONDS, connecting, "nats: connecting")
            tcp, self._transport = self._transport, None
            assert isinstance(tcp, TcpTransport)
            return tcp
        finally:
            self._drop()

    def _drop(self) -> None:
        """Close what was not handed over, and leave no work to the collector."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
        self._transport = None
        del self._ps, self._error_cb, self._on_error
        self._reading_task = self._ping_interval_task = self._flusher_task = None

    async def _error(self, error: Exception) -> None:
        self._on_error(error)

    # -- the library's

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        try:
            self.info = ServerInfo.of(info)
        except ValueError as error:
            raise Error(f"the server sends {error}") from None

    def _connect_command(self) -> bytes:
        # the library speaks plain TCP to a server that does not ask for TLS, whatever the URL says; this is the last
        # moment before the credentials are sent
        assert self._current_server is not None, "not connected"
        if self._current_server.uri.scheme == "tls" and not self._server_info.get("tls_required"):
            raise Error("the URL asks for TLS but the server does not offer it")
        return super()._connect_command()

    async def _read_loop(self) -> None:
        """Nothing, as the next two: there is nothing to do when the connection is made."""

    async def _ping_interval(self) -> None:
        pass

    async def _flusher(self) -> None:
        pass
