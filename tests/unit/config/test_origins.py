"""Origins: what browsers send, and what the configuration allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.config.changes import needing_restart
from wsgw.config.file import ConfigFile
from wsgw.config.load import load
from wsgw.config.origins import Origin, cookie_problem, entry_of, is_pattern, origin_of
from wsgw.config.settings import Settings
from wsgw.errors import ConfigError


def settings(**values: object) -> Settings:
    return load({}, {}, ConfigFile("x", values))


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://localhost:5173", Origin("http", "localhost", 5173)),
        ("http://localhost", Origin("http", "localhost", 80)),
        ("https://App.Example.", Origin("https", "app.example", 443)),
        ("HTTPS://a:443", Origin("https", "a", 443)),
        ("http://[::1]:80", Origin("http", "[::1]", 80)),
        ("chrome-extension://abcdef", Origin("chrome-extension", "abcdef", None)),
        ("capacitor://localhost", Origin("capacitor", "localhost", None)),
    ],
)
def test_what_browsers_send(text: str, origin: Origin) -> None:
    assert origin_of(text) == origin
    assert entry_of(text) == origin
    assert not is_pattern(origin)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "a",
        "a:80",
        "//a",
        "://a",
        "http://",
        "http://a/",
        "http://a b",
        "http://u@a",
        "http://a, http://b",
        "1http://a",
        "http://a:x",
        "http://*.a",
        "file://",
        "x" * 65 + "://a",
        "http:// a",
        "http://a\n",
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        origin_of(text)


@given(st.text(max_size=60))
def test_nothing_else_is_raised(text: str) -> None:
    for read in (origin_of, entry_of):
        for begin in ("", "http://"):
            try:
                read(begin + text)
            except ValueError as error:
                assert str(error)  # noqa: PT017  some are good


@given(st.text("ab.-*[]:1/@", max_size=12), st.sampled_from(["http", "x"]))
def test_an_entry_without_a_wildcard_is_an_origin(text: str, scheme: str) -> None:
    try:
        entry = entry_of(f"{scheme}://{text}")
    except ValueError:
        return
    if not is_pattern(entry):
        assert entry == origin_of(f"{scheme}://{text}")


def test_wildcards() -> None:
    entry = entry_of("https://*.App.example:8443")
    assert entry == Origin("https", "*.app.example", 8443)
    assert is_pattern(entry)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("localhost:5173", "is not an origin such as https://app.example or https://*.app.example:8443"),
        ("app.example", "is not an origin such as https://app.example or https://*.app.example:8443"),
        ("", "is not an origin such as https://app.example or https://*.app.example:8443"),
        ("*", "is not an origin such as https://app.example or https://*.app.example:8443"),
        ("null", "is what pages of anybody can be made to say; it passes with 'origins: any' only"),
        ("https://*", "is every page of https, which can be had as 'origins: any' only"),
        ("http://localhost:*", "has a * for the port; a * stands for labels of a host's name only"),
        ("http://a.*.b", "has a * that is not its first label, where it stands for one or more of them"),
        ("https://app.example/", "has more than scheme, host and port"),
        ("https://app.example?a", "has more than scheme, host and port"),
        ("https://a:0", "has no port in it that there is"),
        ("https://a:70000", "has no port in it that there is"),
        ("https://a:x", "has no host's name or address in it"),
        ("https://a b", "has no host's name or address in it"),
        ("https://[::1", "has no host's name or address in it"),
        ("https://bücher.example", "has letters that browsers send otherwise: write xn--bcher-kva.example"),
    ],
)
def test_bad_entries_are_named(entry: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(origins=["https://fine.example", entry])
    assert str(caught.value) == f"x: origins: {entry!r} {reason}"


def test_the_setting() -> None:
    assert settings().origins == "same"
    for value in ("same", "any", [], ["same", "https://a.example", "http://*.b:80"]):
        assert settings(origins=value).origins == value
    assert settings(origins="https://a.example").origins == ["https://a.example"]
    for bad in (5, None, {"a": 1}, [5], [None], ["any"]):
        with pytest.raises(ConfigError, match=r"^x: origins: "):
            settings(origins=bad)


def test_they_are_read_at_the_start_only() -> None:
    fresh = settings(origins=["https://a.example"], hosts=["a.example"])
    assert needing_restart(settings(), fresh) == ["origins", "hosts"]
    assert needing_restart(fresh, fresh) == []


def test_cookies_are_not_for_everybody() -> None:
    assert cookie_problem("any", None) is None
    assert cookie_problem("same", "auth.cookie") is None
    assert cookie_problem(["https://a"], "auth.cookie") is None
    assert "auth.cookie" in str(cookie_problem("any", "auth.cookie"))
