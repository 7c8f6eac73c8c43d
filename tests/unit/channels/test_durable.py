"""What makes a channel durable, and what is refused of it."""

from __future__ import annotations

import pytest

from wsgw.channels.durable import Durable, durable_problem, stream_name


@pytest.mark.parametrize(
    ("channel", "name"), [("orders", "orders"), ("room.*", "room__"), ("a.b-c_D9", "a_b-c_D9"), ("é", "_")]
)
def test_the_name_of_a_stream(channel: str, name: str) -> None:
    assert stream_name(channel) == name


def test_where_the_api_is() -> None:
    assert Durable("S").api == "$JS.API"
    assert Durable("S", domain="leaf").api == "$JS.leaf.API"
    assert Durable("S", api_prefix="JS.hub.API").api == "JS.hub.API"


@pytest.mark.parametrize(
    ("durable", "key"),
    [
        (Durable("a.b"), "stream"),
        (Durable(""), "stream"),
        (Durable("S", max_age_seconds=59.0), "max_age"),
        (Durable("S", domain="a.b"), "domain"),
        (Durable("S", domain="a", api_prefix="b"), "domain"),
        (Durable("S", api_prefix="b."), "api_prefix"),
        (Durable("S", api_prefix="b.>"), "api_prefix"),
    ],
)
def test_refusals(durable: Durable, key: str) -> None:
    problem = durable_problem(durable)
    assert problem is not None
    assert problem[0] == key


def test_what_is_good() -> None:
    assert durable_problem(Durable("ORDERS")) is None
    assert durable_problem(Durable("ORDERS", domain="hub-1")) is None
    assert durable_problem(Durable("ORDERS", api_prefix="JS.hub.API")) is None
