"""A channel: what it is for, names and subjects, and what cannot be configured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.subjects import patterns, subjects_of
from wsgw.channels.channel import RESERVED_EVENTS, Channel, Direction, Use, channel_problem
from wsgw.channels.subjects import matches

INBOUND, OUTBOUND, BOTH, REQUEST = Direction.INBOUND, Direction.OUTBOUND, Direction.BOTH, Direction.REQUEST


class TestChannel:
    def test_subject_defaults_to_the_name(self) -> None:
        assert Channel("IN", INBOUND).subject == "IN"
        assert Channel("IN", INBOUND, "x.y").subject_of("IN") == "x.y"
        assert Channel("prices", INBOUND, "market.>").name_of("market.x") == "prices"

    @pytest.mark.parametrize(
        ("direction", "uses"),
        [
            (INBOUND, {Use.SUBSCRIBE}),
            (OUTBOUND, {Use.PUBLISH}),
            (BOTH, {Use.SUBSCRIBE, Use.PUBLISH}),
            (REQUEST, {Use.REQUEST}),
        ],
    )
    def test_directions(self, direction: Direction, uses: set[Use]) -> None:
        channel = Channel("X", direction)
        assert set(channel.uses) == uses
        assert channel.delivers is (Use.SUBSCRIBE in uses)
        assert channel.accepts is (Use.PUBLISH in uses)
        assert channel.answers is (Use.REQUEST in uses)

    def test_wildcards_are_carried_over(self) -> None:
        channel = Channel("chat.*.in.>", BOTH, "app.rooms.*.x.>")
        assert channel.subject_of("chat.r1.in.a.b") == "app.rooms.r1.x.a.b"
        assert channel.name_of("app.rooms.r1.x.a.b") == "chat.r1.in.a.b"
        assert channel.subject_of("chat.*.in.>") == "app.rooms.*.x.>"
        assert channel.name_of("app.rooms.*.x.>") == "chat.*.in.>"

    @given(st.data())
    def test_name_of_is_the_inverse_of_subject_of(self, data: st.DataObject) -> None:
        pattern = data.draw(patterns())
        wildcards = [part for part in pattern.split(".") if part in ("*", ">")]
        subject = ".".join(["s", *(data.draw(st.sampled_from(["", "x.", "y.z."])) + part for part in wildcards)])
        channel = Channel(pattern, BOTH, subject)
        assert channel_problem(channel) is None
        name = data.draw(subjects_of(pattern))
        assert matches(channel.subject, channel.subject_of(name))
        assert channel.name_of(channel.subject_of(name)) == name


class TestChannelProblem:
    @pytest.mark.parametrize(
        "channel",
        [
            Channel("IN", INBOUND),
            Channel(">", INBOUND),
            Channel("*.x", INBOUND),
            Channel("$SYS.>", INBOUND),
            Channel("all", INBOUND, ">"),
            Channel("chat.*", BOTH),
            Channel("chat.*", OUTBOUND, "a.*"),
            Channel("sum", REQUEST, "math.sum"),
            Channel("math.*", REQUEST),
        ],
    )
    def test_good(self, channel: Channel) -> None:
        assert channel_problem(channel) is None

    def test_headers_of_replies(self) -> None:
        """They become headers of answers over HTTP; those of envelopes do not."""
        assert channel_problem(Channel("A", REQUEST, headers=("X-A", "etag"))) is None
        assert channel_problem(Channel("A", REQUEST, headers=("X-A", "Upgrade"))) == (
            "headers",
            "'Upgrade' is a header that the gateway's HTTP server says itself; a reply's cannot stand in its place",
        )
        for direction in (INBOUND, OUTBOUND, BOTH):
            assert channel_problem(Channel("A", direction, headers=("Upgrade", "a b"))) is None

    @pytest.mark.parametrize(
        ("channel", "reason"),
        [
            (Channel("A B", INBOUND), "name 'A B' has a blank"),
            (Channel("A", INBOUND, "a..b"), "subject 'a..b' has an empty token"),
            (Channel("wsgw:x", INBOUND), "begins with 'wsgw:'"),
            (Channel("chat.*", INBOUND, "a.b"), "needs the same wildcards"),
            (Channel("chat.*.>", INBOUND, "a.>.*"), "before its last token"),
            (Channel("chat.*", INBOUND, "a.>"), "needs the same wildcards"),
            (Channel(">", OUTBOUND), "begins with a wildcard"),
            (Channel("x.*", OUTBOUND, "*.x"), "begins with a wildcard"),
            (Channel("*", REQUEST), "begins with a wildcard"),
            (Channel("$JS.API.>", BOTH), "NATS' own"),
            (Channel("A", OUTBOUND, "$SYS.x"), "NATS' own"),
            (Channel("A", OUTBOUND, "_INBOX.x"), "NATS' own"),
            (Channel("A", REQUEST, "$SRV.PING"), "NATS' own"),
            (Channel("A", OUTBOUND, "a.*"), "needs one subject"),
            *((Channel(event, INBOUND), "reserved") for event in sorted(RESERVED_EVENTS)),
        ],
    )
    def test_reasons(self, channel: Channel, reason: str) -> None:
        key, told = channel_problem(channel) or ("", "")
        assert reason in told
        assert told.startswith(f"{key} {getattr(channel, key)!r} ")
