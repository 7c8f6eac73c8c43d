"""Reads of the messages of a stream: in batches where it allows Direct Get (ADR-31), else one after the other.

Of a batch there are as many answers as messages. Where JetStream is another account's, the export says how many an
importer gets: one, unless it has ``response: stream``.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from wsgw.broker.broker import Broker
from wsgw.broker.delivery import FullPublication
from wsgw.broker.jetstream import API_TIMEOUT_SECONDS, JetStream, StreamInfo
from wsgw.broker.requests import NO_RESPONDERS_STATUS
from wsgw.errors import STREAM_UNAVAILABLE, GatewayError
from wsgw.fanout.publication import Publication

log = logging.getLogger("wsgw.nats")

#: Messages, and bytes, of one read.
READ_MESSAGES, READ_BYTES = 512, 1024 * 1024
#: Of a read of one after the other: each costs what a request costs.
SINGLY_SECONDS = 0.1
#: A batch of which nothing came for so long is looked at: is that all that comes?
SILENCE_SECONDS = 1.0
#: Where batches do not come whole they are not asked for again for so long.
SINGLY_FOR_SECONDS = 60.0

_NO_MESSAGE = 10037
_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of a stream, read: its ``publication`` is as it came, ``stored_at_ns`` since 1970."""

    publication: Publication
    sequence: int
    stored_at_ns: int


class _Batch:
    """What comes of one question; ``over`` is done when nothing more does, and fails where it was refused."""

    def __init__(self, verb: str, streams: JetStream) -> None:
        self._verb = verb
        self._streams = streams
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.found: list[StoredMessage] = []
        self._pending = 0  # still to come, as the newest one says

    @property
    def is_cut(self) -> bool:
        """Whether it is as it would be where one answer comes through, and no more."""
        return len(self.found) == 1 and self._pending > 0

    def deliver(self, publication: Publication) -> None:
        """One answer."""
        if self.over.done():
            return
        headers = publication.headers
        if headers.status is not None:  # the end of the batch, nothing found, or nobody there
            nobody = headers.status == NO_RESPONDERS_STATUS
            self.end(self._streams.nobody(self._verb, "reading a stream") if nobody else None)
            return
        try:
            sequence = int(headers["Nats-Sequence"][0])
            stamp = headers["Nats-Time-Stamp"][0]
            publication.subject = headers["Nats-Subject"][0]
            self.found.append(StoredMessage(publication, sequence, nanoseconds(stamp)))
            self._pending = int(headers["Nats-Num-Pending"][0])
        except (LookupError, ValueError):
            self.end()  # none of JetStream's
            return
        if len(self.found) >= READ_MESSAGES:  # or more than was asked for
            self.end()

    def end(self, error: GatewayError | None = None) -> None:
        """Nothing more comes, because of ``error`` where there is one; harmless when it has ended."""
        if self.over.done():
            return
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)


class StreamReads:
    """By the API of ``streams``. Everything raises GatewayError, as that does."""

    def __init__(self, broker: Broker, streams: JetStream) -> None:
        self._broker = broker
        self._streams = streams
        self._singly_until = 0.0

    async def prove(self, info: StreamInfo, subject: str) -> None:
        """Returns when it is known that the gateway may read the stream; else the error names the right."""
        await self.read_one(info.name, subject, info.last + 1)
        if info.allows_direct:
            await self._read_batch(info.name, subject, info.last + 1)

    async def read(self, info: StreamInfo, subject: str, first: int) -> list[StoredMessage]:
        """Some of the messages of ``subject`` from the sequence ``first`` on, in order; none where there are none.

        An empty answer comes from the stream's leader: a follower may not have them yet.
        """
        loop = asyncio.get_running_loop()
        found: list[StoredMessage] = []
        if info.allows_direct and loop.time() >= self._singly_until:
            with suppress(GatewayError):  # then the leader is asked
                found = await self._read_batch(info.name, subject, first)
            if found:
                return found
        until, size = loop.time() + SINGLY_SECONDS, 0
        while loop.time() < until and len(found) < READ_MESSAGES and size < READ_BYTES:
            one = await self.read_one(info.name, subject, found[-1].sequence + 1 if found else first)
            if one is None:
                break
            found.append(one)
            size += len(one.publication.payload)
        return found

    async def read_one(self, stream: str, subject: str, first: int) -> StoredMessage | None:
        """The first message of ``subject`` from the sequence ``first`` on, of the stream's leader; None without one."""
        request = {"seq": max(1, first), "next_by_subj": subject}
        answer = await self._streams.ask(f"STREAM.MSG.GET.{stream}", request, f"stream {stream}", missing=_NO_MESSAGE)
        return None if answer is None else _stored(answer["message"])

    # -- inside

    async def _read_batch(self, stream: str, subject: str, first: int) -> list[StoredMessage]:
        """By Direct Get; what was there when it broke off."""
        inbox, verb = self._broker.new_inbox(), f"DIRECT.GET.{stream}"
        batch = _Batch(verb, self._streams)
        subscription = await self._broker.subscribe(inbox, batch.deliver)
        subscription.ended.add_done_callback(lambda _: batch.end())
        request = {"seq": max(1, first), "batch": READ_MESSAGES, "max_bytes": READ_BYTES, "next_by_subj": subject}

        def sent(error: GatewayError | None) -> None:
            if error is not None:
                batch.end(error)

        try:
            self._broker.publish(f"{self._streams.api}.{verb}", [orjson.dumps(request)], sent, reply_to=inbox)
            await self._whole(batch)
        finally:
            self._broker.unsubscribe(subscription)
        if batch.over.done():
            batch.over.result()
        elif batch.is_cut:
            self._singly_until = asyncio.get_running_loop().time() + SINGLY_FOR_SECONDS
            log.warning(
                "nats: of a batch of messages of the stream %s only the first came: the export of %s needs "
                "'response: stream'; they are read one after the other, which is slow",
                *(stream, f"{self._streams.api}.{verb}"),
            )
        return batch.found

    async def _whole(self, batch: _Batch) -> None:
        """Returns when ``batch`` is over, or nothing of it comes any more."""
        loop = asyncio.get_running_loop()
        last = loop.time() + API_TIMEOUT_SECONDS
        while not batch.over.done():
            came = len(batch.found)
            await asyncio.wait({batch.over}, timeout=SILENCE_SECONDS)
            if len(batch.found) > came:
                continue
            if came and not batch.over.done():
                await self._broker.barrier()  # what NATS had sent has been read by then
                if len(batch.found) == came:
                    return
            elif loop.time() >= last:
                return  # what came is good; where nothing did, the leader is asked


def nanoseconds(stamp: str) -> int:
    """An RFC 3339 time in UTC, as JetStream writes it, in nanoseconds since 1970; raises ValueError."""
    whole, _, rest = stamp.removesuffix("Z").partition(".")
    moment = datetime.fromisoformat(f"{whole}+00:00")
    return int(moment.timestamp()) * _NANO + int(f"{rest:0<9}"[:9] or 0)


def _stored(message: Mapping[str, Any]) -> StoredMessage:
    """From STREAM.MSG.GET's answer: payload and headers are in base64 there."""
    try:
        payload, block = (base64.b64decode(message.get(key) or "") for key in ("data", "hdrs"))
        publication: Publication
        if block:
            publication = FullPublication(message["subject"], payload, time.monotonic(), b"", block)
        else:
            publication = Publication(message["subject"], payload, time.monotonic())
        return StoredMessage(publication, int(message["seq"]), nanoseconds(message["time"]))
    except (LookupError, TypeError, ValueError) as error:
        raise GatewayError(STREAM_UNAVAILABLE, f"JetStream's answer about a message lacks {error}") from None
