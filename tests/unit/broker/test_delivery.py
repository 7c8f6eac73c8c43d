"""What is made of a message: no more than somebody asks for."""

from __future__ import annotations

import pytest

from wsgw.broker import delivery
from wsgw.broker.delivery import FullPublication, receiver
from wsgw.broker.headers import parse
from wsgw.fanout.publication import NO_HEADERS, Headers, Publication

BLOCK = b"NATS/1.0\r\nA: b\r\n\r\n"


def test_a_payload_alone_makes_the_small_kind() -> None:
    got: list[Publication] = []
    receiver(got.append, None)(b"a.\xc3\xa9", b"x")
    assert type(got[0]) is Publication
    assert (got[0].subject, got[0].payload) == ("a.é", b"x")


def test_reply_and_headers() -> None:
    got: list[Publication] = []
    receive = receiver(got.append, None)
    receive(b"a", b"x\xff", b"re.ply", BLOCK)
    receive(b"a", b"x", b"", BLOCK)
    receive(b"a", b"x", b"re.ply", b"")
    assert [publication.reply for publication in got] == ["re.ply", None, "re.ply"]
    assert [dict(publication.headers) for publication in got] == [{"A": ("b",)}, {"A": ("b",)}, {}]
    assert [publication.text for publication in got] == [None, "x", "x"]
    assert 0 < got[0].received_at <= got[1].received_at


def test_headers_are_taken_apart_once_and_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []

    def counting(block: bytes) -> Headers:
        parsed.append(block)
        return parse(block)

    monkeypatch.setattr(delivery, "parse", counting)
    made = FullPublication("a", b"x", 0.0, b"", BLOCK)
    assert made.reply is None
    assert parsed == []
    assert made.headers is made.headers
    assert parsed == [BLOCK]


def test_what_breaks_the_form_reads_as_nothing() -> None:
    made = FullPublication("a", b"x", 0.0, b"\xff", b"HTTP/1.1 200\r\n\r\n")
    assert made.reply is None
    assert made.headers is NO_HEADERS


def test_hidden_subjects() -> None:
    got: list[Publication] = []
    receive = receiver(got.append, b"_INBOX.me.")
    receive(b"_INBOX.me.1", b"x")
    receive(b"_INBOX.me.1", b"x", b"r", BLOCK)
    receive(b"_INBOX.mess", b"x")
    assert [publication.subject for publication in got] == ["_INBOX.mess"]
