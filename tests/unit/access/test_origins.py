"""Which pages may ask, and what they are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.access.origins import MAX_WANTED_BYTES, Asked, Origins, preflight

SAME = Origins()
ANY = Origins("any")
SOME = Origins(["http://good", "https://Good:8080", "https://*.wide.example", "capacitor://localhost"])
SOME_AND_OWN = Origins(["same", "http://good"])

HOSTS = st.from_regex(r"[a-z0-9]{1,10}(\.[a-z0-9]{1,10}){0,3}|\[::[0-9a-f]{1,4}\]", fullmatch=True)


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "gateway", True),  # not from a page, or from one of the gateway's own that GETs
        (None, None, True),
        ("http://gateway:3007", "gateway:3007", True),
        ("https://gateway:3007", "gateway:3007", True),  # TLS may end before the gateway
        ("http://gateway", "gateway", True),
        ("https://gateway", "gateway", True),
        ("http://gateway", "gateway:80", True),
        ("https://gateway", "gateway:443", True),
        ("http://gateway:80", "gateway", True),
        ("HTTP://GateWay.:3007", "gateway:3007", True),
        ("http://gateway:3007", "GateWay.:3007", True),
        ("http://[::1]:3007", "[::1]:3007", True),
        ("http://[0:0::1]:3007", "[::1]:3007", True),
        ("http://127.0.0.1:3007", "127.0.0.1:3007", True),
        ("http://gateway", "gateway:443", False),
        ("https://gateway", "gateway:80", False),
        ("http://gateway", "gateway:3007", False),
        ("http://gateway:3007", "gateway", False),
        ("http://localhost:5173", "localhost:3007", False),
        ("http://localhost:3007", "127.0.0.1:3007", False),
        ("http://127.0.0.1:3007", "localhost:3007", False),
        ("http://[::1]:3007", "127.0.0.1:3007", False),
        ("http://gateway.evil:3007", "gateway:3007", False),
        ("http://evilgateway:3007", "gateway:3007", False),
        ("http://gateway:3007", None, False),
        ("http://gateway:3007", "", False),
        ("http://gateway:3007", "gateway:3007, gateway:3007", False),
        ("http://gateway:3007, http://gateway:3007", "gateway:3007", False),
        ("chrome-extension://gateway", "gateway", False),
        ("null", "gateway", False),
        ("null", "null", False),
        ("", "", False),
        ("gateway:3007", "gateway:3007", False),
        ("http://gateway:3007/", "gateway:3007", False),
        ("http://gateway:3007@evil", "gateway:3007", False),
        ("http://evil#gateway:3007", "gateway:3007", False),
    ],
)
def test_the_gateways_own(origin: str | None, host: str | None, allowed: bool) -> None:
    assert SAME.allows(origin, host) is allowed
    assert SOME_AND_OWN.allows(origin, host) is allowed


@given(HOSTS, HOSTS, st.integers(1, 65535), st.integers(1, 65535), st.sampled_from(["http", "https"]))
def test_same_is_the_same_host_and_port(page: str, host: str, of_page: int, of_host: int, scheme: str) -> None:
    assert SAME.allows(f"{scheme}://{page}:{of_page}", f"{host}:{of_host}") is ((page, of_page) == (host, of_host))
    assert SAME.allows(f"{scheme}://{page}:{of_page}", f"{page.upper()}:{of_page}")
    usual = 80 if scheme == "http" else 443
    assert SAME.allows(f"{scheme}://{page}", f"{page}:{of_host}") is (of_host == usual)
    assert SAME.allows(f"{scheme}://{page}:{of_page}", page) is (of_page == usual)


def test_a_scheme_that_proxies_say_is_compared() -> None:
    """By one port, too, though only one scheme is spoken there."""
    for asked, schemes in (("http", ["http"]), ("https", ["https"]), (None, ["http", "https"])):
        found = [
            scheme
            for scheme in ("http", "https")
            if SAME.allows(f"{scheme}://a.example:8443", "a.example:8443", Asked(None, asked, None))
        ]
        assert found == schemes


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://good", True),
        ("http://good:80", True),
        ("http://GOOD", True),
        ("https://good:8080", True),
        ("https://a.wide.example", True),
        ("https://a.b.wide.example:443", True),
        ("capacitor://localhost", True),
        ("http://good:8080", False),
        ("https://good", False),
        ("https://wide.example", False),
        ("http://a.wide.example", False),
        ("https://a.wide.example:8443", False),
        ("https://awide.example", False),
        ("https://a.wide.example.evil", False),
        ("https://evil/.wide.example", False),
        ("http://localhost", False),
        ("http://gateway:3007", False),  # its own, where the list does not say same
        ("null", False),
        ("good", False),
    ],
)
def test_some(origin: str | None, allowed: bool) -> None:
    assert SOME.allows(origin, "gateway:3007") is allowed


@given(st.text(max_size=30), st.text(max_size=30))
def test_nothing_is_raised_and_only_any_allows_all(origin: str, host: str) -> None:
    assert ANY.allows(origin, host)
    assert not Origins([]).allows(origin, host)
    assert SAME.allows(origin, host) in (True, False)


def test_nobody() -> None:
    assert Origins([]).allows(None, "gateway")


def test_any() -> None:
    for origin in (None, "null", "http://page"):
        assert ANY.allows(origin, "gateway")
    for origins in (ANY, Origins("any", credentials=True)):
        for page in (None, b"null", b"http://page"):
            assert origins.headers(page) == [(b"access-control-allow-origin", b"*")]


def test_headers() -> None:
    told = [(b"access-control-allow-origin", b"http://good"), (b"vary", b"origin")]
    for origins in (SAME, SOME):
        assert origins.headers(b"http://good") == told
        assert origins.headers(None) == [(b"vary", b"origin")]
    with_cookies = Origins(["http://good"], credentials=True)
    assert with_cookies.headers(b"http://good") == [*told, (b"access-control-allow-credentials", b"true")]
    assert with_cookies.headers(None) == [(b"vary", b"origin")]


def test_preflight() -> None:
    told = dict(preflight("GET, POST", b"x-token"))
    assert told == {
        b"access-control-allow-methods": b"GET,POST",
        b"access-control-allow-headers": b"x-token",
        b"access-control-max-age": b"600",
    }
    for wanted in (None, b"x" * (MAX_WANTED_BYTES + 1)):
        names = dict(preflight("POST", wanted))[b"access-control-allow-headers"].split(b",")
        assert {b"authorization", b"content-type"} <= set(names)
    longest = b"x" * MAX_WANTED_BYTES
    assert dict(preflight("POST", longest))[b"access-control-allow-headers"] == longest
