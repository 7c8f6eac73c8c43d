"""Long texts: what is decoded of them, and what not."""

from __future__ import annotations

import pytest

from wsgw.protocols.longtext import LongText


def test_its_length_is_in_bytes_and_its_beginning_of_whole_characters() -> None:
    text = LongText("4éa😀b".encode(), 1)
    assert len(text) == 8
    assert [text.begin(most) for most in range(9)] == ["", "", "é", "éa", "éa", "éa", "éa", "éa😀", "éa😀b"]


@pytest.mark.parametrize("char", ["a", "é", "€", "😀"])
def test_it_is_decoded_where_it_has_few_characters(char: str) -> None:
    text = LongText(b"4" + (char * 10).encode(), 1)
    assert [text.whole(most) for most in (0, 2, 3, 9, 10, 11)] == [None] * 4 + [char * 10] * 2
