"""Where a name that clients send to leads: found once for all clients of a transport, so that a message costs little.

So does a refusal: why a name leads nowhere is kept, errors are returned (to raise one costs as much as a message), and
counted in a plain number. Nothing here says who may use a name: that is asked by each session.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Sized
from typing import NamedTuple

from wsgw.broker.broker import Broker
from wsgw.broker.headers import HeaderBlock
from wsgw.broker.puback import PublishOutcome, Receipt
from wsgw.broker.services import check
from wsgw.broker.stored import Storing
from wsgw.channels.channel import Channel, Use
from wsgw.channels.durable import Durable
from wsgw.channels.table import ChannelTable, too_large, wrong_direction
from wsgw.channels.template import id_prefix, name_in
from wsgw.errors import TOO_LARGE, GatewayError, Kind
from wsgw.fanout.publication import Publication
from wsgw.metrics import Metrics, Tally

#: Resolved names that are kept; more (of pattern channels) are resolved anew. And names that lead nowhere, if short.
MAX_OUTLETS = 4096
MAX_REFUSALS, MAX_REFUSED_NAME = 1024, 128
#: Of messages, where NATS alone bounds them: it takes none of 64 MiB.
ANY_SIZE = 2**40
#: Seconds; the loop's own clock has steps of a millisecond.
clock = time.monotonic


class Ways(NamedTuple):
    """What all outlets have in common. Larger messages than ``max_message_bytes`` are not taken of clients."""

    broker: Broker
    storing: Storing
    metrics: Metrics
    failures: Tally
    max_message_bytes: int


class Outlet:
    """One name: the channel it belongs to, its NATS subject, and what is counted of it.

    Without a ``subject`` it is to be ``filled`` first.
    """

    __slots__ = (
        "_accepted",
        "_broker",
        "_durable",
        "_failures",
        "_id_prefix",
        "_max_message_bytes",
        "_request_seconds",
        "_seconds",
        "_storing",
        "channel",
        "name",
        "subject",
        "use",
    )

    def __init__(self, key: str, channel: Channel, subject: str, transport: str, ways: Ways) -> None:
        metrics = ways.metrics
        self.name = name_in(key)
        self.channel = channel
        self.subject = subject
        #: what clients do who send here: PUBLISH or REQUEST
        self.use = Use.PUBLISH if channel.accepts else Use.REQUEST
        self._broker = ways.broker
        self._max_message_bytes = ways.max_message_bytes
        self._durable = channel.durable
        self._storing = ways.storing
        # clients with other claims share the stream, and none is to have others' messages taken for repeats
        self._id_prefix = id_prefix(key) if channel.durable is not None else ""
        self._failures = ways.failures
        self._accepted = metrics.published_messages.labels(channel.name, transport) if channel.accepts else None
        self._seconds = metrics.publish_seconds.labels(channel.name) if channel.accepts else None
        self._request_seconds = metrics.request_seconds.labels(channel.name) if channel.answers else None

    def not_for(self, use: Use, count: int = 1) -> GatewayError | None:
        """Wrong_direction, counted ``count`` times, where ``use`` is not what this is for."""
        return None if self.use is use else self.failed(wrong_direction(self.name, self.channel, use), count)

    @property
    def unchecked_bytes(self) -> int:
        """So large a payload, or a smaller one, needs no ``check``; none does below 0."""
        return min(self._broker.max_payload_bytes, self._max_message_bytes)

    def check(self, payload: Sized, headers_bytes: int = 0) -> None:
        """Raises GatewayError (too_large), and counts it, when ``payload``, or as many bytes, is not taken.

        Of a client, or by NATS; ``headers_bytes`` are those of the headers that it goes with.
        """
        if len(payload) > self._max_message_bytes:
            raise self.too_large(len(payload), headers_bytes)
        self._check_for_nats(payload, headers_bytes)

    def too_large(self, size_bytes: int, headers_bytes: int = 0) -> GatewayError:
        """The error of a payload of so many bytes, counted."""
        most = self._broker.max_payload_bytes - headers_bytes
        if self._max_message_bytes < most:
            message = f"the payload has {size_bytes} bytes, at most {self._max_message_bytes} are taken of a client"
            return self.failed(GatewayError(TOO_LARGE, message))
        return self.failed(too_large(size_bytes, most))

    def publish(
        self,
        payloads: Sequence[bytes],
        outcome: PublishOutcome,
        ids: Sequence[str | None] = (),
        headers: HeaderBlock | None = None,
        *,
        heldable: bool = True,
        giver: str = "",
    ) -> None:
        """Publish ``payloads`` in order, each with ``headers``; ``outcome`` is told once for all of them.

        See ``Broker.publish``.

        On a durable channel with a receipt for each (see ``Storing.publish``), by whose ``ids`` the stream knows them
        again, those of the same ``giver``. Where no stream is, nobody would: there ``ids`` go unsaid.
        """
        if self._durable is not None:
            self._store(self._durable, payloads, outcome, ids, giver, headers)
            return
        started, count = clock(), len(payloads)
        accepted, seconds = self._accepted, self._seconds
        assert accepted is not None
        assert seconds is not None

        def settled(error: GatewayError | None) -> None:
            if error is None:
                accepted.inc(count)  # not of the payloads: they would be kept
                seconds.observe(clock() - started)
            else:
                self.failed(error, count)
            outcome(error)

        self._broker.publish(self.subject, payloads, settled, headers, heldable=heldable)

    def _check_for_nats(self, payload: Sized, headers_bytes: int) -> None:
        if len(payload) + headers_bytes > self._broker.max_payload_bytes:
            raise self.failed(too_large(len(payload), self._broker.max_payload_bytes - headers_bytes))

    def _store(
        self,
        durable: Durable,
        payloads: Sequence[bytes],
        outcome: PublishOutcome,
        ids: Sequence[str | None],
        giver: str,
        headers: HeaderBlock | None,
    ) -> None:
        started = clock()
        accepted, seconds = self._accepted, self._seconds
        assert accepted is not None
        assert seconds is not None

        def settled(result: list[Receipt] | GatewayError) -> None:
            if isinstance(result, GatewayError):
                self.failed(result, len(payloads))
            else:
                errors = [receipt for receipt in result if isinstance(receipt, GatewayError)]
                for error in errors:
                    self.failed(error)
                if len(errors) < len(result):
                    accepted.inc(len(result) - len(errors))
                    seconds.observe(clock() - started)
            outcome(result)

        self._storing.publish(durable, self.subject, payloads, settled, ids, giver + self._id_prefix, headers)

    async def request(self, payload: bytes, headers: HeaderBlock | None = None) -> Publication:
        """The reply to a request; raises GatewayError, and counts it: ServiceError, and see ``Broker.request``."""
        started = clock()
        assert self._request_seconds is not None
        self.check(payload, 0 if headers is None else len(headers.block))
        try:
            reply = await self._broker.request(self.subject, payload, self.channel.timeout_seconds, headers)
            self._request_seconds.observe(clock() - started)
            check(reply)
        except GatewayError as error:
            self.failed(error)
            raise
        return reply

    def failed(self, error: GatewayError, count: int = 1) -> GatewayError:
        """Count ``error`` for ``count`` messages, and return it."""
        self._failures.add(self.channel.name, error.kind.name, count=count)
        return error


class Outlets:
    """The outlets by key and transport."""

    def __init__(
        self,
        channels: ChannelTable,
        broker: Broker,
        storing: Storing,
        metrics: Metrics,
        kind_of: Callable[[Channel], type[Outlet]] = lambda _: Outlet,
        max_message_bytes: int = ANY_SIZE,
    ) -> None:
        """``kind_of`` says of which kind the outlets of a channel are; see ``Ways`` for ``max_message_bytes``."""
        self._channels = channels
        self._kind_of = kind_of
        self._failures = Tally(metrics, metrics.publish_errors)
        self._ways = Ways(broker, storing, metrics, self._failures, max_message_bytes)
        self._found: dict[tuple[str, str], Outlet] = {}  # by name, which clients say
        self._filled: dict[tuple[str, str], Outlet] = {}  # by key, which no client may: it has others' claims
        self._refused: dict[tuple[str, Use], tuple[str, Kind, str]] = {}  # the label, and what makes the error

    def find(self, name: str, transport: str, use: Use = Use.PUBLISH, count: int = 1) -> Outlet | GatewayError:
        """Where ``name`` leads to for who wants to ``use`` it, or an error, which is counted ``count`` times.

        unknown_channel, or wrong_direction where nothing can be sent to it; it may be for the other of PUBLISH and
        REQUEST.
        """
        outlet = self._found.get((name, transport))
        if outlet is not None:
            return outlet
        refused = self._refused.get((name, use))
        if refused is None:
            try:
                channel, subject = self._channels.find_to_send(name, use)
            except GatewayError as error:
                refused = self._refuse(name, use, error)
            else:
                return self._make(self._found, name, channel, subject, transport)
        label, kind, message = refused
        self._failures.add(label, kind.name, count=count)
        return GatewayError(kind, message)

    def filled(self, outlet: Outlet, key: str, transport: str) -> Outlet:
        """Where the name of ``outlet``, whose channel has a template, leads to by ``key``."""
        found = self._filled.get((key, transport))
        if found is not None:
            return found
        channel = outlet.channel
        return self._make(self._filled, key, channel, channel.subject_of(key), transport)

    def failed(self, error: GatewayError) -> GatewayError:
        """Count ``error`` for a message to no channel, and return it."""
        self._failures.add("", error.kind.name)
        return error

    def replace(self, channels: ChannelTable) -> None:
        """From now on names lead to ``channels``; who keeps an outlet is to ask again."""
        self._channels = channels
        self._found.clear()
        self._filled.clear()
        self._refused.clear()

    # -- inside

    def _make(
        self, kept: dict[tuple[str, str], Outlet], key: str, channel: Channel, subject: str, transport: str
    ) -> Outlet:
        if len(kept) >= MAX_OUTLETS:
            kept.clear()
        made = kept[key, transport] = self._kind_of(channel)(key, channel, subject, transport, self._ways)
        return made

    def _refuse(self, name: str, use: Use, error: GatewayError) -> tuple[str, Kind, str]:
        """What is kept of ``error``: itself it would collect the frames of all who raise it."""
        label = next((channel.name for channel in self._channels.meant_by(name)), "")
        refused = label, error.kind, error.message
        if len(name) <= MAX_REFUSED_NAME:
            if len(self._refused) >= MAX_REFUSALS:
                self._refused.clear()
            self._refused[name, use] = refused
        return refused
