"""Which channel a name belongs to: by examples, and against a plain reference over all small names."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.subjects import SMALL_NAMES, SMALL_SUBJECTS, more_specific, reference
from wsgw.channels.channel import Channel, Direction, Use
from wsgw.channels.table import ChannelTable, shown, too_large, wrong_direction
from wsgw.errors import TOO_LARGE, UNKNOWN_CHANNEL, WRONG_DIRECTION, GatewayError, Kind

INBOUND, OUTBOUND, BOTH, REQUEST = Direction.INBOUND, Direction.OUTBOUND, Direction.BOTH, Direction.REQUEST
SUBSCRIBE, SEND = (Use.SUBSCRIBE,), (Use.PUBLISH, Use.REQUEST)

small_channels = st.dictionaries(st.sampled_from(SMALL_NAMES), st.sampled_from(list(Direction)), max_size=8).map(
    lambda directions: [Channel(name, direction) for name, direction in directions.items()]
)


def refused(call: Callable[[], object], kind: Kind) -> str:
    with pytest.raises(GatewayError) as caught:
        call()
    assert caught.value.kind is kind
    return caught.value.message


class TestTable:
    TABLE = ChannelTable(
        [
            Channel("IN", INBOUND),
            Channel("OUT", OUTBOUND, "out.x"),
            Channel("chat.*", BOTH, "rooms.*"),
            Channel("chat.vip", INBOUND),
            Channel("log.>", OUTBOUND),
            Channel("sum", REQUEST, "math.sum"),
            Channel("math.*", REQUEST),
        ]
    )

    def test_exact_name_comes_first(self) -> None:
        assert self.TABLE.find("IN", Use.SUBSCRIBE).name == "IN"
        assert self.TABLE.find("chat.vip", Use.SUBSCRIBE).name == "chat.vip"
        assert self.TABLE.find("chat.x", Use.SUBSCRIBE).name == "chat.*"
        assert self.TABLE.find("chat.*", Use.SUBSCRIBE).name == "chat.*"

    def test_subscribing_and_sending_are_found_apart(self) -> None:
        channel, subject = self.TABLE.find_to_send("chat.vip")
        assert (channel.name, subject) == ("chat.*", "rooms.vip")

    def test_subjects_of_what_clients_send(self) -> None:
        for name, subject in (
            ("OUT", "out.x"),
            ("log.a.b", "log.a.b"),
            ("sum", "math.sum"),
            ("math.mul", "math.mul"),
            ("chat.1", "rooms.1"),
        ):
            assert self.TABLE.find_to_send(name)[1] == subject

    @pytest.mark.parametrize("name", ["", "X", "chat", "chat.", "chat.a.b", "chat.>", "ch*", "chat.a b", "*", ">"])
    def test_unknown(self, name: str) -> None:
        for use in Use:
            assert repr(name) in refused(lambda: self.TABLE.find(name, use), UNKNOWN_CHANNEL)  # noqa: B023
        assert repr(name) in refused(lambda: self.TABLE.find_to_send(name), UNKNOWN_CHANNEL)

    def test_a_name_that_is_too_long_for_any_is_said_to_be(self) -> None:
        name = "chat." + "é" * 509
        assert self.TABLE.find(name + "x", Use.SUBSCRIBE).name == "chat.*"
        message = refused(lambda: self.TABLE.find(name + "éé", Use.SUBSCRIBE), UNKNOWN_CHANNEL)
        assert message == f"there is no channel {shown(name)}: the name has 1027 bytes, at most 1024 are possible"
        assert "bytes" not in refused(lambda: self.TABLE.find("x" * 1024, Use.SUBSCRIBE), UNKNOWN_CHANNEL)

    def test_wrong_direction(self) -> None:
        message = refused(lambda: self.TABLE.find("OUT", Use.SUBSCRIBE), WRONG_DIRECTION)
        assert message == "channel 'OUT' is outbound; inbound or both is needed here"
        message = refused(lambda: self.TABLE.find_to_send("IN"), WRONG_DIRECTION)
        assert message == "channel 'IN' is inbound; outbound or both is needed here"
        message = refused(lambda: self.TABLE.find_to_send("IN", Use.REQUEST), WRONG_DIRECTION)
        assert message == "channel 'IN' is inbound; request is needed here"

    def test_what_is_found_to_send_to_may_be_for_the_other_way_of_sending(self) -> None:
        assert self.TABLE.find("sum", Use.PUBLISH).name == "sum"
        assert self.TABLE.find("chat.x", Use.REQUEST).name == "chat.*"

    @pytest.mark.parametrize(
        ("use", "needed"),
        [(Use.SUBSCRIBE, "inbound or both"), (Use.PUBLISH, "outbound or both"), (Use.REQUEST, "request")],
    )
    def test_what_is_needed(self, use: Use, needed: str) -> None:
        error = wrong_direction("svc.a", Channel("svc.*", OUTBOUND), use)
        assert error.kind is WRONG_DIRECTION
        assert error.message == f"channel 'svc.a' is outbound; {needed} is needed here"

    def test_a_pattern_is_no_place_to_send_to(self) -> None:
        assert "concrete name" in refused(lambda: self.TABLE.find_to_send("chat.*"), UNKNOWN_CHANNEL)
        assert "concrete name" in refused(lambda: self.TABLE.find_to_send("math.*"), UNKNOWN_CHANNEL)

    def test_what_a_name_means(self) -> None:
        assert [channel.name for channel in self.TABLE.meant_by("chat.vip")] == ["chat.vip", "chat.*"]
        assert [channel.name for channel in self.TABLE.meant_by("chat.*")] == ["chat.*"]
        assert list(self.TABLE.meant_by("chat.>")) == []

    def test_order(self) -> None:
        assert [channel.name for channel in self.TABLE.inbound()] == ["IN", "chat.*", "chat.vip"]
        assert len(list(self.TABLE)) == 7


class TestMostSpecific:
    """Exact beats ``*``, ``*`` beats ``>``, token by token, whatever is done with the channels."""

    def test_a_publish_is_never_taken_for_a_request(self) -> None:
        channels = ChannelTable([Channel("svc.*", REQUEST), Channel("svc.a", OUTBOUND)])
        assert channels.find_to_send("svc.a")[0].direction is OUTBOUND
        assert channels.find_to_send("svc.b")[0].direction is REQUEST

    def test_nor_a_request_for_a_publish(self) -> None:
        channels = ChannelTable([Channel("svc.>", OUTBOUND), Channel("svc.*", REQUEST), Channel("svc.a.b", REQUEST)])
        assert channels.find_to_send("svc.a")[0].name == "svc.*"
        assert channels.find_to_send("svc.a.b")[0].name == "svc.a.b"
        assert channels.find_to_send("svc.a.c")[0].name == "svc.>"

    def test_the_order_of_the_configuration_is_nothing(self) -> None:
        names = ["a.b", "a.*", "a.>", "*.b", "*.*", "*.>", ">"]
        for start in range(len(names)):
            channels = [Channel(name, BOTH) for name in names[start:] + names[:start]]
            assert [channel.name for channel in ChannelTable(channels).meant_by("a.b")] == names

    def test_a_channel_of_another_use_hides_nothing(self) -> None:
        channels = ChannelTable([Channel("chat.vip", INBOUND), Channel("chat.*", BOTH)])
        assert channels.find("chat.vip", Use.SUBSCRIBE).name == "chat.vip"
        assert channels.find_to_send("chat.vip")[0].name == "chat.*"

    @given(small_channels, st.sampled_from(SMALL_NAMES), st.sampled_from([SUBSCRIBE, SEND]))
    def test_against_the_plain_reference(self, channels: list[Channel], name: str, uses: tuple[Use, ...]) -> None:
        meant = [channel for channel in channels if means(name, channel)]
        found = [channel for channel in meant if not set(uses).isdisjoint(channel.uses)]
        made = ChannelTable(channels)
        if found:
            (best,) = [
                one for one in found if all(one is other or more_specific(one.name, other.name) for other in found)
            ]
            assert made.find(name, uses[0]) is best
        else:
            refused(lambda: made.find(name, uses[0]), WRONG_DIRECTION if meant else UNKNOWN_CHANNEL)


def means(name: str, channel: Channel) -> bool:
    """Whether a client that says ``name`` can mean ``channel``: a name with wildcards is that channel's or nothing."""
    return name == channel.name or (name in SMALL_SUBJECTS and reference(channel.name, name))


class TestHiding:
    @pytest.mark.parametrize(
        ("first", "second", "pairs"),
        [
            (Channel("svc.*", REQUEST), Channel("svc.a", OUTBOUND), [("svc.a", "svc.*")]),
            (Channel("chat.vip", INBOUND), Channel("chat.*", BOTH), [("chat.vip", "chat.*")]),
            (Channel("chat.vip", INBOUND), Channel("chat.*", OUTBOUND), []),
            (Channel("chat.vip", INBOUND), Channel("chat.*", REQUEST), []),
            (Channel("a.*", BOTH), Channel("*.a", BOTH), [("a.*", "*.a")]),
            (Channel("a.*", BOTH), Channel("b.>", BOTH), []),
            (Channel("a", BOTH), Channel("b", BOTH), []),
        ],
    )
    def test_pairs(self, first: Channel, second: Channel, pairs: list[tuple[str, str]]) -> None:
        for channels in ([first, second], [second, first]):
            assert [(one.name, other.name) for one, other, _, _ in ChannelTable(channels).hiding()] == pairs

    def test_what_is_hidden_for_whom(self) -> None:
        channels = [Channel("a.*", BOTH), Channel("a.in", INBOUND), Channel("a.out", OUTBOUND), Channel("a.both", BOTH)]
        told = {one.name: (subscribing, sending) for one, _, subscribing, sending in ChannelTable(channels).hiding()}
        assert told == {"a.in": (True, False), "a.out": (False, True), "a.both": (True, True)}

    @given(small_channels)
    def test_every_small_name(self, channels: list[Channel]) -> None:
        """A pair is told once, and when there is a name that only its first channel gets, though both could."""
        made = ChannelTable(channels)
        told = [(one.name, other.name) for one, other, _, _ in made.hiding()]
        wanted = {
            (one.name, other.name)
            for name in SMALL_SUBJECTS
            for one in channels
            for other in channels
            if one is not other
            and means(name, one)
            and means(name, other)
            and more_specific(one.name, other.name)
            and any(_can(one, uses) and _can(other, uses) for uses in (SUBSCRIBE, SEND))
        }
        assert sorted(told) == sorted(wanted)

    @given(small_channels, st.sampled_from(SMALL_SUBJECTS))
    def test_what_is_hidden_gets_nothing(self, channels: list[Channel], name: str) -> None:
        made = ChannelTable(channels)
        for one, other, _, _ in made.hiding():
            for uses in (SUBSCRIBE, SEND):
                if means(name, one) and means(name, other) and _can(one, uses) and _can(other, uses):
                    assert made.find(name, uses[0]) is not other


def _can(channel: Channel, uses: tuple[Use, ...]) -> bool:
    return not set(uses).isdisjoint(channel.uses)


def test_too_large() -> None:
    error = too_large(3, 2)
    assert error.kind is TOO_LARGE
    assert error.message == "the payload has 3 bytes, NATS takes at most 2"
