"""The table of names that sessions of a pattern channel want."""

from __future__ import annotations

import sys
import time
from functools import partial

import pytest

from wsgw.bridges.interests import Interest, Interests
from wsgw.broker.subscription import NatsSubscription
from wsgw.channels.channel import Channel, Direction
from wsgw.errors import TOO_MANY_SUBJECTS, GatewayError

CHAT = Channel("chat.*", Direction.BOTH, "rooms.*")


def refused(error: GatewayError) -> None:
    raise AssertionError(error)


def subscription() -> NatsSubscription:
    return NatsSubscription("rooms.x", lambda publication: None)


def joined(table: Interests, name: str) -> Interest:
    interest = table.add(name)
    table.enter(name, refused)
    return interest


async def test_the_longest_idle_makes_room() -> None:
    table = Interests(CHAT, 2)
    first, _ = joined(table, "chat.1"), joined(table, "chat.2")
    with pytest.raises(GatewayError):
        table.add("chat.3")
    pattern = joined(table, "chat.*")  # beside them
    with pytest.raises(GatewayError) as caught:
        table.add("chat.3")
    assert caught.value.kind is TOO_MANY_SUBJECTS
    held = subscription()
    assert table.attach("chat.1", first, held)
    waiting = first.ready()
    assert table.leave("chat.*", refused, 1.0)
    assert table.leave("chat.1", refused, 2.0)
    assert table.leave("chat.2", refused, 3.0)
    table.add("chat.3")
    assert table.names() == {"chat.*", "chat.2", "chat.3"}
    assert table.orphans == [held]
    assert table.in_pattern is pattern
    assert waiting is not None
    assert waiting.done(), "nobody waits for what is gone"


async def test_who_comes_back_is_not_idle() -> None:
    table = Interests(CHAT, 5)
    for name in ("chat.1", "chat.2"):
        joined(table, name)
        assert table.leave(name, refused, 1.0)
        assert not table.leave(name, refused, 1.0)
    assert not table.leave("chat.nobody", refused, 1.0)
    table.enter("chat.1", refused)
    assert not table.drop_idle(0.9, 10)
    assert table.any_idle
    assert not table.drop_idle(1.0, 10)
    assert table.names() == {"chat.1"}
    assert not table.any_idle


async def test_idle_names_are_dropped_some_at_a_time() -> None:
    table = Interests(CHAT, 5)
    for number in range(5):
        joined(table, f"chat.{number}")
        table.leave(f"chat.{number}", refused, float(number))
    assert table.drop_idle(3.0, 2)
    assert table.names() == {"chat.2", "chat.3", "chat.4"}
    assert table.drop_idle(3.0, 2), "there may be more"
    assert not table.drop_idle(3.0, 2)
    assert table.names() == {"chat.4"}
    assert not table.drop_idle(5.0, 2)
    assert not table.any_idle


async def test_missing_are_concrete_names_without_a_subscription() -> None:
    table = Interests(CHAT, 5)
    one, two = joined(table, "chat.1"), joined(table, "chat.2")
    joined(table, "chat.*")
    assert table.missing() == [("chat.1", one), ("chat.2", two)]
    held = subscription()
    assert table.attach("chat.1", one, held)
    assert (table.missing(), table.subscribed()) == ([("chat.2", two)], {"chat.1"})
    table.detach_all()
    assert dict(table.missing()) == {"chat.1": one, "chat.2": two}
    assert (table.orphans, table.subscribed()) == ([held], set())
    table.remove("chat.2", two)
    assert table.missing() == [("chat.1", one)]


async def test_a_subscription_that_comes_too_late_is_an_orphan() -> None:
    table = Interests(CHAT, 5)
    gone, late = joined(table, "chat.1"), subscription()
    table.remove("chat.1", gone)
    again = joined(table, "chat.1")
    table.remove("chat.1", gone)
    assert not table.attach("chat.1", gone, late)
    assert (table.orphans, table["chat.1"], again.subscription) == ([late], again, None)


async def test_nearly_all_names_in_use_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    table = Interests(CHAT, 10)

    def leave(name: str) -> None:
        table.leave(name, next(iter(table[name].sessions)), 1.0)

    for number in range(7):
        joined(table, f"chat.{number}")
    assert table.in_use == 7
    joined(table, "chat.*")
    assert (table.in_use, caplog.text) == (7, ""), "the pattern is none of them"
    joined(table, "chat.7")
    joined(table, "chat.8")
    assert caplog.text.count("channel chat.*: 8 of at most 10 names are in use") == 1
    leave("chat.8")
    leave("chat.7")
    joined(table, "chat.7")
    assert (table.in_use, caplog.text.count("in use")) == (8, 1), "told again only after it was clearly over"
    for number in range(8):
        leave(f"chat.{number}")
    leave("chat.*")
    assert table.in_use == 0
    for number in range(8):
        joined(table, f"chat.{number}")
    assert caplog.text.count("in use") == 2


async def test_a_name_is_idle_when_its_last_session_leaves() -> None:
    table = Interests(CHAT, 5)
    interest = joined(table, "chat.1")

    def another(error: GatewayError) -> None:
        raise AssertionError(error)

    table.enter("chat.1", another)
    assert not table.leave("chat.1", refused, 1.0)
    assert (table.any_idle, list(interest.sessions)) == (False, [another])
    assert table.leave("chat.1", another, 2.0)
    assert (table.any_idle, table.in_use) == (True, 0)


async def test_leaving_before_the_warning_takes_none_away(caplog: pytest.LogCaptureFixture) -> None:
    table = Interests(CHAT, 100)
    for number in range(79):
        joined(table, f"chat.{number}")
    assert table.leave("chat.0", refused, 1.0)
    assert caplog.text == ""
    for number in range(79, 81):
        joined(table, f"chat.{number}")
    assert caplog.text.count("80 of at most 100 names are in use") == 1


async def test_leaving_costs_the_same_among_many() -> None:
    def cost(sessions: int) -> float:
        table = Interests(CHAT, sessions)
        table.add("chat.1")
        several = [lambda error, number=number: None for number in range(sessions)]
        for each in several:
            table.enter("chat.1", each)
        started = time.perf_counter()
        for each in reversed(several):
            table.leave("chat.1", each, 1.0)
        return (time.perf_counter() - started) / sessions

    assert cost(20_000) < 20 * cost(1000), "walking the sessions would make it hundreds of times"


async def test_an_idle_name_keeps_no_memory_of_who_had_it() -> None:
    table = Interests(CHAT, 2)
    interest = table.add("chat.1")
    small = sys.getsizeof(interest.sessions)
    many = [partial(refused) for _ in range(1000)]
    for one in many:
        table.enter("chat.1", one)
    for one in many:
        table.leave("chat.1", one, 1.0)
    assert sys.getsizeof(interest.sessions) == small
    table.enter("chat.1", refused)
    assert list(table["chat.1"].sessions) == [refused]


async def test_to_settle_twice_is_harmless() -> None:
    interest = Interest()
    waiting, gone = interest.ready(), interest.ready()
    assert waiting is not None
    assert gone is not None
    gone.cancel()
    interest.settle()
    interest.settle()
    assert waiting.done()
    assert interest.ready() is None
