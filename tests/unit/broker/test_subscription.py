"""The subscriptions of one connection, by their subjects."""

from __future__ import annotations

import time

from wsgw.broker.subscription import Credentials, NatsSubscription, Subscriptions
from wsgw.config.natsfiles import TlsFiles
from wsgw.fanout.publication import Publication


def subscription(subject: str) -> NatsSubscription:
    def deliver(publication: Publication) -> None: ...

    return NatsSubscription(subject, deliver)


async def test_several_of_a_subject() -> None:
    table = Subscriptions()
    one, other, third = subscription("a"), subscription("a"), subscription("A")
    for each in (one, other, third):
        table.add(each)
    assert (table.of("a"), table.of("A"), table.of("b")) == ((one, other), (third,), ())
    assert list(table) == [one, other, third]
    assert table.discard(one)
    assert not table.discard(one)
    assert one not in table
    assert other in table
    assert not table.discard(subscription("a"))
    assert not table.discard(subscription("b"))
    assert table.of("a") == (other,)
    assert table.discard(other)
    assert table.discard(third)
    assert (list(table), table.of("a")) == ([], ())


async def test_what_is_asked_costs_the_same_among_many() -> None:
    def cost(subscriptions: int) -> float:
        table = Subscriptions()
        for number in range(subscriptions):
            table.add(subscription(str(number)))
        best = float("inf")
        for _ in range(5):
            started = time.perf_counter()
            for number in range(100):
                for each in table.of(str(number)):
                    table.discard(each)
                    table.add(each)
            best = min(best, time.perf_counter() - started)
        return best

    assert cost(20_000) < 20 * cost(100), "walking all of them would make it hundreds of times"


def test_credentials_of_a_url() -> None:
    others = Credentials(credentials_file="a", nkey_seed_file="b", tls=TlsFiles("c"))
    assert others.of_url("u%40x:p%3A") == Credentials("u@x", "p:", tls=TlsFiles("c"))
    assert others.of_url("t%3Ak") == Credentials(token="t:k", tls=TlsFiles("c"))
