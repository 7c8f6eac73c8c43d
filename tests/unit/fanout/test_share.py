"""One channel's part of an outbox."""

from __future__ import annotations

import pytest

from wsgw.channels.channel import Channel, Direction, SlowConsumer
from wsgw.fanout import share as module
from wsgw.fanout.deliveries import Deliveries
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.fanout.share import Newest, Share
from wsgw.metrics import Metrics


def item(name: str, subject: str = "s") -> Encoded:
    made = Encoded(Message(True, b"x"))
    made.origin = name, subject
    return made


def share(name: str, policy: SlowConsumer) -> Share:
    return Share(Deliveries(Channel(name, Direction.INBOUND, slow_consumer=policy), "websocket", Metrics()))


def test_of_each_origin_only_the_newest_stays() -> None:
    newest = Newest()
    first, other, second, elsewhere = item("a", "s"), item("a", "t"), item("a", "s"), item("b", "s")
    assert [newest.replace(one) for one in (first, other, second, elsewhere)] == [None, None, first, None]
    assert list(newest) == [other, second, elsewhere], "in the order in which the newest came"
    assert len(newest) == 3
    assert newest[0] is other
    assert newest.popleft() is other
    assert newest.replace(item("a", "t")) is None


def test_what_is_kept_and_who_is_disconnected_depend_on_the_policy() -> None:
    made = {policy: share("A", policy) for policy in SlowConsumer}
    assert {policy for policy, one in made.items() if isinstance(one.items, Newest)} == {SlowConsumer.LATEST}
    assert {policy for policy, one in made.items() if one.drops_none} == {SlowConsumer.DISCONNECT}
    control = Share(None)
    assert not control.drops_none
    assert not isinstance(control.items, Newest)


def test_what_was_dropped_is_counted_and_kept_by_name() -> None:
    plain = share("A", SlowConsumer.DROP_OLDEST)
    assert plain.untold is None
    plain.lost([Encoded(Message(True, b"x"))] * 2)
    plain.lost([Encoded(Message(True, b"x"))])
    assert plain.deliveries is not None
    assert plain.deliveries.dropped == 3
    assert plain.untold == {"A": 3}
    pattern = share("chat.*", SlowConsumer.DROP_OLDEST)
    pattern.lost([item("chat.1"), item("chat.*"), item("chat.1")])
    assert pattern.untold == {"chat.1": 2, "chat.*": 1}


def test_names_that_are_to_be_told_of_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNTOLD_NAMES", 2)
    pattern = share("chat.*", SlowConsumer.DROP_OLDEST)
    pattern.lost([item(f"chat.{number}") for number in (1, 2, 3, 1, 4)])
    assert pattern.untold == {"chat.1": 2, "chat.2": 1, "chat.*": 2}
