"""Where requests come from: the two headers together, what is remembered, and what is logged."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.access.pages import MAX_HEADER_BYTES, MAX_KNOWN, MAX_TOLD, SAFE, Pages
from wsgw.fanout.frames import truncated

HOST = (b"host", b"localhost:3007")


def why(pages: Pages, *headers: tuple[bytes, bytes]) -> str | None:
    return pages.look(headers).refusal


def test_both() -> None:
    pages = Pages(["same", "http://localhost:5173"], None, ["127.0.0.1"])
    assert why(pages) is None
    assert why(pages, HOST, (b"x", b"y"), (b"origin", b"http://localhost:3007")) is None
    assert why(pages, (b"origin", b"http://localhost:5173"), HOST) is None
    assert why(pages, HOST, (b"origin", b"http://evil.example")) == "origin http://evil.example is not in 'origins'"
    rebound = [(b"host", b"evil.example:3007"), (b"origin", b"http://evil.example:3007")]
    assert why(pages, *rebound) == "host evil.example:3007 is not in 'hosts'"
    assert why(Pages("same", None, ["0.0.0.0"]), *rebound) is None
    assert why(Pages("any", None, ["127.0.0.1"]), *rebound) is not None
    assert pages.look([HOST, (b"origin", b"http://localhost:5173")]).headers == [
        *SAFE,
        (b"access-control-allow-origin", b"http://localhost:5173"),
        (b"vary", b"origin"),
    ]
    with_cookies = Pages(credentials=True).look([HOST, (b"origin", b"http://localhost:3007")])
    assert (b"access-control-allow-credentials", b"true") in with_cookies.headers


def test_no_refusal_tells_a_page_anything() -> None:
    for pages in (Pages(credentials=True), Pages([], [], ["::1"], credentials=True)):
        for headers in ([HOST, (b"origin", b"http://x")], [(b"host", b"a.b"), (b"origin", b"http://x.y")]):
            assert pages.look(headers).headers == SAFE


def test_what_is_there_twice_is_none() -> None:
    own = (b"origin", b"http://localhost:3007")
    pages = Pages("same", None, ["127.0.0.1"])
    assert why(pages, HOST, own) is None
    assert why(pages, HOST, HOST) is not None
    assert why(pages, HOST, own, own) is not None
    assert why(pages, HOST, (b"origin", b"http://evil"), own) is not None
    assert why(pages, (b"host", b"evil.example"), HOST) is not None


@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        (b"http://localhost:5173", "http://localhost:5173"),
        (b"null", "null"),
        (b"http://[::1]:80", "http://[::1]:80"),
        (b"", "''"),
        (b"a\r\nb", "'a\\r\\nb'"),
        (b"\x1b[31m", "'\\x1b[31m'"),
        (b"http://\xe9", "'http://\\xe9'"),
        (b"it's fine", '"it\'s fine"'),
        (b"%s%d", "'%s%d'"),
        (b"a" * 80, "a" * 80),
        (b"a" * 81, "a" * 80 + "..."),
        (b"\xff" * 1000, "'" + "\\xff" * 19 + "\\xf..."),
    ],
)
def test_what_is_shown(origin: bytes, shown: str, caplog: pytest.LogCaptureFixture) -> None:
    pages = Pages()
    verdict = pages.look([(b"origin", origin), HOST])
    assert verdict.refusal == f"origin {shown} is not in 'origins'"
    pages.tell(verdict)
    assert caplog.records[0].getMessage().startswith(f"refused: {verdict.refusal}: ")


@given(st.binary(max_size=500))
def test_a_refusal_is_one_short_line(origin: bytes) -> None:
    refusal = Pages([]).look([(b"origin", origin)]).refusal or ""
    assert refusal.isascii()
    assert refusal.isprintable()
    assert truncated(refusal) == refusal


def test_what_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    pages = Pages("same", None, ["::1"])
    for _ in range(3):
        assert pages.tell(pages.look([HOST, (b"origin", b"http://localhost:5173")]))
        assert pages.tell(pages.look([(b"host", b"a.b")]))
    first, second = caplog.records
    assert (first.levelno, second.levelno) == (logging.WARNING, logging.WARNING)
    assert first.getMessage() == (
        "refused: origin http://localhost:5173 is not in 'origins': where pages of it are to use the gateway, "
        "add it to 'origins' in the configuration, and restart"
    )
    assert second.getMessage() == (
        "refused: host a.b is not in 'hosts': where the gateway is to be asked by that name, "
        "add it to 'hosts' in the configuration, and restart"
    )


def test_what_is_kept_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    pages = Pages()
    told = [pages.tell(pages.look([(b"origin", b"http://x%d" % number)])) for number in range(MAX_KNOWN + 50)]
    assert told == [True] * MAX_TOLD + [False] * (MAX_KNOWN + 50 - MAX_TOLD)
    assert len(caplog.records) == MAX_TOLD
    assert pages.tell(pages.look([(b"origin", b"http://x0")])), "which was told"
    assert len(caplog.records) == MAX_TOLD
    known = pages._known.cache_info()
    assert known.currsize == MAX_KNOWN
    for size in (MAX_HEADER_BYTES + 1, 60_000):
        for name in (b"host", b"origin"):
            pages.look([(name, b"a" * size)])
    assert pages._known.cache_info().misses == known.misses, "which is not kept"
    pages.look([(b"origin", b"a" * MAX_HEADER_BYTES)])
    assert pages._known.cache_info().misses == known.misses + 1
