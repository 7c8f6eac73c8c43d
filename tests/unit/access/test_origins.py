"""Which pages may ask, and what they are told."""

from __future__ import annotations

import pytest

from wsgw.access.origins import Origins

EVERY = Origins("*", ["POST"])
SOME = Origins(["http://good", "https://good:8080"], ["GET", "POST"])


@pytest.mark.parametrize("origin", [None, "null", "http://page"])
def test_all_origins(origin: str | None) -> None:
    assert EVERY.allows(origin, "host")
    assert EVERY.headers(origin) == {"access-control-allow-origin": "*"}


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://good", "gateway", True),
        ("https://good:8080", "gateway", True),
        (None, "gateway", True),  # not from a page, or from one of the gateway's own origin
        ("http://gateway:3007", "gateway:3007", True),
        ("https://gateway:3007", "gateway:3007", True),  # TLS may end before the gateway
        ("http://good:8080", "gateway", False),
        ("https://good", "gateway", False),
        ("http://gateway", "gateway:3007", False),
        ("http://bad", None, False),
        ("null", None, False),
        ("good", "gateway", False),
    ],
)
def test_some_origins(origin: str | None, host: str | None, allowed: bool) -> None:
    assert SOME.allows(origin, host) is allowed


def test_one_origin() -> None:
    assert Origins("http://good", ["GET"]).allows("http://good", "gateway")
    assert not Origins("http://good", ["GET"]).allows("h", "gateway")


def test_answers_name_only_the_page_that_asked() -> None:
    assert SOME.headers("http://good") == {"access-control-allow-origin": "http://good", "vary": "origin"}
    for origin in (None, "http://bad"):
        assert SOME.headers(origin) == {"vary": "origin"}


def test_preflight() -> None:
    assert EVERY.preflight("http://page", "x-a, x-b") == {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "x-a, x-b",
        "access-control-max-age": "600",
    }
    assert SOME.preflight(None, None) == {
        "vary": "origin",
        "access-control-allow-methods": "GET,POST",
        "access-control-allow-headers": "content-type",
        "access-control-max-age": "600",
    }
