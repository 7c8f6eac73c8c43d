"""nats-py's client with two short cuts: messages are handed over as they are read, publishes are written as one piece.

The library puts each message into a queue and runs a task per subscription. Without them a message costs a fraction,
one connection's messages come in the order NATS sent them whatever their subscriptions, and there is no queue that
could overflow: a gateway that is too slow is held by TCP. The private parts used here are guarded by
tests/unit/test_pins.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error

from wsgw.broker.parser import Deliver, DirectParser
from wsgw.broker.refusal import Refusal


class DirectClient(Client):
    """See the module."""

    def __init__(
        self, on_close: Callable[[], None] = lambda: None, on_refusal: Callable[[Refusal], None] = lambda refusal: None
    ) -> None:
        super().__init__()
        self._on_close = on_close
        self._ps: DirectParser = DirectParser(self, on_refusal)

    async def listen(self, subject: str, deliver: Deliver) -> Subscription:
        """Subscribe; what comes goes to ``deliver`` from within the read loop. End it by ``unlisten``."""
        sid = self._sid + 1
        self._ps.direct[b"%d" % sid] = deliver
        # a subscription with a future has no queue and no task
        subscription = await self.subscribe(subject, future=asyncio.get_running_loop().create_future())
        assert subscription._id == sid
        return subscription

    async def unlisten(self, subscription: Subscription) -> None:
        """Undo ``listen``; nothing is delivered after the call has begun."""
        self._ps.direct.pop(b"%d" % subscription._id, None)
        await subscription.unsubscribe()

    def write(self, lines: bytes) -> None:
        """Send protocol lines behind everything sent before. Never waits: the caller bounds what it has out."""
        self._pending.append(lines)
        self._pending_data_size += len(lines)
        kicks = self._flush_queue
        assert kicks is not None, "not connected yet"
        if kicks.empty():
            kicks.put_nowait(asyncio.get_running_loop().create_future())

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        self._on_close()  # now: the rest may wait for a server that does not read, and fail
        # all of it has been reported as unconfirmed; the library would write it to a socket that may be dead
        self._pending = []
        self._pending_data_size = 0
        await super()._close(status, do_cbs)

    def _connect_command(self) -> bytes:
        # the library speaks plain TCP to a server that does not ask for TLS, whatever the URL says; this is the last
        # moment before the credentials are sent
        assert self._current_server is not None, "not connected"
        if self._current_server.uri.scheme == "tls" and not self._server_info.get("tls_required"):
            raise Error("the URL asks for TLS but the server does not offer it")
        return super()._connect_command()
