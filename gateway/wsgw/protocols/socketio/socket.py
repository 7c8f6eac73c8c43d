"""One client in one namespace, as the application sees it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Protocol

from wsgw.closecodes import ABNORMAL
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.fanout.sender import Sender
from wsgw.fanout.stamp import StampingSender
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.socketio import packets as socketio
from wsgw.protocols.socketio.ack import Ack, claim
from wsgw.protocols.socketio.arguments import Argument
from wsgw.protocols.socketio.earlyevents import EarlyEvents
from wsgw.protocols.socketio.handler import Handler


class SocketOwner(Protocol):
    """What holds the sockets of one connection, as they see it (``Multiplexer``)."""

    sender: Sender
    handshake: Handshake
    #: what the application found out about the client, for the next time it connects on the same connection
    known: object

    def has(self, socket: Socket) -> bool:
        """Whether ``socket`` is part of the connection still."""

    def send_all(self, items: Sequence[Encoded]) -> None:
        """Send packets; a client that lets them pile up is closed."""

    def send_each(self, messages: Sequence[Message]) -> None:
        """The same, a packet in each of ``messages``."""

    def close(self, code: int) -> None:
        """End the connection when what was sent before is out."""

    def fail(self, code: int) -> None:
        """End the connection at once."""

    def needless(self, count: int = 1) -> None:
        """See ``Carrier.needless``."""

    def keep(self, size: int) -> None:
        """See ``Carrier.keep``."""

    def hold(self, socket: Socket) -> None:
        """See ``Socket.hold``."""

    def release(self, socket: Socket) -> None:
        """See ``Socket.release``."""


class Socket:
    """One client in one namespace. Calls after it has ended do nothing.

    ``sender`` belongs to the connection and is shared by its sockets: batches of its wire are offered to it.
    """

    __slots__ = ("_owner", "early", "handler", "handshake", "namespace", "pid", "sender", "sid")

    def __init__(self, owner: SocketOwner, namespace: str) -> None:
        self.sid = secrets.token_urlsafe(15)
        #: by which the client may recover when it comes back; for the application to set before it accepts
        self.pid: str | None = None
        self.namespace = namespace
        self.handshake = owner.handshake
        self.sender: Sender = owner.sender
        self.handler: Handler | None = None  # None until accepted, and again when gone
        self.early: EarlyEvents | None = None  # what came before it was accepted
        self._owner = owner

    @property
    def known(self) -> object:
        """What the application keeps of the connection's client, None at first; all its sockets have it in common."""
        return self._owner.known

    @known.setter
    def known(self, value: object) -> None:
        self._owner.known = value

    def emit(self, name: str, *args: Argument) -> None:
        """Send an event; with recovery it says where the client stands."""
        if self._owner.has(self):
            item, sender = socketio.encode_event(self.namespace, name, args), self.sender
            self._owner.send_all((sender.stamped(item) if isinstance(sender, StampingSender) else item,))

    def answer(self, acks: Iterable[Ack], *args: Argument) -> None:
        """Call each of ``acks``, all of this socket, with ``args``; many cost little more than one."""
        self.answer_each([(acks, args)])

    def answer_each(self, answers: Iterable[tuple[Iterable[Ack], Sequence[Argument]]]) -> None:
        """As ``answer`` for each of ``answers``, all in one write."""
        texts: list[Message] = []
        for acks, args in answers:
            ids = claim(acks)
            messages = socketio.encode_text_acks(self.namespace, ids, args)
            if messages is not None:
                texts += messages
            elif self._owner.has(self):
                self._owner.send_each(texts)
                texts = []
                self._owner.send_all(socketio.encode_acks(self.namespace, ids, args))
        if self._owner.has(self):
            self._owner.send_each(texts)

    def close(self, code: int) -> None:
        """End the client's connection, of all namespaces, with ``code`` when what was sent before is out."""
        if self._owner.has(self):
            self._owner.close(code)

    def abort(self) -> None:
        """Drop the client's connection, of all namespaces, at once and with all that waits (1006)."""
        if self._owner.has(self):
            self._owner.fail(ABNORMAL)

    def needless(self, count: int) -> None:
        """What the client did costs as much as ``count`` packets that say nothing: too many of them end it."""
        if self._owner.has(self):
            self._owner.needless(count)

    def keep(self, size: int) -> None:
        """The application keeps ``size`` bytes more for the client, or fewer: also once this socket has ended."""
        self._owner.keep(size)

    def hold(self) -> None:
        """Hold the client back, in all namespaces, until every socket that did so calls ``release`` or is gone.

        What it sent before may still come. A client on polling is held back for a bounded time only.
        """
        if self._owner.has(self):
            self._owner.hold(self)

    def release(self) -> None:
        """Undo ``hold``."""
        self._owner.release(self)
