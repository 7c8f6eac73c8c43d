"""How a durable bridge has its stream's messages: by one consumer at a time, which is watched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from wsgw.bridges.base import STEADY_SECONDS, Keeper
from wsgw.bridges.consumer import ConsumerInbox
from wsgw.broker.broker import Broker
from wsgw.broker.jetstream import HEARTBEAT_SECONDS, JetStream, StreamInfo
from wsgw.broker.reads import StreamReads
from wsgw.channels.channel import Channel
from wsgw.errors import FORBIDDEN, STREAM_UNAVAILABLE, GatewayError
from wsgw.fanout.publication import Publication

#: A consumer that was not heard for as long is looked for, and made again where it does not answer.
SILENCE_SECONDS = 2.5 * HEARTBEAT_SECONDS


class Intake:
    """For ``channel``, whose ``keeper`` is told when all is well; ``deliver`` is that of ``ConsumerInbox``."""

    def __init__(
        self,
        channel: Channel,
        broker: Broker,
        streams: JetStream,
        reads: StreamReads,
        keeper: Keeper,
        deliver: Callable[[Publication, int, int, int], None],
    ) -> None:
        assert channel.durable is not None
        self._durable = channel.durable
        self._subject = channel.subject
        self._broker = broker
        self._streams = streams
        self._reads = reads
        self._keeper = keeper
        self._deliver = deliver
        self._broken: asyncio.Future[str | GatewayError] | None = None  # the consumer, while there is one
        self._proven = self._was_proven = False  # on this connection, and ever: see ``_prove``
        self._doubtful = False  # whether a consumer that can be made works

    def begin(self) -> None:
        """There is another connection to NATS."""
        self._proven = False

    def interrupt(self, reason: str | GatewayError) -> None:
        """End the consumer that there is, if any."""
        if self._broken is not None and not self._broken.done():
            self._broken.set_result(reason)

    async def take(self, info: StreamInfo, first: int, lost: asyncio.Future[str]) -> str:
        """Take what a consumer brings, from the sequence ``first`` on, until it breaks; why it did.

        ``lost`` is that of the connection. Raises GatewayError where there can be no consumer, or it cannot work.
        """
        broken = self._broken = asyncio.get_running_loop().create_future()
        inbox = self._broker.new_inbox()
        consumer = ConsumerInbox(inbox, self._deliver, self.interrupt, self._answer)
        subscription = await self._broker.subscribe(inbox, consumer)
        subscription.ended.add_done_callback(lambda ended: self.interrupt(ended.result().message))
        name = ""
        try:
            name = await self._streams.create_consumer(info.name, self._subject, inbox, first)
            await self._prove(info, name)
            if not self._doubtful:
                self._keeper.subscribed()
            await self._watch(consumer, broken, lost)
            reason = broken.result() if broken.done() else "it was not heard any more"
            if isinstance(reason, GatewayError):
                raise reason
            return reason
        finally:
            self._broken = None
            consumer.stop()
            self._broker.unsubscribe(subscription)
            if name and not lost.done():
                with suppress(GatewayError):
                    await self._streams.delete_consumer(info.name, name)

    # -- inside

    async def _prove(self, info: StreamInfo, consumer: str) -> None:
        """That the gateway may do what it will have to later, for clients that are behind, or when much comes.

        Raises GatewayError, which names the right. It is looked at once a connection.
        """
        if self._proven:
            return
        try:
            await self._streams.prove_flow_control(info.name, consumer)
            await self._reads.prove(info, self._subject)
        except GatewayError as error:
            if error.kind is FORBIDDEN or not self._was_proven:
                raise
            return  # it could; an election, say
        self._proven = self._was_proven = True

    async def _watch(
        self, consumer: ConsumerInbox, broken: asyncio.Future[str | GatewayError], lost: asyncio.Future[str]
    ) -> None:
        """Returns when it is broken, the connection is lost, or it says nothing any more; raises as ``_doubt`` says."""
        either: set[asyncio.Future[Any]] = {broken, lost}
        steady = 0.0
        heard = False  # at all
        while True:
            stalled_at = consumer.delivered if consumer.stalled else -1
            consumer.heard = False
            done, _ = await asyncio.wait(either, timeout=SILENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return
            if not consumer.heard or consumer.stalled:
                with suppress(GatewayError):
                    await self._broker.barrier()  # what NATS had sent has been read by then
            if not consumer.heard:
                if not heard and self._durable.api_prefix is not None:
                    inboxes = f"{self._broker.inbox_prefix}.>"
                    raise self._doubt(
                        f"nothing of it comes; does its account export {inboxes}, and this one import it?"
                    )
                return
            heard = True
            if consumer.stalled and consumer.delivered == stalled_at:
                raise self._doubt(f"it hears no answers of the gateway, which go to {consumer.stalled}")
            if self._doubtful and not consumer.stalled:
                self._doubtful = False
                self._keeper.subscribed()
            steady += SILENCE_SECONDS
            if steady >= STEADY_SECONDS:
                self._keeper.backoff.reset()

    def _doubt(self, why: str) -> GatewayError:
        """The error of a consumer that was made, but does not work: the next one has to show that it does."""
        self._doubtful = True
        return GatewayError(STREAM_UNAVAILABLE, f"a consumer of stream {self._durable.stream}: {why}")

    def _answer(self, subject: str) -> None:
        self._broker.publish(subject, [b""], self._answered)

    def _answered(self, error: GatewayError | None) -> None:
        if error is not None and error.kind is FORBIDDEN:
            self.interrupt(error)  # it would send nothing more
