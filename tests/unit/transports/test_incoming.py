"""A request's body, as it comes."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from wsgw.config.limits import LimitsSettings
from wsgw.protocols.http1.chunked import BodyError
from wsgw.protocols.http1.head import Head
from wsgw.shares.slices import Slices
from wsgw.transports.exchange import BODY_HIGH_WATER_BYTES, Exchange
from wsgw.transports.incoming import IncomingBody

LONG_AGO, LATE = 1e-9, 1e12


class Coming:
    """A request whose head has ``header``; ``taken`` is how far each piece was taken, and whether time was over."""

    def __init__(self, header: str) -> None:
        head = Head(f"POST / HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n".encode())
        self.exchange = Exchange(cast("Any", None), head)
        self._body = IncomingBody(head, LimitsSettings())
        self._slices = Slices(asyncio.get_running_loop())

    def take(self, data: bytes, at: int = 0, until: float = LATE) -> tuple[int, bool]:
        return self._body.take(data, at, self.exchange, self._slices, until)


async def test_by_its_length() -> None:
    coming = Coming("Content-Length: 5")
    assert coming.take(b"--ab", 2) == (4, False)
    assert not coming.exchange.body_complete
    assert coming.take(b"cdeGET /", until=LONG_AGO) == (3, False)
    assert coming.exchange.body_complete
    assert coming.exchange.body == b"abcde"


async def test_in_chunks() -> None:
    coming = Coming("Transfer-Encoding: chunked")
    assert coming.take(b"--2\r\nab\r\n1", 2) == (9, False)
    assert not coming.exchange.body_complete
    assert coming.take(b"1\r\nc\r\n0\r\n\r\nGET /") == (11, False)
    assert coming.exchange.body_complete
    assert coming.exchange.body == b"abc"


async def test_until_the_time_is_over() -> None:
    coming = Coming("Transfer-Encoding: chunked")
    data = b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n"
    at, is_over = coming.take(data, until=LONG_AGO)
    assert is_over
    assert 0 < at < len(data)
    assert coming.take(data, at) == (len(data), False)
    assert coming.exchange.body == b"x" * 5000


async def test_until_enough_waits_to_be_taken() -> None:
    coming = Coming("Transfer-Encoding: chunked")
    data = b"3e8\r\n" + bytes(1000) + b"\r\n"
    at, is_over = coming.take(data * 1000)
    assert not is_over
    assert at < 1000 * len(data)
    assert len(coming.exchange.body) > BODY_HIGH_WATER_BYTES


async def test_what_is_none() -> None:
    with pytest.raises(BodyError):
        Coming("Transfer-Encoding: chunked").take(b"nonsense\r\n")
