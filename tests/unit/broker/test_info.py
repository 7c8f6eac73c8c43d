"""What a server says of itself: nothing of it is trusted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.broker.info import DEFAULT_MAX_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES, MAX_URLS, ServerInfo
from wsgw.process.server import MAX_MESSAGE_BYTES

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "a", "a:1", "[::1]:2", ":"])
ANYTHING = SCALARS | st.lists(SCALARS, max_size=4)


def test_what_is_left_out() -> None:
    assert ServerInfo.of({}) == ServerInfo(DEFAULT_MAX_PAYLOAD_BYTES, False, ())
    before = ServerInfo(7, True, ("a:1",))
    assert ServerInfo.of({}, before) == before
    assert ServerInfo.of({"max_payload": 8}, before) == ServerInfo(8, True, ("a:1",))
    assert ServerInfo.of({"headers": False, "connect_urls": []}, before) == ServerInfo(7, False, ())


def test_who_it_is() -> None:
    assert ServerInfo.of({"server_id": "A"}).id == "A"
    assert ServerInfo.of({}, ServerInfo(id="A")).id == "A"
    assert ServerInfo.of({"server_id": 5}, ServerInfo(id="A")).id == "A"
    assert len(ServerInfo.of({"server_id": "A" * 10**6}).id) == 100


def test_that_it_goes_is_said_once() -> None:
    assert not ServerInfo.of({}).lame_duck
    going = ServerInfo.of({"ldm": True})
    assert going.lame_duck
    assert ServerInfo.of({"ldm": False}, going).lame_duck
    assert not ServerInfo.of({"ldm": "yes"}).lame_duck


@pytest.mark.parametrize(("said", "believed"), [(1, 1), (10**9, MAX_PAYLOAD_BYTES), (10**30, MAX_PAYLOAD_BYTES)])
def test_max_payload(said: int, believed: int) -> None:
    assert ServerInfo.of({"max_payload": said}).max_payload_bytes == believed


def test_no_more_is_believed_than_is_taken_from_clients() -> None:
    assert MAX_PAYLOAD_BYTES == MAX_MESSAGE_BYTES


@pytest.mark.parametrize("said", ["1024", "", None, -1, 0, 1.5, float("inf"), True, False, [1], {"a": 1}, "x" * 10**6])
def test_a_max_payload_that_is_none(said: object) -> None:
    with pytest.raises(ValueError, match=r"a max_payload in INFO that is none: ") as caught:
        ServerInfo.of({"max_payload": said})
    assert len(str(caught.value)) < 100


def test_a_max_payload_that_holds_what_it_likes() -> None:
    """Of it only the type is told: to write a deep one out costs its depth squared."""
    deep: list[object] = []
    for _ in range(100_000):  # repr would be a RecursionError, here
        deep = [deep]
    for said, named in ((deep, "list"), ({"a": deep}, "dict")):
        with pytest.raises(ValueError, match=f"that is none: {named}$"):
            ServerInfo.of({"max_payload": said})


def test_urls() -> None:
    urls: list[Any] = ["a:1", "a:1", "[::1]:65535", "b-c.d_e:00022"]
    assert ServerInfo.of({"connect_urls": urls}).urls == ("a:1", "[::1]:65535", "b-c.d_e:00022")
    assert len(ServerInfo.of({"connect_urls": [f"h{number}:1" for number in range(10_000)]}).urls) == MAX_URLS


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"max_payload": 1%b}' % (b"0" * 5000)]
)
def test_what_is_no_info(text: bytes) -> None:
    with pytest.raises(ValueError, match="INFO that is no"):
        ServerInfo.parse(text, ServerInfo())


@given(st.dictionaries(st.sampled_from(["max_payload", "headers", "connect_urls", "x"]), ANYTHING))
def test_anything(info: dict[str, object]) -> None:
    try:
        found = ServerInfo.parse(json.dumps(info).encode(), ServerInfo(5))
    except ValueError:
        return
    assert 1 <= found.max_payload_bytes <= MAX_PAYLOAD_BYTES
    assert all(":" in url for url in found.urls)
