"""What the load generator counts of a stream of events, and what it finds wrong in one, fed in pieces."""

from __future__ import annotations

import pytest
from bench.client import Client, ClientError
from bench.payload import payload
from bench.streamclient import StreamClient, client_of
from bench.wires import ServerSentEvents, Wire

SIZE = 128
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
PIECES = [1, 7, 133, 1000, 100_000]


class Fed(StreamClient):
    """A client without a connection."""

    def __init__(self) -> None:
        super().__init__(ServerSentEvents(), "IN", 0, subscribe=True)
        self.socket.close()

    def feed(self, data: bytes, piece: int) -> None:
        for start in range(0, len(data), piece):
            part = bytearray(data[start : start + piece])
            size = len(part)
            part += b"9\r\n" * 100  # what an earlier read left there
            self.receive(part, size)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def events(numbers: range) -> list[bytes]:
    return [ServerSentEvents().delivery("IN", payload(number, SIZE)) for number in numbers]


def stream(numbers: range) -> bytes:
    """Events with a heartbeat among them, in chunks of one and of several."""
    found = events(numbers)
    return chunk(found[0]) + chunk(b"".join(found[1:9])) + chunk(b":\n\n") + b"".join(map(chunk, found[9:]))


def test_who_speaks_what() -> None:
    for wire, kind in ((ServerSentEvents(), StreamClient), (Wire(), Client)):
        client = client_of(wire, "IN", 0, subscribe=True)
        client.socket.close()
        assert type(client) is kind


@pytest.mark.parametrize("piece", PIECES)
def test_the_beginning(piece: int) -> None:
    client = Fed()
    data = HEAD + chunk(b"retry: 1234\n\n")
    client.feed(data[:-3], piece)
    assert client.progress == 0
    client.feed(data[-3:] + chunk(b":\n\n"), piece)
    assert client.progress == client.goal == 1
    client.idle()
    client.feed(chunk(b":\n\n"), piece)
    assert client.progress == 0


def test_a_refusal() -> None:
    with pytest.raises(ClientError, match="404"):
        Fed().feed(b"HTTP/1.1 404 Not Found\r\n\r\n", 1000)


@pytest.mark.parametrize("piece", PIECES)
def test_deliveries_are_counted_exactly_whatever_the_pieces(piece: int) -> None:
    client = Fed()
    client.count(events(range(1))[0], 10)
    client.feed(stream(range(20)), piece)
    assert client.progress == 20 * client.unit


@pytest.mark.parametrize("piece", PIECES)
def test_whole_messages_in_order_pass_the_check(piece: int) -> None:
    client = Fed()
    client.check(SIZE, 5, 20, acks=False, clock=True)
    client.feed(stream(range(5, 25)), piece)
    assert client.progress == client.goal == 20
    assert client.latencies is not None
    assert len(client.latencies) == 20


@pytest.mark.parametrize("data", [chunk(b"event: wsgw:error\ndata: {}\n\n"), chunk(b"")], ids=["error", "end"])
def test_what_must_not_come(data: bytes) -> None:
    client = Fed()
    client.check(SIZE, 0, 3, acks=False, clock=False)
    with pytest.raises(ClientError):
        client.feed(data, 1000)


def test_the_check_finds_what_is_missing_repeated_reordered_or_changed() -> None:
    good = events(range(3))
    for wrong in ([good[0], good[2]], [good[0], good[0]], [good[1]], [good[0].replace(b"xxx", b"xyx", 1)]):
        client = Fed()
        client.check(SIZE, 0, 3, acks=False, clock=False)
        with pytest.raises(ClientError):
            client.feed(b"".join(map(chunk, wrong)), 10_000)
