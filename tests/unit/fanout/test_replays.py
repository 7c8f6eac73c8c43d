"""What is made for clients who came back is made once, wherever near each other they stood, and kept within bounds."""

from __future__ import annotations

import pytest

from helpers.metrics import value
from wsgw.channels.channel import Channel, Direction, Payload
from wsgw.channels.template import key_of
from wsgw.fanout import replays as module
from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded, Publication, StreamPublication
from wsgw.fanout.replays import Replays
from wsgw.metrics import Metrics
from wsgw.protocols.sse.wire import SSE_ENVELOPE_WIRE
from wsgw.protocols.websocket.wire import ENVELOPE_WIRE

CHANNEL = Channel("orders", Direction.INBOUND)
PUBLICATIONS = [StreamPublication(Publication("orders", b"x" * 100, 0.0), "one", n, 0) for n in range(1, 601)]


class CountingWire:
    transport = "websocket"

    def __init__(self) -> None:
        self.encoded: list[int] = []

    def encode(self, channel: Channel, name: str, publication: Publication) -> Encoded:
        assert isinstance(publication, StreamPublication)
        self.encoded.append(publication.sequence)
        return Encoded(Message(True, b"%b %d" % (publication.payload, publication.sequence)))

    def dropped(self, name: str, count: int) -> None:
        """Nothing is."""


class Made:
    def __init__(self) -> None:
        self.wire = CountingWire()
        self.replays = Replays()
        self._deliveries = Deliveries(CHANNEL, "websocket", Metrics())

    def ask(self, first: int, last: int, wire: CountingWire | None = None, name: str = "orders") -> list[int]:
        """The sequences of a batch."""
        publications = PUBLICATIONS[first - 1 : last]
        batch = self.replays.batch(self._deliveries, wire or self.wire, name, publications)
        assert batch.deliveries is self._deliveries
        return [int(item.data.rpartition(b" ")[2]) for item in batch.items]


@pytest.fixture
def made() -> Made:
    return Made()


def test_those_who_stood_at_one_place_share_a_batch(made: Made) -> None:
    deliveries = made._deliveries
    one = made.replays.batch(deliveries, made.wire, "orders", PUBLICATIONS[:5])
    assert made.replays.batch(deliveries, made.wire, "orders", PUBLICATIONS[:5]) is one
    assert made.replays.batch(deliveries, made.wire, "orders", PUBLICATIONS[:4]) is not one


def test_those_who_stood_elsewhere_share_what_is_encoded(made: Made) -> None:
    assert made.ask(100, 256) == list(range(100, 257))
    assert made.ask(50, 256) == list(range(50, 257))
    assert made.ask(200, 210) == list(range(200, 211))
    assert sorted(made.wire.encoded) == list(range(50, 257)), "each of them once"


def test_what_differs_is_apart(made: Made) -> None:
    other = CountingWire()
    made.ask(1, 3)
    made.ask(1, 3, wire=other)
    made.ask(1, 3, name="o*")
    made.ask(1, 3, name=key_of("orders", ("acme",)))
    again = [StreamPublication(one, "two", one.sequence, 0) for one in PUBLICATIONS[:3]]
    made.replays.batch(made._deliveries, made.wire, "orders", again)
    assert (made.wire.encoded, other.encoded) == ([1, 2, 3] * 4, [1, 2, 3])


def test_what_is_kept_is_bounded(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT_BYTES", 300 * 400)
    monkeypatch.setattr(module, "MAX_BATCHES", 2)
    for first in (1, 257, 513):
        made.ask(first, min(first + 255, 600))
        assert 0 < made.replays.kept_bytes <= 300 * 400
    assert len(made.replays._batches) == 2
    made.wire.encoded.clear()
    made.ask(514, 600)
    assert made.wire.encoded == [], "the newest is kept"
    made.ask(2, 10)
    assert made.wire.encoded == list(range(2, 11)), "the oldest is not"
    monkeypatch.setattr(module, "MAX_KEPT_BYTES", 0)
    assert made.ask(3, 11) == list(range(3, 12))
    assert made.replays.kept_bytes == 0
    assert not made.replays._blocks


def test_the_one_used_last_goes_last(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT_BYTES", 30 * 400)
    made.ask(1, 10)
    made.ask(257, 266)
    made.ask(2, 10)
    made.ask(513, 530)
    made.wire.encoded.clear()
    made.ask(1, 9)
    assert made.wire.encoded == []


def test_what_should_be_json_and_is_none_is_counted_once() -> None:
    metrics = Metrics()
    channel = Channel("orders", Direction.INBOUND, payload=Payload.JSON)
    deliveries, replays = Deliveries(channel, "websocket", metrics), Replays()
    texts = [b"{}", b"{", b"\xff", b"1"]
    publications = [StreamPublication(Publication("orders", x, 0.0), "one", n, 0) for n, x in enumerate(texts, 1)]
    for wire in (ENVELOPE_WIRE, SSE_ENVELOPE_WIRE):
        replays.batch(deliveries, wire, "orders", publications)
    deliveries.report()
    assert value(metrics, "wsgw_not_json_messages_total", channel="orders") == 2


def test_nothing_is_kept_of_what_was_made_otherwise(made: Made) -> None:
    made.ask(1, 5)
    assert made.replays.kept_bytes
    made.replays.clear()
    assert made.replays.kept_bytes == 0
    assert made.ask(1, 5) == [1, 2, 3, 4, 5]
    assert made.wire.encoded == [1, 2, 3, 4, 5] * 2
