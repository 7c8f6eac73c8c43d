"""What a consumer's inbox hears: messages in order, a hole is told, heartbeats and flow control are answered."""

from __future__ import annotations

import pytest

from wsgw.bridges.consumer import ConsumerInbox
from wsgw.broker.delivery import FullPublication
from wsgw.fanout.publication import Publication

INBOX = "_INBOX.x"
OLD = "$JS.ACK.S.c.1.%d.%d.1700000000000000000.%d"
NEW = "$JS.ACK.hub.acc.S.c.1.%d.%d.1700000000000000000.%d.rand"


class Heard:
    def __init__(self) -> None:
        self.messages: list[tuple[bytes, int, int, int]] = []
        self.broken: list[str] = []
        self.answered: list[str] = []
        self.inbox = ConsumerInbox(INBOX, self._deliver, self.broken.append, self.answered.append)

    def _deliver(self, publication: Publication, sequence: int, stored_at_ns: int, pending: int) -> None:
        self.messages.append((publication.payload, sequence, stored_at_ns, pending))

    def message(self, sequence: int, number: int, pending: int = 0, form: str = OLD) -> None:
        reply = form % (sequence, number, pending)
        self.inbox(FullPublication("orders", b"%d" % sequence, 0.0, reply.encode(), b""))

    def control(self, status: str, *lines: str, reply: str = "") -> None:
        block = "".join(f"{line}\r\n" for line in (f"NATS/1.0 {status}", *lines, ""))
        self.inbox(FullPublication(INBOX, b"", 0.0, reply.encode(), block.encode()))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.mark.parametrize("form", [OLD, NEW])
def test_messages_in_order(heard: Heard, form: str) -> None:
    heard.message(5, 1, 7, form)
    heard.message(9, 2, 6, form)
    stored = 1_700_000_000_000_000_000
    assert heard.messages == [(b"5", 5, stored, 7), (b"9", 9, stored, 6)]
    assert heard.inbox.heard
    assert not heard.broken


@pytest.mark.parametrize("number", [1, 3, 0])
def test_a_hole_is_told_once_and_nothing_comes_behind_it(heard: Heard, number: int) -> None:
    heard.message(5, 1)
    heard.message(7, number)
    heard.message(6, 2)
    assert [sequence for _, sequence, _, _ in heard.messages] == [5]
    assert heard.broken == [f"message {number} came after message 1"]


def test_heartbeats(heard: Heard) -> None:
    heard.message(5, 1)
    heard.inbox.heard = False
    heard.control("100 Idle Heartbeat", "Nats-Last-Consumer: 1", "Nats-Last-Stream: 5")
    assert heard.inbox.heard
    assert not heard.broken
    for lines in ((), ("Nats-Last-Consumer: ",), ("Nats-Last-Consumer: -1",), ("Nats-Last-Consumer: x",)):
        heard.control("100 Idle Heartbeat", *lines)
    assert not heard.broken, "it does not say how many"
    heard.control("100 Idle Heartbeat", "Nats-Last-Consumer: 3", "Nats-Last-Stream: 7")
    assert heard.broken == ["3 messages were sent, 1 came"]


def test_flow_control(heard: Heard) -> None:
    heard.control("100 FlowControl Request", reply="$JS.FC.S.c.1")
    heard.control("100 Idle Heartbeat", "Nats-Last-Consumer: 0", "Nats-Consumer-Stalled: $JS.FC.S.c.2")
    assert heard.answered == ["$JS.FC.S.c.1", "$JS.FC.S.c.2"]
    assert not heard.broken


def test_it_is_stalled_until_more_comes(heard: Heard) -> None:
    seen = [heard.inbox.stalled]
    heard.message(5, 1)
    heard.control("100 Idle Heartbeat", "Nats-Last-Consumer: 1", "Nats-Consumer-Stalled: $JS.FC.S.c.2")
    seen.append(heard.inbox.stalled)
    heard.message(6, 2)
    seen.append(heard.inbox.stalled)
    heard.control("100 Idle Heartbeat", "Nats-Last-Consumer: 2", "Nats-Consumer-Stalled: $JS.FC.S.c.3")
    heard.control("100 Idle Heartbeat", "Nats-Last-Consumer: 2")
    seen.append(heard.inbox.stalled)
    assert seen == ["", "$JS.FC.S.c.2", "", ""]


def test_the_end_of_a_consumer(heard: Heard) -> None:
    heard.control("409 Consumer Deleted")
    assert heard.broken == ["status 409: Consumer Deleted"]
    heard.message(1, 1)
    assert not heard.messages


@pytest.mark.parametrize(
    "reply", ["", "x", "$JS.ACK.S.c", "$JS.ACK.S.c.1.x.1.1.1", "$JS.ACK.S.c.1.1.1.1", "$JS.FC.S.c.1.1.1.1.1"]
)
def test_what_is_not_jetstreams(heard: Heard, reply: str) -> None:
    heard.inbox(FullPublication("orders", b"x", 0.0, reply.encode(), b""))
    heard.inbox(Publication("orders", b"x", 0.0))
    heard.inbox(Publication(INBOX, b"x", 0.0))
    assert (heard.messages, heard.broken, heard.answered) == ([], [], [])


def test_stopped_it_tells_nothing(heard: Heard) -> None:
    heard.inbox.stop()
    heard.message(1, 1)
    heard.control("409 Consumer Deleted")
    assert (heard.messages, heard.broken) == ([], [])
