"""What JetStream's answers to a publish say."""

from __future__ import annotations

import orjson
import pytest

from wsgw.broker.delivery import FullPublication
from wsgw.broker.puback import MAX_ID_CHARS, MAX_SAID_CHARS, NotNow, Stored, id_problem, parse
from wsgw.errors import NOT_STORED, STREAM_FULL, TOO_LARGE, GatewayError, Kind
from wsgw.fanout.publication import Publication


def reply(payload: object, block: bytes = b"") -> Publication:
    data = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return FullPublication("inbox.1", data, 0.0, b"", block)


def refusal(number: object, said: object = "no") -> Publication:
    return reply({"stream": "S", "seq": 0, "error": {"code": 503, "err_code": number, "description": said}})


def test_a_puback() -> None:
    assert parse(reply({"stream": "S", "seq": 7}), "S") == Stored(7, False)
    assert parse(reply({"stream": "S", "seq": 7, "domain": "hub", "duplicate": True}), "S") == Stored(7, True)
    assert Stored(7).as_json() == {"seq": 7}
    assert Stored(7, True).as_json() == {"seq": 7, "duplicate": True}


def test_another_stream_is_none() -> None:
    error = parse(reply({"stream": "T", "seq": 7}), "S")
    assert isinstance(error, GatewayError)
    assert error.kind is NOT_STORED
    assert "'T'" in error.message
    assert "'S'" in error.message


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        *((number, STREAM_FULL) for number in (10002, 10023, 10028, 10047, 10053, 10077, 10122)),
        (10054, TOO_LARGE),
        (10109, NOT_STORED),
        (10060, NOT_STORED),
        (0, NOT_STORED),
    ],
)
def test_a_refusal(number: int, kind: Kind) -> None:
    error = parse(refusal(number, "maximum bytes exceeded"), "S")
    assert isinstance(error, GatewayError)
    assert error.kind is kind
    assert error.message == "the stream 'S' refuses it: maximum bytes exceeded"


@pytest.mark.parametrize("number", [10008, 10009, 10158, 10167])
def test_what_passes(number: int) -> None:
    assert parse(refusal(number, "later"), "S") == NotNow("later")


def test_nobody_there() -> None:
    assert parse(reply(b"", b"NATS/1.0 503\r\n\r\n"), "S") == NotNow("no stream takes it")
    assert parse(reply(b"", b"NATS/1.0 100\r\n\r\n"), "S") is None
    assert parse(reply(b""), "S") is None


def test_words_are_bounded() -> None:
    error = parse(refusal(1, "x" * 10_000), "S")
    assert isinstance(error, GatewayError)
    assert len(error.message) < MAX_SAID_CHARS + 50
    error = parse(refusal(1, ""), "S")
    assert isinstance(error, GatewayError)
    assert error.message.endswith("error 1")


@pytest.mark.parametrize(
    "payload",
    [
        b"thanks",
        b"[1]",
        b"1",
        {},
        {"stream": "S"},
        {"seq": 7},
        {"stream": "S", "seq": 0},
        {"stream": "S", "seq": True},
        {"stream": "S", "seq": "7"},
        {"stream": 1, "seq": 7},
        {"error": "no"},
        {"error": {"err_code": "10008"}},
    ],
)
def test_what_is_no_answer_of_jetstream(payload: object) -> None:
    """Somebody else who listens to the subject may answer anything."""
    assert parse(reply(payload), "S") is None


def test_ids() -> None:
    for id in ("a", "!~", "x" * MAX_ID_CHARS):
        assert id_problem(id) is None
    for id in ("", "a b", "é", "a\r\nb: c", "a\n", "\x7f", "x" * (MAX_ID_CHARS + 1)):
        assert id_problem(id) is not None
    assert len(id_problem("x" * 100_000) or "") < 300
