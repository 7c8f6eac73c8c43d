"""Publishing to streams: a message counts as accepted when its stream says that it is stored, and where (a PubAck).

All messages of a connection are answered on one inbox of it, each on a token of its own that nobody can guess: who
could would say "stored" in the stream's name. Every message has an id (Nats-Msg-Id), by which the stream knows it when
it is sent again: after silence, where there was nobody to take it (an election), and on a new connection. Of messages
that are on the wire at the same time one that is sent again comes behind others: their order is the stream's.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby

from wsgw.broker.broker import Broker
from wsgw.broker.headers import HeaderBlock
from wsgw.broker.lane import Call, Lane, Message
from wsgw.broker.puback import NotNow, Receipt, Stored, StoredOutcome, id_problem, parse
from wsgw.broker.subscription import NatsSubscription
from wsgw.broker.writing import unavailable
from wsgw.channels.durable import Durable
from wsgw.channels.table import too_large
from wsgw.errors import BAD_REQUEST, FORBIDDEN, MAYBE_STORED, NATS_UNAVAILABLE, NOT_STORED, GatewayError
from wsgw.fanout.publication import Publication

#: How long a client waits for a word. Where a stream's leader dies the others wait 4 to 9 seconds before they elect
#: another (nats-server, ``raft.go``); who asks over HTTP rarely waits for less than half a minute. A stream's
#: ``duplicate_window`` must be longer.
DEADLINE_SECONDS = 10.0
#: How often it is looked whether something is to be sent again, or is over, while something waits.
TICK_SECONDS = 0.05
#: Random bytes of a token. It is the id as well where the client has none, so that in the 10^7 messages of a stream's
#: window not two are the same.
TOKEN_BYTES = 12
_TOKENS_AT_A_TIME = 256


class Storing:
    """See the module. ``stop`` it before the broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._clock = time.monotonic
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[Durable, Lane] = {}
        self._waiting: dict[str, Message] = {}  # on the wire, by token, in order
        self._tokens: list[str] = []
        self._inbox: NatsSubscription | None = None
        self._prefix = ""
        self._lost: asyncio.Future[str] | None = None  # of the connection that the inbox is on
        self._timer: asyncio.TimerHandle | None = None
        self._messages = 0  # queued or on the wire, with those that are done in this tick
        self._done_messages = 0
        self._done_bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopped = False

    def publish(
        self,
        durable: Durable,
        subject: str,
        payloads: Sequence[bytes],
        outcome: StoredOutcome,
        ids: Sequence[str | None] = (),
        id_prefix: str = "",
        headers: HeaderBlock | None = None,
    ) -> None:
        """Have ``payloads`` stored in order of calls; ``ids`` are theirs, where clients gave some.

        Each goes with ``headers``. The stream knows a message by ``id_prefix`` with the client's id behind it.

        ``outcome`` is told once, within DEADLINE_SECONDS. At once, of all: nats_unavailable without a connection (what
        is on its way when one is lost is sent again on the next one), overloaded above twice the broker's limits. Of
        each: Stored; too_large, stream_full, forbidden, bad_request (its id), not_stored, where it is not; maybe_stored
        where that is unknown.
        """
        if self._stopped or not self._hear():
            outcome(unavailable())
            return
        full = self._broker.why_full()
        if full is not None:
            outcome(full)
            return
        lane = self._lanes.get(durable)
        if lane is None:
            lane = self._lanes[durable] = Lane(durable)
        now = self._clock()
        deadline = now + DEADLINE_SECONDS
        call = Call(len(payloads), outcome)
        headers_lines = b"" if headers is None else headers.lines
        count = size = 0
        for index, payload in enumerate(payloads):
            id = ids[index] if ids else None
            problem = None if id is None else id_problem(id)
            if problem is not None:
                call.tell(index, GatewayError(BAD_REQUEST, problem))
                continue
            token = self._token()
            id = token if id is None else id_prefix + id
            lane.queue.append(Message(lane, subject, payload, token, id, deadline, call, index, headers_lines))
            count += 1
            size += len(payload)
        if count:
            self._idle.clear()
            self._messages += count
            if self._timer is None:
                self._timer = self._loop.call_later(TICK_SECONDS, self._tick)
            self._fill(lane, now)
            self._broker.keep(count, size)

    async def stop(self, timeout_seconds: float) -> None:
        """Wait for what waits, for at most ``timeout_seconds``, and take nothing more; the rest is maybe_stored."""
        self._stopped = True
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._idle.wait()
        except TimeoutError:
            for message in self._all():
                self._give_up(message, "the gateway stops")
            self._make_room()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- inside

    def _token(self) -> str:
        if not self._tokens:
            random = os.urandom(TOKEN_BYTES * _TOKENS_AT_A_TIME).hex()
            self._tokens = [random[at : at + 2 * TOKEN_BYTES] for at in range(0, len(random), 2 * TOKEN_BYTES)]
        return self._tokens.pop()

    def _all(self) -> list[Message]:
        return [*self._waiting.values(), *(message for lane in self._lanes.values() for message in lane.queue)]

    def _hear(self) -> bool:
        """Whether there is a connection, with the inbox on it. What was on another is sent again on it, first."""
        lost = self._broker.lost()
        if lost is None or lost.done():
            return False
        if lost is self._lost and self._inbox is not None:
            if not self._inbox.ended.done():
                return True
            if self._inbox.ended.result().kind is not NATS_UNAVAILABLE:  # else it has been left for another connection
                self._deafened(self._inbox)
                return self._hear()  # there may be another already: of who published when told that
        prefix = self._broker.new_inbox()
        try:
            self._inbox = self._broker.listen(f"{prefix}.*", self._replied)
        except GatewayError:
            return False
        self._lost = lost
        self._prefix = prefix
        self._send(list(self._waiting.values()))
        return True

    def _deafened(self, inbox: NatsSubscription) -> None:
        """NATS refuses the inbox: of what was sent nothing will be heard."""
        self._broker.unsubscribe(inbox)
        self._inbox = None
        error = inbox.ended.result()
        why = error.message
        if error.kind is FORBIDDEN:  # its words have the inbox in them
            why = f"NATS does not permit it to subscribe to its inbox ({self._broker.inbox_prefix}.>)"
        for message in list(self._waiting.values()):
            self._give_up(message, f"the gateway cannot hear the stream: {why}")

    def _fill(self, lane: Lane, now: float) -> None:
        """Send what the window has room for."""
        if lane.queue and lane.closed_until <= now:
            taken = lane.take()
            self._waiting.update({message.token: message for message in taken})
            self._send(taken)

    def _send(self, messages: Iterable[Message]) -> None:
        now, most = self._clock(), self._broker.max_payload_bytes
        for subject, several in groupby(messages, _subject):
            run: list[Message] = []
            lines: list[tuple[str, bytes, bytes]] = []
            large: list[tuple[Message, int]] = []
            for message in several:
                block = b"NATS/1.0\r\nNats-Msg-Id: %b\r\n%b\r\n" % (message.id.encode(), message.lines)
                if len(block) + len(message.payload) > most:
                    large.append((message, most - len(block)))
                    continue
                message.repeat_at = now + message.patience_seconds
                message.patience_seconds *= 2
                message.unanswered += 1
                run.append(message)
                lines.append((f"{self._prefix}.{message.token}", block, message.payload))
            if run:
                self._broker.publish_each(subject, lines, partial(self._processed, run))
            for message, room in large:
                self._loop.call_soon(self._settle, message, too_large(len(message.payload), room))

    def _processed(self, run: list[Message], error: GatewayError | None) -> None:
        """NATS had them, which says nothing; or it refuses them all."""
        if error is not None and error.kind is FORBIDDEN:
            for message in run:
                if message.unanswered > 1:
                    self._give_up(message, error.message)
                else:
                    self._settle(message, GatewayError(FORBIDDEN, error.message))

    def _replied(self, reply: Publication) -> None:
        message = self._waiting.get(reply.subject.rpartition(".")[2])
        if message is None:  # too late, or of somebody who makes tokens up
            return
        answer = parse(reply, message.lane.durable.stream)
        if isinstance(answer, NotNow):
            message.lane.refused(message, answer.said, self._clock())
        elif answer is not None:
            if message.id is message.token and isinstance(answer, Stored):
                answer = Stored(answer.sequence)  # it was sent twice by us alone
            self._settle(message, answer)

    def _settle(self, message: Message, receipt: Receipt) -> None:
        """``message``, on the wire, is done; harmless when it is already."""
        if self._waiting.pop(message.token, None) is not None:
            message.lane.left(message, stored=type(receipt) is Stored)
            self._done(message, receipt)

    def _done(self, message: Message, receipt: Receipt) -> None:
        if not self._done_messages:
            self._loop.call_soon(self._make_room)
        self._done_messages += 1
        self._done_bytes += message.size
        message.call.tell(message.index, receipt)

    def _make_room(self) -> None:
        """For others, after what is done in this tick."""
        count, size = self._done_messages, self._done_bytes
        self._done_messages = self._done_bytes = 0
        self._messages -= count
        if not self._messages:
            self._idle.set()
        if count:
            self._broker.keep(-count, -size)
        if self._messages and self._hear():
            self._fill_all(self._clock())

    def _fill_all(self, now: float) -> None:
        for lane in list(self._lanes.values()):
            self._fill(lane, now)

    def _give_up(self, message: Message, why: str) -> None:
        stream = message.lane.durable.stream
        if message.unanswered > 0:
            error = GatewayError(MAYBE_STORED, f"unknown whether the stream {stream!r} has stored it: {why}")
        else:
            error = GatewayError(NOT_STORED, f"the stream {stream!r} has not stored it: {message.said or why}")
        if message.token in self._waiting:
            self._settle(message, error)
        elif message in message.lane.queue:
            message.lane.queue.remove(message)
            self._done(message, error)

    def _tick(self) -> None:
        self._timer = None
        now = self._clock()
        heard = self._hear()
        over = [message for message in self._waiting.values() if message.deadline <= now]
        for lane in self._lanes.values():
            for message in lane.queue:
                if message.deadline > now:
                    break
                over.append(message)
        for message in over:
            what = "no word of it" if message.unanswered else "its turn did not come"
            self._give_up(message, f"{what} within {DEADLINE_SECONDS:g} s")
        if heard:
            self._send([message for message in self._waiting.values() if message.repeat_at <= now])
            self._fill_all(now)
        if self._messages and self._timer is None:
            self._timer = self._loop.call_later(TICK_SECONDS, self._tick)


def _subject(message: Message) -> str:
    return message.subject
