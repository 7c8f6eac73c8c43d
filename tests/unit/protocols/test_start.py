"""From where on a client wants a durable channel."""

from __future__ import annotations

import pytest

from wsgw.channels.start import NOW, Start
from wsgw.errors import BAD_REQUEST, GatewayError
from wsgw.protocols.start import start_of


@pytest.mark.parametrize(
    ("query", "after", "wanted"),
    [
        ({}, None, NOW),
        ({"x": "1"}, None, NOW),
        ({"last": "5"}, None, Start(last=5)),
        ({"last": "0"}, None, Start(last=0)),
        ({"last": "10000"}, None, Start(last=10_000)),
        ({"last": "0" * 5000 + "7"}, None, Start(last=7)),
        ({"since": "60"}, None, Start(since_seconds=60.0)),
        ({"since": "1.5h"}, None, Start(since_seconds=5400.0)),
        ({"last": "5", "since": "60"}, None, Start(last=5)),
        ({"last": "5"}, "1.0123456789-7", Start(after={"0123456789": 7})),
        ({}, "7.what", Start(after={})),
        ({}, "", Start(after={})),
    ],
)
def test_start(query: dict[str, str], after: str | None, wanted: Start) -> None:
    assert start_of(query, after) == wanted


@pytest.mark.parametrize(
    "query",
    [{"last": value} for value in ("", "-1", "x", "1.5", "10001", "\u0661", "1" * 5000)]
    + [{"last": "0" * 9 + "9" * number} for number in (5, 9, 5000)]
    + [{"since": value} for value in ("", "0", "-1", "x", "367d", "nan", "inf")],
)
def test_refusals(query: dict[str, str]) -> None:
    with pytest.raises(GatewayError) as caught:
        start_of(query, None)
    assert caught.value.kind is BAD_REQUEST
    assert len(caught.value.message) < 200
