"""Who a client is that comes by proxies: whose word is taken, and as what it counts."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.access.origins import Asked
from wsgw.access.proxies import MAX_HOPS, Caller, Proxies
from wsgw.config.proxies import UNIX

NOBODY = Caller(None, None)
FOR = b"x-forwarded-for"


def headers(**said: str | list[str]) -> list[tuple[bytes, bytes]]:
    """``x_forwarded_for="a"`` is a header, and with a list one of several lines."""
    lines = [(name, each) for name, value in said.items() for each in ([value] if isinstance(value, str) else value)]
    return [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in lines]


def by(trusted: list[str] | None, peer: str = "10.0.0.1", **said: str | list[str]) -> Caller:
    return Proxies(trusted).caller(peer, headers(**said))


# -- where it is not known whether there are proxies


@pytest.mark.parametrize(
    "peer",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
        ),
        *("::ffff:10.0.0.1", UNIX, "", "testclient"),
    ],
)
def test_an_address_that_says_nothing(peer: str) -> None:
    assert by(None, peer) == NOBODY
    assert by(None, peer, x_forwarded_for="8.8.8.8") == NOBODY


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("2600:1:2:3:4::5", "2600:1:2:3::/64"),
    ],
)
@pytest.mark.parametrize("header", ["forwarded", "x_forwarded_for", "x_real_ip", "via"])
def test_an_address_of_the_internet_counts_unless_it_is_a_proxy_s(peer: str, network: str, header: str) -> None:
    assert by(None, peer, host="a", accept="b") == Caller(None, network)
    assert by(None, peer, **{header: "1.1.1.1"}) == NOBODY


def test_nothing_that_is_said_is_taken() -> None:
    said = {"x_forwarded_for": "1.1.1.1", "forwarded": "for=1.1.1.1;host=a", "x_forwarded_host": "a"}
    assert by(None, "127.0.0.1", **said) == NOBODY
    assert by([], "127.0.0.1", **said) == Caller(None, "127.0.0.1")
    assert by(["10.0.0.2"], "10.0.0.1", **said) == Caller(None, "10.0.0.1")
    assert by(["10.0.0.0/8"], UNIX, **said) == NOBODY
    assert by([UNIX], "", **said) == NOBODY


def test_where_there_are_none_every_address_counts() -> None:
    assert by([], "192.168.1.1") == Caller(None, "192.168.1.1")
    assert by([], "fd00::1") == Caller(None, "fd00::/64")
    assert by([], UNIX) == by([], "") == NOBODY


def test_that_limits_do_not_apply_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    Proxies(None).caller("10.0.0.1", ())
    Proxies([], counting=True).caller("10.0.0.1", ())
    Proxies(["10.0.0.1"], counting=True).caller("10.0.0.1", ())
    Proxies(None, counting=True).caller("8.8.8.8", ())
    Proxies(None).caller("8.8.8.8", headers(via="1.1 a"))
    assert caplog.messages == []
    proxies = Proxies(None, counting=True)
    for peer in ("10.0.0.1", "10.0.0.2"):
        proxies.caller(peer, ())
        proxies.caller("8.8.8.8", headers(via="1.1 a"))
    assert caplog.messages == [
        "limits by address are configured, and do not apply to 10.0.0.1, which is no address of the internet: whether "
        "clients come by proxies is not known. Set 'trusted_proxies' to the addresses of the proxies, or to [] where "
        "there are none"
    ]
    Proxies(None, counting=True).caller("8.8.8.8", headers(via="1.1 a"))
    assert "8.8.8.8, which sends the header via, as proxies do" in caplog.messages[1]
    Proxies(None, counting=True).caller(UNIX, ())
    assert "do not apply to unix, which is no address: whether" in caplog.messages[2]
    Proxies(None, counting=True).caller("", ())
    assert "do not apply to a peer, which is no address: whether" in caplog.messages[3]


@pytest.mark.parametrize(("peer", "trusted"), [("172.18.0.1", ["127.0.0.1"]), ("::1", []), (UNIX, ["10.0.0.1"])])
def test_a_proxy_that_is_not_in_the_list_is_named_once(
    peer: str, trusted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Not one of the internet: anybody there can say so."""
    caplog.set_level(logging.WARNING)
    proxies = Proxies(trusted)
    for other in ("8.8.8.8", "testclient", *trusted):
        proxies.caller(other, headers(x_forwarded_for="9.9.9.9"))
    proxies.caller(peer, headers(host="a", via="1.1 a", x_real_ip="9.9.9.9"))
    assert caplog.messages == []
    said = [
        f"{peer} sends the header x-forwarded-for and is not in 'trusted_proxies': it is not believed, and whoever "
        "comes by it has its address. Add it there if it is a proxy of yours"
    ]
    for _ in range(2):
        proxies.caller(peer, headers(x_forwarded_for="9.9.9.9"))
        assert caplog.messages == said
    proxies.replace(trusted)  # whoever has changed something wants to know
    proxies.caller(peer, headers(forwarded="for=9.9.9.9"))
    assert caplog.messages[1:] == [said[0].replace("x-forwarded-for", "forwarded")]


# -- from proxies that are trusted

TRUSTED = ["10.0.0.0/8", "fd00::/8", UNIX]


@pytest.mark.parametrize(
    ("said", "client", "network"),
    [
        ({"x_forwarded_for": "8.8.8.8"}, "8.8.8.8", "8.8.8.8"),
        ({"x_forwarded_for": "8.8.8.8:1234"}, "8.8.8.8", "8.8.8.8"),
        ({"x_forwarded_for": "192.168.1.1"}, "192.168.1.1", "192.168.1.1"),
        ({"x_forwarded_for": "2600:1:2:3::4"}, "2600:1:2:3::4", "2600:1:2:3::/64"),
        ({"x_forwarded_for": "[2600:1:2:3::4]:80"}, "2600:1:2:3::4", "2600:1:2:3::/64"),
        ({"x_forwarded_for": "1.1.1.1, 8.8.8.8, 10.0.0.2, fd00::1"}, "8.8.8.8", "8.8.8.8"),
        ({"x_forwarded_for": ["1.1.1.1", "8.8.8.8", "10.0.0.2"]}, "8.8.8.8", "8.8.8.8"),
        ({"x_forwarded_for": "<script>, ,,\"', 8.8.8.8"}, "8.8.8.8", "8.8.8.8"),
        ({"forwarded": "for=1.1.1.1, for=8.8.8.8;by=10.0.0.9, for=10.0.0.2"}, "8.8.8.8", "8.8.8.8"),
        ({"forwarded": 'for="[2600:1:2:3::4]:99"'}, "2600:1:2:3::4", "2600:1:2:3::/64"),
        ({"forwarded": ['for="', "for=8.8.8.8"]}, "8.8.8.8", "8.8.8.8"),
        ({"forwarded": "for=8.8.8.8", "x_forwarded_for": "8.8.8.8"}, "8.8.8.8", "8.8.8.8"),
        ({"forwarded": "for=1.1.1.1, for=8.8.8.8", "x_forwarded_for": "8.8.8.8, 10.1.1.1"}, "8.8.8.8", "8.8.8.8"),
        ({"forwarded": "for=8.8.8.8", "x_forwarded_for": ""}, "8.8.8.8", "8.8.8.8"),
        # who hides, and who is a proxy, says nothing of a client
        ({"forwarded": "for=unknown"}, "10.0.0.1", None),
        ({"forwarded": "for=1.1.1.1, for=_hidden, for=10.0.0.2"}, "10.0.0.2", None),
        ({"forwarded": "proto=https"}, "10.0.0.1", None),
        ({"x_forwarded_for": "unknown, 10.0.0.2"}, "10.0.0.2", None),
        ({"x_forwarded_for": "10.0.0.3, 10.0.0.2"}, "10.0.0.3", None),
        ({}, None, None),
        ({"x_forwarded_for": " , "}, None, None),
        ({"x_real_ip": "8.8.8.8", "via": "a"}, None, None),
        # what is none is not believed, and counts as the last proxy, which all share of whom that is said
        ({"x_forwarded_for": "garbage"}, None, "10.0.0.1"),
        ({"x_forwarded_for": "8.8.8.8, garbage, 10.0.0.2"}, "10.0.0.2", "10.0.0.2"),
        ({"forwarded": "for=8.8.8.8;for=8.8.8.8"}, None, "10.0.0.1"),
        ({"forwarded": "for=8.8.8.8", "x_forwarded_for": "9.9.9.9"}, None, "10.0.0.1"),
        ({"forwarded": "for=unknown", "x_forwarded_for": "9.9.9.9"}, None, "10.0.0.1"),
        ({"forwarded": "for=9.9.9.9", "x_forwarded_for": "garbage"}, None, "10.0.0.1"),
        ({"forwarded": "for=unknown", "x_forwarded_for": "garbage"}, None, "10.0.0.1"),
        ({"forwarded": "garbage", "x_forwarded_for": "unknown"}, None, "10.0.0.1"),
        ({"forwarded": "for=9.9.9.9,", "x_forwarded_for": "," * 5000}, None, "10.0.0.1"),
        ({"x_forwarded_for": "1.1.1.1" + ",10.0.0.2" * (MAX_HOPS + 1)}, "10.0.0.2", "10.0.0.2"),
        ({"x_forwarded_for": "1.1.1.1" + ",10.0.0.2" * (MAX_HOPS - 1)}, "1.1.1.1", "1.1.1.1"),
    ],
)
def test_the_client_of_a_proxy(said: dict[str, str], client: str | None, network: str | None) -> None:
    proxies = Proxies(TRUSTED)
    for _ in range(2):  # remembered, it is the same
        assert proxies.caller("10.0.0.1", headers(host="a", **said))[:2] == (client, network)


def test_peers_of_a_unix_socket() -> None:
    assert by([UNIX], UNIX) == NOBODY
    assert by([UNIX], UNIX, x_forwarded_for="8.8.8.8") == Caller("8.8.8.8", "8.8.8.8")
    assert by([UNIX], UNIX, x_forwarded_for="unknown") == NOBODY
    assert by([UNIX], UNIX, x_forwarded_for="garbage") == Caller(None, UNIX)
    assert Proxies([UNIX]).trusts(UNIX)
    assert not Proxies([UNIX]).trusts("")
    assert not Proxies(["10.0.0.0/8"]).trusts(UNIX)


def test_what_is_not_believed_is_said_seldom(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    proxies = Proxies(TRUSTED, clock=lambda: 0.0)
    for number in range(3):
        proxies.caller("10.0.0.1", headers(x_forwarded_for="x\n" * (200 + number)))
    assert caplog.messages == ["what 10.0.0.1 says of clients is not believed: what is said is no address"]


def test_who_says_the_same_is_not_looked_at_again() -> None:
    proxies = Proxies(TRUSTED)
    for number in range(3):
        caller = proxies.caller("10.0.0.1", headers(x_forwarded_for="8.8.8.8", host=str(number)))
    assert caller is proxies.caller("10.0.0.1", headers(x_forwarded_for="8.8.8.8"))
    long = headers(x_forwarded_for="8.8.8.8, " * 50 + "9.9.9.9")
    assert proxies.caller("10.0.0.1", long) is not proxies.caller("10.0.0.1", long), "that is not kept"


def test_others_while_it_runs() -> None:
    proxies = Proxies()
    said = headers(x_forwarded_for="8.8.8.8")
    assert (proxies.any, proxies.caller("10.0.0.1", said)) == (False, NOBODY)
    proxies.replace(["10.0.0.1"])
    assert (proxies.any, proxies.caller("10.0.0.1", said)) == (True, Caller("8.8.8.8", "8.8.8.8"))
    proxies.replace([])
    assert (proxies.any, proxies.caller("10.0.0.1", said)) == (False, Caller(None, "10.0.0.1"))


# -- what the browser asked for


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({"x_forwarded_host": "app.example:8443"}, Asked(b"app.example:8443")),
        ({"x_forwarded_proto": "HTTPS"}, Asked(None, "https", 443)),
        ({"x_forwarded_proto": "wss"}, Asked(None, "https", 443)),
        ({"x_forwarded_proto": "ws"}, Asked(None, "http", 80)),
        ({"x_forwarded_proto": "gopher"}, None),
        ({"x_forwarded_port": "8443"}, Asked(None, None, 8443)),
        ({"x_forwarded_proto": "https", "x_forwarded_port": "8443"}, Asked(None, "https", 8443)),
        ({"x_forwarded_port": "x"}, None),
        ({"x_forwarded_port": "0"}, None),
        ({"x_forwarded_port": "65535"}, Asked(None, None, 65535)),
        ({"x_forwarded_port": "65536"}, None),
        ({"x_forwarded_port": "123456"}, None),
        ({"x_forwarded_host": ""}, None),
        ({"forwarded": "host=a;proto=https"}, Asked(b"a", "https", 443)),
        (
            {"forwarded": 'host="a:1"', "x_forwarded_host": "A:1", "x_forwarded_proto": "http"},
            Asked(b"a:1", "http", 80),
        ),
        ({"forwarded": "host=a;proto=https", "x_forwarded_host": "b"}, Asked(None, "https", 443)),
        ({"forwarded": "host=a;proto=https", "x_forwarded_proto": "http"}, Asked(b"a")),
        # as each proxy appends, what counts is what the one said that is nearest to the client
        ({"x_forwarded_for": "8.8.8.8", "x_forwarded_host": "evil, app"}, Asked(b"app")),
        ({"x_forwarded_for": "8.8.8.8, 10.0.0.2", "x_forwarded_host": "evil, app, inner"}, Asked(b"app")),
        ({"x_forwarded_for": "8.8.8.8, 10.0.0.2", "x_forwarded_host": "app"}, Asked(b"app")),
        ({"x_forwarded_for": "8.8.8.8", "x_forwarded_host": ["evil", "app"]}, Asked(b"app")),
        ({"forwarded": "for=1.1.1.1;host=evil, for=8.8.8.8;host=app, for=10.0.0.2;host=inner"}, Asked(b"app")),
        ({"forwarded": "for=8.8.8.8;proto=https, for=10.0.0.2;host=inner;proto=http"}, Asked(b"inner", "https", 443)),
        ({"forwarded": "for=8.8.8.8;host=app, for=10.0.0.2;proto=https"}, Asked(b"app", "https", 443)),
        ({"forwarded": "for=unknown;host=app"}, Asked(b"app")),
        # who is not believed in one thing is not in another
        ({"x_forwarded_for": "garbage", "x_forwarded_host": "app"}, None),
        ({"forwarded": "for=1.1.1.1;host=app", "x_forwarded_for": "8.8.8.8"}, None),
    ],
)
def test_what_was_asked(said: dict[str, str], asked: Asked | None) -> None:
    assert by(TRUSTED, **said).asked == asked


@given(
    st.lists(st.tuples(st.sampled_from([FOR, b"forwarded", b"x-forwarded-host", b"x-forwarded-port"]), st.binary())),
    st.sampled_from(["10.0.0.1", UNIX, "8.8.8.8", "", "x"]),
)
def test_no_header_is_a_fault(said: list[tuple[bytes, bytes]], peer: str) -> None:
    caller = Proxies(TRUSTED).caller(peer, said)
    assert caller.client is None or peer in ("10.0.0.1", UNIX)


@given(st.lists(st.ip_addresses().map(str), max_size=4), st.ip_addresses(v=4).filter(lambda each: each.is_global))
def test_a_client_cannot_say_to_be_another(forged: list[str], client: object) -> None:
    """The proxy appends where it comes from to what it sends."""
    said = ", ".join([*forged, str(client)])
    assert by(["10.0.0.1"], x_forwarded_for=said) == Caller(str(client), str(client))
