"""The server's side of one Engine.IO 4 session, without I/O: polling, upgrade, heartbeat, close.

What happens to the session's transports goes in through the methods of ``Engine``, the time (seconds of any
monotonic clock) with it; what is to be done comes out through ``EngineShell``. ``deadline`` tells when ``tick`` is due.

The upgrade from polling to WebSocket, which loses, repeats and reorders nothing: from the client's ``2probe`` on,
packets wait in the session's queue and polls are answered with a noop. The client sends ``5`` once its poll and its
POST are answered (or ``5`` without a probe); then the queue goes to the WebSocket in one step (``EngineShell.switch``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

from wsgw.closecodes import ABNORMAL, NORMAL, PROTOCOL_ERROR
from wsgw.fanout.frames import Message
from wsgw.protocols.engineio import packets as engineio
from wsgw.protocols.engineio.packets import BAD_REQUEST, UNKNOWN_SID, EnginePacket, PacketError, RequestRefused
from wsgw.protocols.engineio.shell import NO_SHELL, EngineShell
from wsgw.protocols.longtext import LONG_TEXT_BYTES


class Timing(NamedTuple):
    """Seconds: between pings, for a pong, for a probe to become an upgrade, for a close to be fetched by a poll."""

    ping_interval: float = 25.0
    ping_timeout: float = 20.0
    probe_timeout: float = 10.0
    linger: float = 1.0


class State(Enum):
    """Where the session is; ``websocket_received`` and ``poll`` say what each takes."""

    POLLING = auto()
    PROBED = auto()  # polling, and a WebSocket is open that has sent nothing yet
    UPGRADING = auto()  # 2probe was answered: what is sent waits for the upgrade
    WEBSOCKET = auto()
    LINGERING = auto()  # closed by the server between two polls: the next ones take what waits, and the close
    GONE = auto()


#: Packets of one POST that are taken before the shell looks at the clock.
MAX_PACKETS_AT_ONCE = 16
#: One of more characters is the last of them.
LARGE_PACKET_CHARS = 4096
#: Probes of one WebSocket that are answered; clients send one.
MAX_PROBES = 8

_POLLS = frozenset({State.POLLING, State.PROBED, State.UPGRADING})


class Engine:
    """See the module. Close codes: 1000 the client closed, 1006 it was lost, 1002 it broke the protocol (RFC 6455)."""

    __slots__ = (
        "_is_held",
        "_ping_at",
        "_pong_by",
        "_posting",
        "_probes",
        "_shell",
        "_taking",
        "_timing",
        "_until",
        "polled",
        "state",
    )

    def __init__(self, shell: EngineShell, timing: Timing, *, websocket: bool, now: float) -> None:
        self._shell: EngineShell = shell
        self._timing = timing
        self._ping_at = now + timing.ping_interval
        self._pong_by = math.inf  # finite while a ping is unanswered
        self._until = math.inf  # end of the probe, or of lingering
        self._posting = False  # a POST is not answered yet
        self._taking = False  # and not all of its packets have been taken
        self._probes = 0
        self._is_held = False
        #: a poll is in flight
        self.polled = False
        self.state = State.WEBSOCKET if websocket else State.POLLING

    # -- HTTP polling ------------------------------------------------------------------------------------------------

    def poll(self, now: float) -> Message | None:
        """A GET came: its answer, or None where it is to be answered with what waits, or will; raises RequestRefused.

        In the latter case it is in flight until ``EngineShell.answer_poll``, ``poll_answered`` or ``poll_lost``.
        """
        self.tick(now)
        self._check_polling(State.LINGERING)
        if self.polled:
            self.fail(PROTOCOL_ERROR)
            raise RequestRefused(BAD_REQUEST)
        if self.state is State.UPGRADING:
            return engineio.NOOP_PACKET
        self.polled = True
        return None

    def poll_answered(self, *, empty: bool) -> None:
        """The shell answered the poll with what waited; ``empty`` tells that nothing waits any more."""
        self.polled = False
        if empty and self.state is State.LINGERING:
            self._forget(NORMAL)

    def poll_lost(self) -> None:
        """The client of the poll in flight went away."""
        if self.polled:
            self.polled = False
            self.fail(ABNORMAL)

    def post_started(self, now: float) -> None:
        """A POST came, its body is still to be read; raises RequestRefused."""
        self.tick(now)
        self._check_polling()
        if self._posting:  # no client that waits for its answers does this; their order could not be known
            self.fail(PROTOCOL_ERROR)
            raise RequestRefused(BAD_REQUEST)
        self._posting = self._taking = True

    def post_received(self, packets: Iterator[EnginePacket]) -> bool:
        """Take some of the packets of the POST in flight, in order; whether more may be left; raises RequestRefused."""
        self._check_polling()
        try:
            for _ in range(MAX_PACKETS_AT_ONCE):
                packet = next(packets, None)
                if packet is None:
                    self._taking = False
                    return False
                self._packet_received(packet)
                if self.state not in _POLLS:  # closed by one of its own packets
                    return False
                if len(packet.data) > LARGE_PACKET_CHARS:
                    break
        except PacketError as error:
            self.fail(PROTOCOL_ERROR)
            raise RequestRefused(BAD_REQUEST) from error
        return True

    def post_answered(self) -> None:
        """The POST in flight is answered: the next may come."""
        self._posting = False

    def post_failed(self, code: int) -> None:
        """The body of the POST in flight did not arrive (1006) or was too large (1009)."""
        self._posting = self._taking = False
        self.fail(code)

    # -- WebSocket ---------------------------------------------------------------------------------------------------

    def websocket_opened(self, now: float) -> bool:
        """A WebSocket asks to take over the session; whether it may try: one at a time, and only from polling."""
        self.tick(now)
        if self.state is not State.POLLING:
            return False
        self.state = State.PROBED
        self._probes = 0
        self._until = now + self._timing.probe_timeout
        return True

    def websocket_received(self, message: Message) -> None:
        """A message on the session's WebSocket: of the session, or of the probe."""
        try:
            if self.state is State.WEBSOCKET:
                text, data = message
                if text and data[:1] == b"4" and len(data) <= LONG_TEXT_BYTES:  # nearly all
                    self._shell.message_received(data[1:].decode())
                else:
                    self._packet_received(engineio.decode(message))
            elif self.state in _POLLS:
                self._probe_received(engineio.decode(message))
        except PacketError:
            if self.state is State.WEBSOCKET:
                self.fail(PROTOCOL_ERROR)
            else:
                self._end_probe(PROTOCOL_ERROR)

    def websocket_lost(self, code: int) -> None:
        """The session's WebSocket closed, or was lost (1006)."""
        if self.state is State.WEBSOCKET:
            self.fail(code)
        elif self.state in (State.PROBED, State.UPGRADING):
            self._end_probe(None)

    # -- holding back ------------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """The shell hears nothing of the client until ``release``: what is expected of it may be late."""
        self._is_held = True

    def release(self, now: float) -> None:
        """Undo ``hold``."""
        self._is_held = False
        self._give_time(now)

    # -- time and close ----------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        """When ``tick`` is due; to be asked again after ``tick``, ``websocket_opened`` and ``close``."""
        if self.state is State.LINGERING:
            return self._until
        return min(self._until, self._pong_by, self._ping_at)

    def tick(self, now: float) -> None:
        """Do what is due at ``now``. Early and repeated calls are harmless."""
        if self.state is State.GONE:
            return
        if self._is_held:
            self._give_time(now)
        if now >= self._until:
            if self.state is State.LINGERING:
                self._forget(ABNORMAL)
                return
            self._end_probe(PROTOCOL_ERROR)
        if self.state is State.LINGERING:
            return
        if now >= self._pong_by:
            self.fail(ABNORMAL)
        elif now >= self._ping_at and self._pong_by < math.inf:
            self._ping_at = self._pong_by  # not before this one is answered
        elif now >= self._ping_at:
            timing = self._timing
            # counted from when the ping was due, unless this process was late itself
            self._pong_by = max(self._ping_at + timing.ping_timeout, now + timing.ping_timeout / 2)
            self._ping_at = now + timing.ping_interval
            self._shell.send(engineio.PING_PACKET)

    def close(self, code: int, now: float) -> None:
        """End the session; what was sent before still reaches the client, if it takes it in time."""
        if self.state is State.WEBSOCKET:
            self.fail(code)
        elif self.state in _POLLS:
            self._end_probe(code)
            self.state = State.LINGERING
            self._until = now + self._timing.linger
            self._shell.closed(code)
            if self.polled:
                self._shell.answer_poll(None)

    def fail(self, code: int) -> None:
        """End the session at once."""
        if self.state is State.LINGERING:
            self._forget(code)
        elif self.state is not State.GONE:
            self._end(code, engineio.CLOSE_PACKET)

    # ----------------------------------------------------------------------------------------------------------------

    def _packet_received(self, packet: EnginePacket) -> None:
        kind = packet.type
        if kind == engineio.MESSAGE:
            self._shell.message_received(packet.data)
        elif kind == engineio.PONG and self._pong_by < math.inf:
            self._pong_by = math.inf
        elif kind == engineio.CLOSE:
            self._end(NORMAL, engineio.NOOP_PACKET)
        elif kind == engineio.PING:
            raise PacketError("a packet that only servers send")
        else:  # OPEN, UPGRADE, NOOP or a PONG that answers nothing: passed over, as the reference server does. The
            # Swift client sends a NOOP behind its upgrade where its POST was slow.
            self._shell.needless()

    def _probe_received(self, packet: EnginePacket) -> None:
        if packet == (engineio.PING, "probe") and self._probes < MAX_PROBES:
            self._probes += 1
            self.state = State.UPGRADING
            self._free_poll()
            self._shell.reply_to_probe()
        elif packet.type == engineio.UPGRADE:  # old clients put data behind it, or send no probe
            if self._taking:  # the rest of the POST would come after what the WebSocket brings
                self.fail(PROTOCOL_ERROR)
                return
            self._free_poll()
            self.state = State.WEBSOCKET
            self._until = math.inf
            self._shell.switch()
        else:
            raise PacketError("not a packet of a probe")

    def _free_poll(self) -> None:
        """The poll in flight, if any, is answered with nothing: what waits is for the WebSocket."""
        if self.polled:
            self._answer(engineio.NOOP_PACKET)

    def _give_time(self, now: float) -> None:
        """The client gets time, from now, for the pong that it owes and the upgrade that waits for its POST, if any."""
        self._pong_by = max(self._pong_by, now + self._timing.ping_timeout / 2)
        if self._posting and self.state is not State.LINGERING:
            self._until = max(self._until, now + self._timing.probe_timeout)

    def _end_probe(self, code: int | None) -> None:
        """Back to polling; the WebSocket is closed with ``code`` unless it is closed already (None)."""
        if self.state in (State.PROBED, State.UPGRADING):
            self.state = State.POLLING
            self._until = math.inf
            if code is not None:
                self._shell.drop_probe(code)

    def _check_polling(self, *others: State) -> None:
        if self.state is State.GONE:
            raise RequestRefused(UNKNOWN_SID)
        if self.state not in _POLLS and self.state not in others:
            raise RequestRefused(BAD_REQUEST)

    def _answer(self, packet: Message) -> None:
        self.polled = False
        self._shell.answer_poll(packet)

    def _end(self, code: int, last: Message) -> None:
        self._end_probe(code)
        if self.polled:
            self._answer(last)
        self.state = State.GONE
        self._shell.closed(code)
        self._shell.gone(code)
        self._shell = NO_SHELL

    def _forget(self, code: int) -> None:
        self.state = State.GONE
        if self.polled:
            self._answer(engineio.CLOSE_PACKET)
        self._shell.gone(code)
        self._shell = NO_SHELL
