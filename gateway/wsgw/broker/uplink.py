"""A connection to NATS that is always being had or made again, and is left for another one before its server goes."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

from wsgw.backoff import Backoff
from wsgw.broker.connection import NatsConnection
from wsgw.broker.handover import Handover
from wsgw.broker.info import DEFAULT_MAX_PAYLOAD_BYTES
from wsgw.broker.refusal import NeedsChange
from wsgw.broker.renewal import renewed
from wsgw.broker.requests import new_inbox
from wsgw.broker.servers import Servers, address_of, masked
from wsgw.broker.subscription import Credentials
from wsgw.errors import GatewayError, WsgwError
from wsgw.fanout.turn import Turn
from wsgw.metrics import Metrics
from wsgw.shares.repeats import Repeats
from wsgw.tasks import end

log = logging.getLogger("wsgw.nats")

CONNECT_TIMEOUT_SECONDS = 2.0
BACKOFF_SECONDS = (0.05, 2.0)
#: A connection that lasted as long was a good one; after a shorter one the back-off goes on, and another server's is
#: the next turn.
STEADY_SECONDS = 5.0
#: Servers that are remembered because they go.
MOST_GOING = 100


class NatsUnreachable(WsgwError):
    """No configured NATS server could be connected to, and waiting was not wanted."""


class Uplink:
    """``servers`` are URLs, tried in turn for ever with back-off. The subclass says what ``_settled`` does."""

    def __init__(
        self, servers: Sequence[str], metrics: Metrics, credentials: Credentials, name: str, inbox_prefix: str
    ) -> None:
        self._servers = Servers(servers)
        self._credentials = credentials
        self._name = name
        self._inbox_prefix = inbox_prefix
        self._metrics = metrics
        self._repeats = Repeats(log)  # of what servers say
        self._states = Repeats(log)  # of how the connection is
        self._connection: NatsConnection | None = None
        self._handover: Handover | None = None  # from a connection that is left before its server goes
        self._leaving: asyncio.Task[None] | None = None  # the end of it
        self._going: deque[str] = deque(maxlen=MOST_GOING)  # servers that said that they go, by their ids
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        #: connections there were, with that of now; without those that another one was left for in time
        self.connects = 0
        self._url = ""  # connected to now or last
        self._told_connected = False  # the log
        self._max_payload_bytes = DEFAULT_MAX_PAYLOAD_BYTES
        #: what NATS sends is delivered within runs of it
        self.turn = Turn(asyncio.get_running_loop().call_soon)

    @property
    def connected(self) -> bool:
        """Whether there is a connection, and NATS answers on it."""
        return self._connection is not None and not self._connection.lost.done()

    @property
    def max_payload_bytes(self) -> int:
        """``max_payload`` of the server connected to now, as it says it now, or last."""
        return self._max_payload_bytes if self._connection is None else self._connection.max_payload_bytes

    async def start(self, *, wait: bool = True) -> None:
        """Begin connecting. With ``wait`` false one round over the servers must succeed, else NatsUnreachable."""
        if not wait:
            try:
                await self._connect_any()
            except OSError as error:
                raise NatsUnreachable(str(error)) from None
        self._task = asyncio.get_running_loop().create_task(self._run(), name="nats: keeping a connection")

    async def stop(self, timeout_seconds: float) -> None:
        """Wait for what is in flight to be confirmed, for at most ``timeout_seconds``, and disconnect."""
        connection = self._connection
        try:
            async with asyncio.timeout(timeout_seconds):  # wait_for can swallow a cancellation (3.11)
                await asyncio.gather(*[each.barrier() for each in self._connections()])
        except (TimeoutError, GatewayError) as error:
            log.warning("nats: not everything in flight was confirmed: %s", str(error) or "no answer in time")
        for task in (self._task, self._leaving):
            if task is not None:
                await end(task)
        for each in {connection, self._connection}:  # there may be a new one: the task was slow to end
            if each is not None:
                self._forget_connection()
                await each.close("the gateway stopped")

    async def wait_connected(self) -> None:
        """Returns as soon as there is a connection."""
        await self._connected.wait()

    @property
    def inbox_prefix(self) -> str:
        """What the subjects begin with on which NATS answers."""
        return self._inbox_prefix

    def lost(self) -> asyncio.Future[str] | None:
        """Done when the connection there is now is lost; None when there is none. Not to be cancelled.

        Where it is left for another one before it is lost, that one's loss counts.
        """
        return None if self._connection is None else self._connection.lost

    def hold(self) -> None:
        """Read nothing from this connection to NATS until ``release``; to be said again when there may be another."""
        for connection in self._connections():
            connection.hold()

    def release(self) -> None:
        """Undo ``hold``; harmless without it."""
        for connection in self._connections():
            connection.release()

    def new_inbox(self) -> str:
        """A subject that nobody can guess, on which NATS may answer the gateway; further tokens can follow it."""
        return new_inbox(self._inbox_prefix)

    # -- for the subclass

    def _settled(self) -> None:
        """Some of what was in flight is settled."""

    def _connections(self) -> list[NatsConnection]:
        """That which is used, and that which is being left."""
        if self._connection is None:
            return []
        if self._handover is None or self._handover.old is self._connection:
            return [self._connection]
        return [self._connection, self._handover.old]

    # -- inside

    async def _run(self) -> None:
        backoff = Backoff(*BACKOFF_SECONDS)
        while True:
            if self._connection is None:
                try:
                    await self._connect_any()
                except Exception as error:
                    unexpected = None if isinstance(error, OSError) else error
                    self._states.say(_level(error), f"nats: waiting for NATS: {error}", error=unexpected)
                    await asyncio.sleep(backoff.next())
                    continue
            connection = self._connection
            assert connection is not None
            await _either(connection, STEADY_SECONDS)
            steady = not connection.lost.done()
            if steady and not connection.leaving.done():
                backoff.reset()
                self._states = Repeats(log)  # the next time it is another one, and said at once
                if not self._told_connected:
                    log.info("nats: Connected to %s for %g s now", masked(self._url), STEADY_SECONDS)
                await self._while_good(connection)
            if not connection.lost.done() and await self._move(connection):
                continue
            reason = connection.lost.result()
            self._forget_connection()
            self._states.say(logging.WARNING, f"nats: connection lost: {reason}")
            self._servers.discovered(connection.discovered(), connection.known_as)
            await connection.close()
            if not steady:
                self._servers.put_last(self._url)
                await asyncio.sleep(backoff.next())

    async def _connect_any(self) -> None:
        self._adopt(*await self._open_any())

    async def _open_any(self, leaving: NatsConnection | None = None) -> tuple[NatsConnection, str]:
        """A connection to one of the servers, and its URL; to none that goes, where one is ``leaving``.

        Raises OSError, NeedsChange where that is why one of them cannot be had.
        """
        reasons = []
        permanent = []
        for url in self._servers:
            if leaving is not None and address_of(url) == address_of(self._url):
                continue
            connection = NatsConnection(self._settled, self.turn, self._repeats, self._inbox_prefix)
            try:
                known_as = self._servers.known_as(url)
                await connection.open(url, self._credentials, self._name, CONNECT_TIMEOUT_SECONDS, known_as)
            except OSError as error:
                reasons.append(f"{masked(url)}: {error}")
                if isinstance(error, NeedsChange):
                    permanent.append(reasons[-1])
                self._servers.put_last(url)
                continue
            if leaving is None or not (connection.leaving.done() or connection.server_id in self._going):
                if permanent:  # else nobody hears of it until this one is away
                    self._states.say(logging.WARNING, f"nats: another server is used: {'; '.join(permanent)}")
                return connection, url
            await connection.close()
            reasons.append(f"{masked(url)}: it goes, too")
        raise (NeedsChange if permanent else OSError)("; ".join(reasons) or "no other server is known")

    def _adopt(self, connection: NatsConnection, url: str) -> None:
        """``connection``, to ``url``, is the one that is used from now on."""
        if self.connects:
            self._metrics.nats_reconnects.inc()
        if self._connection is None:
            self.connects += 1
        self._connection = connection
        self._url = url
        self._connected.set()
        self._metrics.nats_connected.set(1)
        self._told_connected = self._states.say(logging.INFO, f"nats: Connected to {masked(url)}")

    async def _while_good(self, connection: NatsConnection) -> None:
        """Returns when it is lost, its server says that it goes, or there is a JWT for after its own."""
        path = self._credentials.credentials_file
        if path is None or connection.ends is None:
            await _either(connection)
            return
        next_jwt = asyncio.get_running_loop().create_task(renewed(path, connection.ends), name="nats: the next JWT")
        try:
            await _either(connection, None, next_jwt)
        finally:
            await end(next_jwt)

    async def _move(self, old: NatsConnection) -> bool:
        """``old`` is about to end: whether it could be left for another one. Returns with that, or its loss."""
        goes = old.leaving.done()
        if goes:
            self._states.say(logging.WARNING, f"nats: {masked(self._url)} goes soon (lame duck mode)")
            if old.server_id:
                self._going.append(old.server_id)
        else:
            self._states.say(logging.INFO, "nats: connecting anew with the next JWT: this one's ends soon")
        if self._leaving is not None:
            either: set[asyncio.Future[Any]] = {self._leaving, old.lost}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        backoff = Backoff(*BACKOFF_SECONDS)
        while not old.lost.done():
            self._servers.discovered(old.discovered(), old.known_as)
            try:
                new, url = await self._open_any(old if goes else None)
            except OSError as error:
                what = "server" if goes else "connection"
                self._states.say(_level(error), f"nats: no other {what} can be had: {error}")
                await asyncio.wait({old.lost}, timeout=backoff.next())
                continue
            if await self._hand_over(old, new, url):
                return True
        return False

    async def _hand_over(self, old: NatsConnection, new: NatsConnection, url: str) -> bool:
        """Whether ``new`` is used now."""
        handover = self._handover = Handover(old, new, self._inbox_prefix)
        try:
            if await handover.prepare():
                handover.switch()
                self._adopt(new, url)
                self._leaving = asyncio.get_running_loop().create_task(self._leave(handover), name="nats: leaving")
                return True
        except BaseException:
            await new.close()
            raise
        self._handover = None
        if new.lost.done() or not old.lost.done():
            await new.close()
            return False
        self._forget_connection()  # the old one went earlier than it said
        self._states.say(logging.WARNING, f"nats: connection lost: {old.lost.result()}")
        await old.close()
        self._adopt(new, url)
        return True

    async def _leave(self, handover: Handover) -> None:
        try:
            await handover.finish()
        finally:
            if self._handover is handover:
                self._handover = None

    def _forget_connection(self) -> None:
        self._max_payload_bytes = self.max_payload_bytes
        self._connection = None
        self._connected.clear()
        self._metrics.nats_connected.set(0)


def _level(error: Exception) -> int:
    """Of the log: whether it goes by itself, maybe, or somebody has to change something."""
    return logging.ERROR if isinstance(error, NeedsChange) else logging.WARNING


async def _either(
    connection: NatsConnection, timeout_seconds: float | None = None, *others: asyncio.Future[Any]
) -> None:
    """Returns when it is lost, or its server says that it goes, or one of ``others`` is done."""
    either: set[asyncio.Future[Any]] = {connection.lost, connection.leaving, *others}
    await asyncio.wait(either, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
