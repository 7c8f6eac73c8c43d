"""What is made once per publication and shared."""

from __future__ import annotations

import pytest

from helpers.fanout import IN, batch
from wsgw.fanout import publication
from wsgw.fanout.frames import Message, encode
from wsgw.fanout.publication import NO_HEADERS, Encoded, Headers, Publication

A, B = Message(True, b"abc"), Message(False, b"\xff")


@pytest.mark.parametrize("payload", [b"", b"abc", "é\ufeff".encode(), b"a\0b"])
def test_text(payload: bytes) -> None:
    assert Publication("x", payload, 0.0).text == payload.decode()


@pytest.mark.parametrize("payload", [b"\xff", b"\xc3", "\ud800".encode("utf-8", "surrogatepass")])
def test_no_text(payload: bytes) -> None:
    made = Publication("x", payload, 0.0)
    assert made.text is None
    assert made.text is None
    assert made.payload == payload


def test_most_have_neither_reply_nor_headers() -> None:
    made = Publication("x", b"abc", 0.0)
    assert made.reply is None
    assert made.headers is NO_HEADERS


def test_headers() -> None:
    made = Headers({"A": ("1", "2"), "b": ("",)}, 503, "No Responders")
    assert dict(made) == {"A": ("1", "2"), "b": ("",)}
    assert made.get("a") is None
    assert len(made) == 2
    assert made == Headers({"A": ("1", "2"), "b": ("",)}, 503, "No Responders")
    assert made != Headers(made.fields)
    assert not NO_HEADERS


def test_encoded() -> None:
    assert Encoded(A).size == 3
    assert Encoded(A).frames == encode(A)
    both = Encoded(A, B)
    assert both.size == 4
    assert both.messages == (A, B)
    assert both.frames == encode(A) + encode(B)


def test_frames_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Message] = []

    def counting(message: Message) -> bytes:
        made.append(message)
        return encode(message)

    monkeypatch.setattr(publication, "encode", counting)
    made_once = batch(IN, Encoded(A), Encoded(A, B))
    assert made_once.frames is made_once.frames
    assert made_once.frames == encode(A) + encode(A) + encode(B)
    assert made == [A, A, B]


def test_what_is_written_by_itself_is_framed_once_and_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Message] = []

    def counting(message: Message) -> bytes:
        made.append(message)
        return encode(message)

    monkeypatch.setattr(publication, "encode", counting)
    framed = Encoded(A, B).framed()
    assert framed.data == b"abc\xff"
    assert made == []
    assert framed.frames is framed.frames
    assert framed.frames == encode(A) + encode(B)
    assert made == [A, B]


def test_data_without_frames_and_as_a_chunk() -> None:
    assert Encoded(A).data is A.data
    assert Encoded(A, B).data == b"abc\xff"
    one, many = batch(IN, Encoded(A)), batch(IN, Encoded(A), Encoded(A, B), Encoded(Message(True, b"x" * 20)))
    assert one.data is A.data
    assert one.chunk == b"3\r\nabc\r\n"
    assert many.data == b"abcabc\xff" + b"x" * 20
    assert many.chunk == b"1b\r\n" + many.data + b"\r\n"
    assert many.data is many.data
    assert many.chunk is many.chunk


def test_a_batch_of_one_is_its_item() -> None:
    item = Encoded(A)
    assert batch(IN, item).frames == item.frames
