"""One client of ``/sse``: channels as a stream of server-sent events, which nothing comes back on."""

from __future__ import annotations

import random
from collections.abc import Sequence

from wsgw import closecodes
from wsgw.access.principal import Principal
from wsgw.bridges.place import Coming, Place
from wsgw.core.gateway import Gateway
from wsgw.core.places import Places
from wsgw.core.session import Session
from wsgw.errors import DRAINING, SLOW_CONSUMER, GatewayError, LimitError
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.fanout.sender import Sender
from wsgw.protocols.sse.request import StreamRequest
from wsgw.protocols.sse.wire import (
    HEARTBEAT,
    SSE_CHANNELS_WIRE,
    SSE_ENVELOPE_WIRE,
    SSE_WIRE,
    failure,
    gap,
    position,
    retry,
)
from wsgw.surfaces.sse.heartbeats import QUIET_LOOKS, Heartbeats
from wsgw.transports.openstream import StreamLink

#: How long clients wait before they come back, by chance: those who lost the same gateway must not come at once.
RETRY_MILLISECONDS = (1000, 3000)


class EventStream:
    """Its link's ``OneWayReceiver``, its session's ``SessionClient`` and one of ``Heartbeats``.

    Raises as ``open_session``. A stream of several channels has one position in all of them that are durable.
    """

    __slots__ = ("_ended", "_heartbeats", "_link", "_names", "_places", "_refusal", "_sender", "_session", "_start")

    def __init__(self, gateway: Gateway, principal: Principal, asked: StreamRequest, heartbeats: Heartbeats) -> None:
        self._names = asked.names
        self._start = asked.start
        self._heartbeats = heartbeats
        self._link: StreamLink | None = None
        self._refusal: GatewayError | None = None
        self._ended = False
        stamping = gateway.stamping_sender(SSE_CHANNELS_WIRE, self._overflowed) if asked.several else None
        wire = SSE_ENVELOPE_WIRE if asked.envelope else SSE_WIRE
        self._sender: Sender = gateway.sender(wire, self._overflowed) if stamping is None else stamping
        try:
            self._session: Session = gateway.open_session(principal, self, self._sender)
        except GatewayError:
            self._sender.close()  # it has what has it
            raise
        self._places = None if stamping is None else Places(stamping, self._session.mark_of, asked.start.after)

    async def subscribe(self) -> GatewayError | None:
        """Take NATS' interest in every channel; why not, if it cannot be, which is counted."""
        try:
            joining = [self._session.join(name, self._start) for name in self._names]
            ready = [waiting for waiting in joining if waiting is not None]
            for waiting in ready:
                await self._session.unless_stopped(waiting)
        except GatewayError as error:
            # without the frames it went through, which have what has it
            self._refusal = self._refusal or GatewayError(error.kind, error.message)
        if self._session.draining:
            self._refusal = GatewayError(DRAINING, "the gateway is stopping")
        if self._refusal is not None:
            self._session.reject(self._refusal)
        return self._refusal

    def attach(self, link: StreamLink) -> None:
        """The answer's head is written: what comes for the channels follows."""
        self._link = link
        self._session.open()
        link.write(_encoded(_retry()))
        if self._refusal is not None:  # it came since
            self._fail(self._refusal)
        elif self._session.draining:
            self.drain()
        else:
            self._sender.attach(link)
            self._heartbeats.add(self)
            if self._places is None:
                self._session.listen()
            else:
                self._places.sender.cork()
                self._places.expect(self._session.follow(), self._is_placed)

    # -- OneWayReceiver

    def writing_paused(self) -> None:
        self._sender.pause()

    def writing_resumed(self) -> None:
        self._sender.resume()

    def lost(self, code: int) -> None:
        if not self._ended:
            self._ended = True
            self._heartbeats.discard(self)
            if self._places is not None:
                self._places.close()
            self._sender.close()
            self._session.end(code)
            self._link = None  # each keeps the other

    # -- SessionClient

    def drain(self) -> None:
        self._sender.finish()
        self._end(_retry(), DRAINING.close_code)

    def abort(self) -> None:
        if self._link is not None:
            self._link.abort()

    def hold(self) -> None:
        """Nothing is published here."""

    def release(self) -> None:
        """Nor held."""

    def expired(self, error: GatewayError) -> None:
        self._leave(error)

    def limited(self, error: GatewayError) -> None:
        """It sends nothing."""

    def refused(self, name: str, error: GatewayError) -> None:
        if self._link is None:
            self._refusal = error
        else:
            self._fail(error)

    def removed(self, name: str, error: GatewayError) -> None:
        """The stream ends, also one of several channels: its address names one that is not there."""
        self._leave(error)

    def reconfigured(self, added: Sequence[str]) -> None:
        """It has what it asked for."""

    def placed(self, name: str, place: Place) -> None:
        if self._places is None:
            told = gap([name], place.missed) if place.coming is Coming.GAP else b""
            self._sender.send(_encoded(told + position(place.id)))
        elif self._places.placed(name, place):
            self._tell_places(self._places)

    def gap(self, names: list[str]) -> None:
        self._sender.send(_encoded(gap(names, None)))

    # -- Stream

    def beat(self) -> None:
        link = self._link
        if link is None:
            return
        link.quiet += 1
        if link.quiet >= QUIET_LOOKS and not link.buffered_bytes():  # else it is the client that has to do something
            link.write(HEARTBEAT)

    # -- inside

    def _leave(self, error: GatewayError) -> None:
        """The end, behind what came before."""
        if self._link is None:
            self._refusal = self._refusal or error
        else:
            self._sender.finish()
            self._fail(error)

    def _is_placed(self) -> None:
        """It is known where the client stands in all its streams: nothing has come for it yet."""
        places = self._places
        assert places is not None
        if places.sender.stamp.marks:
            self._tell_places(places)
        places.sender.uncork()
        self._session.listen()

    def _tell_places(self, places: Places) -> None:
        channels, missed = places.take_gaps()
        told = gap(channels, missed) if channels else b""
        self._sender.send(_encoded(told + position(places.sender.stamp.text)))

    def _overflowed(self) -> None:
        self._fail(GatewayError(SLOW_CONSUMER, SLOW_CONSUMER.summary))

    def _fail(self, error: GatewayError) -> None:
        self._end(failure_of(error), error.kind.close_code)

    def _end(self, last: bytes, code: int) -> None:
        self._sender.close()
        if self._link is not None:
            self._link.write(_encoded(last))
            self._link.close(code)
        else:
            self.lost(closecodes.ABNORMAL)


def failure_of(error: GatewayError) -> bytes:
    """What a stream ends with because of ``error``, and when its client may come back where that makes sense."""
    later = error.retry_after_seconds if isinstance(error, LimitError) else 0.0
    return _retry(later) + failure(error) if error.kind.passes else failure(error)


def _retry(later_seconds: float = 0.0) -> bytes:
    return retry(int(later_seconds * 1000) + random.randint(*RETRY_MILLISECONDS))  # noqa: S311  no secret


def _encoded(data: bytes) -> Encoded:
    return Encoded(Message(True, data))
