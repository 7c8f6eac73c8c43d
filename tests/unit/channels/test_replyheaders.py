"""Which headers of replies an answer over HTTP can carry."""

from __future__ import annotations

import pytest

from wsgw.channels.replyheaders import reply_header_problem


@pytest.mark.parametrize(
    "name",
    [
        "X-Total",
        "etag",
        "Content-Type",
        "Content-Encoding",
        "Cache-Control",
        "Set-Cookie",
        "Proxies",
        "A",
        "!#$%&'*+.^`|~",
    ],
)
def test_what_it_can(name: str) -> None:
    assert reply_header_problem(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "keep-alive",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "UPGRADE",
        "Proxy-Authenticate",
        "proxy-connection",
        "Content-Length",
        "date",
        "Server",
        "Access-Control-Allow-Origin",
        "access-control-expose-headers",
    ],
)
def test_what_the_server_says_itself(name: str) -> None:
    assert "says itself" in (reply_header_problem(name) or "")


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "a\r\nb", "é", "a\0", "a/b", '"a"', ":status", "a\n"])
def test_what_is_no_name(name: str) -> None:
    assert reply_header_problem(name) == "is no name of an HTTP header"
