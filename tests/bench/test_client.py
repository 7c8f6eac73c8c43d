"""What the load generator counts and what it finds wrong, fed with bytes as servers write them, in pieces."""

from __future__ import annotations

import pytest
from bench.client import Client, ClientError
from bench.payload import payload
from bench.wires import FIRST_ID, Centrifugo, Nats, SocketIO, Wire

SIZE = 128


class Fed(Client):
    """A client without a connection; ``sent`` is what it would write."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, "IN", 0, subscribe=True)
        self.socket.close()
        self.sent: list[bytes] = []

    def send(self, data: bytes | memoryview) -> None:
        self.sent.append(bytes(data))

    def feed(self, data: bytes, piece: int) -> None:
        """``data`` in pieces of at most ``piece`` bytes, through a buffer as large as a worker's is meant to be."""
        for start in range(0, len(data), piece):
            part = bytearray(data[start : start + piece])
            size = len(part)
            part += b"\x81" * 300  # what an earlier read left there
            self.receive(part, size)


def frame(data: bytes, head: int = 0x81) -> bytes:
    """As a server writes it."""
    if len(data) < 126:
        return bytes((head, len(data))) + data
    return bytes((head, 126)) + len(data).to_bytes(2, "big") + data


def deliveries(wire: Wire, numbers: range) -> list[bytes]:
    """The content of one delivery for each number."""
    return [wire.delivery("IN", payload(number, SIZE)) for number in numbers]


def streams(wire: Wire, numbers: range) -> bytes:
    """Deliveries with a heartbeat among them, framed as the wire's server may."""
    found = deliveries(wire, numbers)
    middle = len(found) // 2
    if wire.fixed:
        beat = frame(wire.heartbeat) if wire.heartbeat else frame(b"abcd", 0x89)
        frames = [frame(one) for one in found]
        return b"".join([*frames[:middle], beat, *frames[middle:]])
    separator = b"\n" * wire.separator
    joined = [*found[:3], wire.heartbeat, *found[3:middle]]
    return frame(separator.join(joined)) + b"".join(frame(one) for one in found[middle:])


WIRES = [Wire(), SocketIO(), Nats(), Centrifugo()]


@pytest.mark.parametrize("piece", [1, 7, 133, 1000, 100_000])
@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: type(wire).__name__)
def test_deliveries_are_counted_exactly_whatever_the_pieces(wire: Wire, piece: int) -> None:
    client = Fed(wire)
    client.count(wire.delivery("IN", payload(0, SIZE)), 10)
    client.feed(streams(wire, range(20)), piece)
    assert client.progress == 20 * client.unit
    assert len(client.sent) == 1  # the heartbeat's answer


@pytest.mark.parametrize("piece", [1, 7, 1000, 100_000])
@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: type(wire).__name__)
def test_whole_messages_in_order_pass_the_check(wire: Wire, piece: int) -> None:
    client = Fed(wire)
    client.check(SIZE, 5, 20, acks=False, clock=True)
    client.feed(streams(wire, range(5, 25)), piece)
    assert client.progress == client.goal == 20
    assert client.latencies is not None
    assert len(client.latencies) == 20
    assert len(client.sent) == 1


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: type(wire).__name__)
def test_the_check_finds_what_is_missing_repeated_reordered_or_changed(wire: Wire) -> None:
    good = deliveries(wire, range(3))
    for wrong in ([good[0], good[2]], [good[0], good[0]], [good[1]], [good[0].replace(b"xxx", b"xyx", 1)]):
        client = Fed(wire)
        client.check(SIZE, 0, 3, acks=False, clock=False)
        with pytest.raises(ClientError):
            client.feed(b"".join(map(frame, wrong)), 10_000)


@pytest.mark.parametrize("wire", [SocketIO(), Centrifugo()], ids=lambda wire: type(wire).__name__)
def test_acks_are_checked_by_their_numbers(wire: Wire) -> None:
    client = Fed(wire)
    client.check(SIZE, 0, 2, acks=True, clock=False)
    client.feed(frame(wire.ack(0)) + frame(wire.ack(1)), 1000)
    assert client.progress == 2
    assert str(FIRST_ID).encode() in wire.ack(0)
    with pytest.raises(ClientError):
        client.feed(frame(wire.ack(3)), 1000)


def test_an_unexpected_frame_is_an_error() -> None:
    client = Fed(Wire())
    client.count(payload(0, SIZE), 10)
    with pytest.raises(ClientError):
        client.feed(frame(payload(0, SIZE)) + frame(b"hello"), 1000)
