"""What differs between two configurations' channels, and what of it a running channel takes over."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.channels.authorize import Authorize
from wsgw.channels.changes import MAX_SHOWN_NAMES, Changes, between
from wsgw.channels.channel import Channel, Direction, OnGap, Payload, SlowConsumer
from wsgw.channels.durable import Durable
from wsgw.channels.hemera import Action
from wsgw.channels.template import template_of

IN = Channel("IN", Direction.INBOUND)
OUT = Channel("OUT", Direction.OUTBOUND)

#: For each option another value, and whether a running channel takes it over. Who adds an option decides that here.
OTHERS: dict[str, tuple[Any, bool]] = {
    "direction": (Direction.BOTH, False),
    "subject": ("in.all", False),
    "slow_consumer": (SlowConsumer.DISCONNECT, True),
    "outbox_messages": (5, True),
    "outbox_bytes": (5000, True),
    "timeout_seconds": (5.0, True),
    "durable": (Durable("S"), False),
    "payload": (Payload.JSON, False),
    "headers": (("A",), True),
    "on_join_last": (5, True),
    "on_gap": (OnGap.CLOSE, True),
    "hemera": (Action("x"), False),
    "template": (template_of("in.{sub}"), False),
    "authorize": (Authorize("auth.x"), False),
}


def test_every_option_is_decided() -> None:
    assert {field.name for field in fields(Channel)} == {"name", *OTHERS}


@pytest.mark.parametrize("option", OTHERS)
def test_an_option(option: str) -> None:
    value, live = OTHERS[option]
    other = replace(IN, **{option: value})
    assert between([IN, OUT], [other, OUT]) == (Changes(adjusted=(other,)) if live else Changes(restarted=(other,)))
    both = replace(other, subject="elsewhere")
    assert between([IN], [both]) == Changes(restarted=(both,))


def test_a_policy_by_which_publications_wait_otherwise() -> None:
    latest = replace(IN, slow_consumer=SlowConsumer.LATEST)
    assert between([IN], [latest]) == Changes(restarted=(latest,))
    assert between([latest], [IN]) == Changes(restarted=(IN,))


def test_names_come_and_go() -> None:
    assert between([IN], [OUT]) == Changes(added=(OUT,), removed=(IN,))
    assert not between([IN, OUT], [OUT, IN])
    assert not between([], [])


@given(st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")))
def test_each_channel_has_one_fate(before: set[str], after: set[str], changed: set[str]) -> None:
    old = [Channel(name, Direction.INBOUND) for name in sorted(before)]
    new = [Channel(name, Direction.INBOUND, "x" if name in changed else "") for name in sorted(after)]
    changes = between(old, new)
    assert {channel.name for channel in changes.added} == after - before
    assert {channel.name for channel in changes.removed} == before - after
    assert {channel.name for channel in changes.restarted} == before & after & changed
    assert bool(changes) == (old != new)


def test_in_words() -> None:
    assert str(Changes()) == "no channel has changed"
    many = tuple(Channel(f"c{number}", Direction.INBOUND) for number in range(MAX_SHOWN_NAMES + 2))
    assert str(Changes(added=(IN, OUT), removed=many)) == (
        f"added IN, OUT; removed {', '.join(channel.name for channel in many[:MAX_SHOWN_NAMES])} and 2 more"
    )
    assert str(Changes(adjusted=(IN,), restarted=(OUT,))) == "adjusted IN; restarted OUT"
