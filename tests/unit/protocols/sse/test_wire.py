"""Events: what a client that keeps to the standard reads of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.event_stream import EventParser, SentEvent, payload_of
from helpers.fanout import IN
from wsgw.errors import DRAINING, GatewayError
from wsgw.fanout.publication import Publication
from wsgw.protocols.sse.wire import HEARTBEAT, SSE_CHANNELS_WIRE, SSE_ENVELOPE_WIRE, SSE_WIRE, failure, retry


class Stored(Publication):
    """One that a stream holds."""

    __slots__ = ()

    @property
    def id(self) -> str:
        return "1.abc-7"


PAYLOADS = st.one_of(
    st.binary(max_size=50),
    st.text(max_size=50).map(str.encode),
    st.lists(st.sampled_from([b"data: ", b"\n", b"\r", b":", b"id: 9", b"\n\n", b"\xff", b" ", b"\0"])).map(b"".join),
)


def published(payload: bytes) -> Publication:
    return Publication("x.y", payload, 0.0)


@given(st.lists(PAYLOADS), st.integers(1, 7))
def test_payloads_come_as_they_were(payloads: list[bytes], cut: int) -> None:
    stream = retry(1000) + b"".join(SSE_WIRE.encode(IN, "x", published(payload)).data for payload in payloads)
    parser = EventParser()
    events = [event for at in range(0, len(stream), cut) for event in parser.feed(stream[at : at + cut])]
    assert parser.retry == 1000
    got = [payload_of(event) for event in events]
    assert [one.encode() if isinstance(one, str) else one for one in got] == payloads
    assert [event.event == "binary" for event in events] == [is_binary(payload) for payload in payloads]


def is_binary(payload: bytes) -> bool:
    try:
        return "\r" in payload.decode()
    except UnicodeDecodeError:
        return True


@pytest.mark.parametrize(
    ("payload", "block"),
    [
        (b"", b"data: \n\n"),
        (b"a", b"data: a\n\n"),
        (b" a\n\nb\n", b"data:  a\ndata: \ndata: b\ndata: \n\n"),
        ("é\u2028\ufeff".encode(), b"data: \xc3\xa9\xe2\x80\xa8\xef\xbb\xbf\n\n"),
        (b"a\r\nb", b"event: binary\ndata: YQ0KYg==\n\n"),
        (b"\xff", b"event: binary\ndata: /w==\n\n"),
    ],
)
def test_blocks(payload: bytes, block: bytes) -> None:
    encoded = SSE_WIRE.encode(IN, "x", published(payload))
    assert encoded.data == block
    assert encoded.size == len(block)


def test_ids_of_what_a_stream_holds() -> None:
    parser = EventParser()
    for payload in (b"a\nb", b"\xff"):
        (event,) = parser.feed(SSE_WIRE.encode(IN, "x", Stored("x", payload, 0.0)).data)
        assert event.id == "1.abc-7"
        assert payload_of(event) == (payload.decode() if payload == b"a\nb" else payload)
    (event,) = EventParser().feed(SSE_ENVELOPE_WIRE.encode(IN, "x", Stored("x", b"a", 0.0)).data)
    assert event.id == "1.abc-7"
    (event,) = EventParser().feed(SSE_CHANNELS_WIRE.encode(IN, "x", Stored("x", b"a", 0.0)).data)
    assert (event.id, json.loads(event.data)["id"]) == ("", "1.abc-7"), "of several channels it would be one's only"


@given(PAYLOADS, st.text(min_size=1, max_size=10))
def test_envelopes(payload: bytes, name: str) -> None:
    (event,) = EventParser().feed(SSE_CHANNELS_WIRE.encode(IN, name, published(payload)).data)
    assert event.event == "message"
    said = json.loads(event.data)
    assert (said["channel"], said["subject"]) == (name, "x.y")
    if "base64" in said:
        assert payload_of(SentEvent("binary", said["base64"])) == payload
    else:
        assert said["text"].encode() == payload


def test_what_is_no_payload() -> None:
    parser = EventParser()
    assert parser.feed(HEARTBEAT.data + retry(1234)) == []
    assert (parser.comments, parser.retry) == (1, 1234)
    error = GatewayError(DRAINING, "it\nstops")
    (event,) = parser.feed(failure(error))
    assert event.event == "wsgw:error"
    assert json.loads(event.data) == error.as_json()


def test_both_wires_are_of_one_transport() -> None:
    assert SSE_WIRE.transport == SSE_ENVELOPE_WIRE.transport == "sse"
