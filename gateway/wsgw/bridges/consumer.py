"""What an own push consumer brings: messages of a stream, in order and without a hole, or the word that there is one.

The consumer is ephemeral, acknowledges nothing and is on one NATS server only, so it can be gone at any time, or skip:
each message carries how many it brought before, and its heartbeats say how many it has sent. Sans-I/O.
"""

from __future__ import annotations

from collections.abc import Callable

from wsgw.fanout.publication import Publication

#: Status of heartbeats, and of questions whether the gateway keeps up (flow control).
_CONTROL = 100


class ConsumerInbox:
    """Hears what is delivered to ``inbox`` by one consumer, in NATS' order.

    ``deliver(publication, sequence, stored_at_ns, pending)`` gets messages; ``broken`` is told once of a hole, and
    nothing is delivered any more; ``answer(subject)`` is to send an empty message there.
    """

    __slots__ = ("_answer", "_broken", "_deliver", "_inbox", "_is_broken", "_stalled", "delivered", "heard")

    def __init__(
        self,
        inbox: str,
        deliver: Callable[[Publication, int, int, int], None],
        broken: Callable[[str], None],
        answer: Callable[[str], None],
    ) -> None:
        self._inbox = inbox
        self._deliver = deliver
        self._broken = broken
        self._answer = answer
        self._is_broken = False
        self._stalled = (-1, "")  # how much was delivered then, and where the answer goes
        #: messages, by this consumer
        self.delivered = 0
        #: anything of it was heard since this was set to False
        self.heard = False

    @property
    def stalled(self) -> str:
        """Where it waits for an answer before it sends more, as its last heartbeat said; empty where it does not."""
        delivered, subject = self._stalled
        return subject if delivered == self.delivered else ""

    def __call__(self, publication: Publication) -> None:
        """One message that came to the inbox."""
        if self._is_broken:
            return
        reply = publication.reply
        if publication.subject == self._inbox:
            self._control_received(publication, reply)
            return
        place = None if reply is None else _place(reply)
        if place is None:
            return  # not of JetStream
        self.heard = True
        sequence, number, stored_at_ns, pending = place
        if number != self.delivered + 1:
            self.stop(f"message {number} came after message {self.delivered}")
            return
        self.delivered = number
        self._deliver(publication, sequence, stored_at_ns, pending)

    def stop(self, reason: str = "") -> None:
        """Take nothing more; with a ``reason`` that is told."""
        if not self._is_broken:
            self._is_broken = True
            if reason:
                self._broken(reason)

    # -- inside

    def _control_received(self, publication: Publication, reply: str | None) -> None:
        headers = publication.headers
        if headers.status != _CONTROL:
            if headers.status is not None:  # 409: the consumer, or the stream, was deleted
                self.stop(f"status {headers.status}: {headers.description}")
            return
        self.heard = True
        if reply is not None:
            self._answer(reply)
            return
        stalled = headers.get("Nats-Consumer-Stalled")
        self._stalled = self.delivered, stalled[0] if stalled else ""
        if stalled:
            self._answer(stalled[0])
        last = headers.get("Nats-Last-Consumer", ("",))[0]
        if last.isdecimal() and int(last) != self.delivered:
            self.stop(f"{last} messages were sent, {self.delivered} came")


def _place(reply: str) -> tuple[int, int, int, int] | None:
    """Of a message, by its reply subject: stream sequence, consumer sequence, time in ns, and how many are to come.

    ``$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<number>.<time>.<pending>``, or with domain and account behind
    ``ACK`` and a token at the end (ADR-15).
    """
    dots = reply.count(".")
    if dots < 8 or not reply.startswith("$JS.ACK."):
        return None
    tokens = reply.rsplit(".", 4)[1:] if dots == 8 else reply.split(".")[7:11]
    try:
        sequence, number, stored_at_ns, pending = map(int, tokens)
    except ValueError:
        return None
    return sequence, number, stored_at_ns, pending
