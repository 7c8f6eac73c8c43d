"""What a request for a stream asks for."""

from __future__ import annotations

import pytest

from wsgw.channels.start import NOW, Start
from wsgw.errors import BAD_REQUEST, GatewayError
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.sse.request import MAX_CHANNELS, StreamRequest, stream_request


def asked(name: str | None, query: str = "", *headers: tuple[bytes, bytes]) -> StreamRequest:
    return stream_request(name, Handshake("/sse", query.encode(), headers, ""))


def test_one_channel() -> None:
    assert asked("chat.1", "channel=other") == StreamRequest(("chat.1",), False, False, NOW)
    assert asked("") == StreamRequest(("",), False, False, NOW)


def test_several_channels_in_order_and_each_once() -> None:
    assert asked(None, "channel=b&x=1&channel=a&channel=b") == StreamRequest(("b", "a"), True, True, NOW)
    assert asked(None, "channel=a") == StreamRequest(("a",), True, True, NOW)


def test_how_many_channels() -> None:
    fields = [f"channel=c{number}" for number in range(MAX_CHANNELS + 1)]
    assert len(asked(None, "&".join(fields[:-1])).names) == MAX_CHANNELS
    for query in ("", "x=1", "&".join(fields)):
        with pytest.raises(GatewayError) as caught:
            asked(None, query)
        assert caught.value.kind is BAD_REQUEST


@pytest.mark.parametrize(
    ("query", "header", "wanted"),
    [
        ("", None, None),
        ("last_event_id=1.0123456789-2", None, 2),
        ("last_event_id=1.0123456789-2", b"1.0123456789-3", 3),
        ("last_event_id=1.0123456789-2", b"", 2),
        ("last_event_id=", None, None),
        ("last=5&last_event_id=1.0123456789-2", None, 2),
    ],
)
def test_where_the_client_stood(query: str, header: bytes | None, wanted: int | None) -> None:
    headers = [] if header is None else [(b"last-event-id", header)]
    assert asked("x", query, *headers).start.after == (None if wanted is None else {"0123456789": wanted})


@pytest.mark.parametrize("position", [b"x", b"2.0123456789-2", b"1" * 50_000])
def test_what_is_no_position_is_one_that_nobody_knows(position: bytes) -> None:
    assert asked("x", "", (b"last-event-id", position)).start == Start(after={})


def test_a_stream_of_several_channels_has_one_position() -> None:
    found = asked(None, "channel=a&channel=b", (b"last-event-id", b"1.0123456789-3.abcdef0123-4"))
    assert found.start == Start(after={"0123456789": 3, "abcdef0123": 4})


def test_envelopes_and_the_past() -> None:
    found = asked("x", "envelope=1&last=7")
    assert (found.envelope, found.several, found.start) == (True, False, Start(last=7))
