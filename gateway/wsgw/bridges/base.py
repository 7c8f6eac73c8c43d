"""What a bridge is, and what all of them need: a task that goes on for ever, a state, a count."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol

from wsgw.backoff import Backoff
from wsgw.channels.channel import Channel
from wsgw.errors import NATS_UNAVAILABLE, GatewayError
from wsgw.metrics import Metrics
from wsgw.tasks import end

log = logging.getLogger("wsgw.bridge")

BACKOFF_SECONDS = (0.1, 10.0)
#: What NATS took and refuses within this time is no success: the back-off goes on.
STEADY_SECONDS = 5.0

#: Told when NATS refuses the subject that a session is subscribed to.
OnRefused = Callable[[GatewayError], None]


class BridgeState(StrEnum):
    """``starting`` while NATS is away, ``failed`` when NATS refuses the subject or something unforeseen happened."""

    STARTING = "starting"
    SUBSCRIBED = "subscribed"
    FAILED = "failed"


class Bridge(Protocol):
    """The owner of one channel's NATS side."""

    channel: Channel

    @property
    def state(self) -> BridgeState:
        """How it is."""

    @property
    def reason(self) -> str:
        """Why it is not ``subscribed``; empty when it is."""

    def start(self) -> None:
        """Begin; needs a running loop."""

    async def stop(self) -> None:
        """End its tasks; the broker's connection ends the subscriptions."""

    async def retire(self) -> None:
        """As ``stop``, where the connection goes on: it has no interest in NATS, and brings nothing, on return."""

    def change(self, channel: Channel) -> None:
        """Its channel has other options, which no bridge reads."""

    async def forget_idle(self) -> None:
        """Bring nothing for names that nobody is subscribed to: they may belong to another channel by now."""

    def join(self, key: str, refused: OnRefused) -> asyncio.Future[None] | None:
        """A session subscribes to ``key``; what is returned, if anything, is done when NATS' interest is in effect.

        It is done, too, when there can be none now (NATS is away), and it is the session's own, to be cancelled. Raises
        GatewayError (too_many_subjects) at once; ``refused``, which no other session has, is called, before the future
        is done or later, when NATS refuses the subject.
        """

    def leave(self, key: str, refused: OnRefused) -> None:
        """Undo a ``join`` with the same arguments; harmless after a refusal."""


class Keeper:
    """Runs ``serve`` for ever: again after a loss of NATS, with back-off after a refusal or a fault.

    ``serve`` returns, or raises, why it is over: a GatewayError or a fault.
    """

    def __init__(self, channel: Channel, metrics: Metrics, serve: Callable[[], Awaitable[Exception]]) -> None:
        self.channel = channel
        self.state = BridgeState.STARTING
        self.reason = "waiting for NATS"
        #: publications not reported yet: a Counter costs more than all else that a bridge does
        self.received = 0
        self.backoff = Backoff(*BACKOFF_SECONDS)
        self._metrics = metrics
        self._messages = metrics.nats_messages.labels(channel.name)
        self._serve = serve
        self._task: asyncio.Task[None] | None = None
        metrics.on_read.append(self._report)

    def start(self) -> None:
        """See ``Bridge.start``."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"bridge {self.channel.name}")

    async def stop(self) -> None:
        """See ``Bridge.stop``."""
        if self._task is not None:
            await end(self._task)

    def close(self) -> None:
        """Count nothing any more; after ``stop``."""
        self._report()
        self._metrics.on_read.remove(self._report)

    def subscribed(self) -> None:
        """All is well."""
        if self.state is not BridgeState.SUBSCRIBED:
            log.debug("bridge %s: subscribed to %s", self.channel.name, self.channel.subject)
        self.state, self.reason = BridgeState.SUBSCRIBED, ""

    def failed(self, error: Exception) -> None:
        """It is not, because of ``error``: a GatewayError, or a fault."""
        trace: Exception | None = error
        reason = f"a fault: {error!r}"
        if isinstance(error, GatewayError):
            reason, trace = error.message, None
        if (self.state, self.reason) != (BridgeState.FAILED, reason):
            self.state, self.reason = BridgeState.FAILED, reason
            about = self.channel.name, self.channel.subject, reason
            log.error("bridge %s failed, subject %s: %s", *about, exc_info=trace)

    # -- inside

    async def _run(self) -> None:
        while True:
            try:
                error = await self._serve()
            except Exception as fault:  # whatever it is, it must not end the bridge
                error = fault
            if isinstance(error, GatewayError) and error.kind is NATS_UNAVAILABLE:
                self.state, self.reason = BridgeState.STARTING, "waiting for NATS"
            else:
                self.failed(error)
            await asyncio.sleep(self.backoff.next())

    def _report(self) -> None:
        received, self.received = self.received, 0
        self._messages.inc(received)


class KeptBridge:
    """What bridges have in common that a keeper runs: their state, and who joins waits for nothing."""

    def __init__(self, channel: Channel, metrics: Metrics) -> None:
        self.channel = channel
        self._keeper = Keeper(channel, metrics, self._serve)
        self._gaps = metrics.gaps.labels(channel.name)

    @property
    def state(self) -> BridgeState:
        return self._keeper.state

    @property
    def reason(self) -> str:
        return self._keeper.reason

    def start(self) -> None:
        self._keeper.start()

    async def stop(self) -> None:
        await self._keeper.stop()

    async def retire(self) -> None:
        await self.stop()
        self._keeper.close()

    def change(self, channel: Channel) -> None:
        self.channel = self._keeper.channel = channel

    async def forget_idle(self) -> None:
        """There are none."""

    def join(self, key: str, refused: OnRefused) -> asyncio.Future[None] | None:
        return None

    def leave(self, key: str, refused: OnRefused) -> None:
        """Nothing to do."""

    async def _serve(self) -> Exception:
        """See ``Keeper``."""
        raise NotImplementedError
