from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.cli.address import masked, parse


@pytest.mark.parametrize(
    ("uri", "scheme", "channel_type"),
    [
        ("http://localhost:3007", "http", "WS"),
        ("HTTPS://h", "https", "WS"),
        ("ws://[::1]:1/base", "ws", "WS"),
        ("wss://h", "wss", "WS"),
        ("NATS://h:4222", "nats", "NATS"),
        ("tls://h", "tls", "NATS"),
    ],
)
def test_usable(uri: str, scheme: str, channel_type: str) -> None:
    address = parse(uri)
    assert (address.scheme, address.channel_type, str(address)) == (scheme, channel_type, uri)


def test_user_and_password_are_decoded_and_hidden() -> None:
    address = parse("nats://us%40er:p%2Fw:x@h:1")
    assert (address.user, address.password) == ("us@er", "p/w:x")
    assert address.without_userinfo() == "nats://h:1"
    assert "nats://us%40er:***@h:1" in repr(address)
    assert "p%2Fw" not in repr(address)
    token = parse("nats://t0ken@h:1")
    assert (token.user, token.password, str(token)) == ("t0ken", None, "nats://***@h:1")
    assert str(parse("ws://h:1/rt?token=t0ken")) == "ws://h:1/rt?***"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "localhost:4222",
        "nats:localhost:4222",
        "ftp://h",
        "http://",
        "http://:1",
        "ws://h:99999",
        "ws://h:0",
        "ws://a b",
    ],
)
def test_unusable(uri: str) -> None:
    with pytest.raises(ValueError, match="scheme"):
        parse(uri)


@given(st.text(), st.text(alphabet=st.characters(exclude_characters=":/@")), st.text(min_size=1))
def test_no_text_after_the_user_is_shown(scheme: str, user: str, secret: str) -> None:
    secret = f"<{secret}>"
    assert secret not in masked(f"{user}:{secret}@host")
    assert secret not in masked(f"{scheme}//{user}:{secret}@host")
