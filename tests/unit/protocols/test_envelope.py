"""A publication as one JSON object."""

from __future__ import annotations

import json
import re
import time

import pytest

from helpers.fanout import IN
from wsgw.broker.delivery import FullPublication
from wsgw.channels.channel import Channel, Direction, Payload
from wsgw.fanout.publication import Publication, StreamPublication
from wsgw.protocols.envelope import envelope, gap, joined

JSON = Channel("IN", Direction.INBOUND, payload=Payload.JSON)


def published(payload: bytes) -> Publication:
    return Publication("rooms.1", payload, time.monotonic())


@pytest.mark.parametrize(
    ("payload", "said"),
    [(b"", {"text": ""}), ("é\r\n\u2028".encode(), {"text": "é\r\n\u2028"}), (b"\xff\0", {"base64": "/wA="})],
)
def test_envelope(payload: bytes, said: dict[str, str]) -> None:
    made = envelope(IN, "chat.1", published(payload), with_channel=True)
    found = json.loads(made)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert found == {"channel": "chat.1", "subject": "rooms.1", **said}
    assert b"\n" not in made
    assert b"\r" not in made


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b'{"a": [1, 2.50]}', {"json": {"a": [1, 2.5]}}),
        (b'\n{"a":\r\n1}\n', {"json": {"a": 1}}),
        (b"null", {"json": None}),
        (b"{", {"text": "{"}),
        (b"NaN", {"text": "NaN"}),
        (b"", {"text": ""}),
        (b"\xff", {"base64": "/w=="}),
    ],
)
def test_json(payload: bytes, said: dict[str, object]) -> None:
    made = envelope(JSON, "IN", published(payload))
    found = json.loads(made)
    del found["time"]
    assert found == {"subject": "rooms.1", **said}
    assert b"\n" not in made


def test_what_a_stream_holds() -> None:
    held = StreamPublication(published(b"x"), "0123456789", 7, 1_700_000_000_123_456_789)
    found = json.loads(envelope(IN, "IN", held))
    assert found == {
        "id": "1.0123456789-7",
        "subject": "rooms.1",
        "time": "2023-11-14T22:13:20.123456789Z",
        "text": "x",
    }


def test_headers_that_clients_may_see() -> None:
    channel = Channel("IN", Direction.INBOUND, headers=("A", "B", "C"))
    block = b"NATS/1.0\r\nA: 1\r\nB: 2\r\nB: 3\r\nSecret: 4\r\n\r\n"
    full = FullPublication("rooms.1", b"x", 0.0, b"", block)
    for publication in (full, StreamPublication(full, "0123456789", 7, 0)):
        assert json.loads(envelope(channel, "IN", publication))["headers"] == {"A": "1", "B": ["2", "3"]}
        assert "headers" not in json.loads(envelope(IN, "IN", publication))
    assert "headers" not in json.loads(envelope(channel, "IN", published(b"x")))


def test_notices() -> None:
    assert json.loads(joined("1.a")) == {"event": "joined", "id": "1.a"}
    assert json.loads(joined("1.a", recovered=False)) == {"event": "joined", "id": "1.a", "recovered": False}
    assert json.loads(gap(["a"], None)) == {"event": "gap", "channels": ["a"], "missed": None}
