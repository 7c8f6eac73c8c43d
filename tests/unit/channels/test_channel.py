"""A channel: what it is for, names and subjects, and what cannot be configured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.subjects import patterns, subjects_of, token
from helpers.tenants import templated
from wsgw.channels.channel import RESERVED_EVENTS, Channel, Direction, Use, channel_problem
from wsgw.channels.durable import Durable
from wsgw.channels.hemera import Action
from wsgw.channels.subjects import matches
from wsgw.channels.template import key_of

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


class TestTemplates:
    def test_a_fixed_name(self) -> None:
        channel = templated("inbox", "users.{sub}.inbox")
        assert (channel.subject, channel.subject_text) == ("users.*.inbox", "users.{sub}.inbox")
        assert channel.has_many_subjects
        assert not channel.is_pattern
        key = key_of("inbox", ("ann",))
        assert channel.subject_of(key) == "users.ann.inbox"
        assert channel.name_of("users.ann.inbox") == key
        assert channel.keys_of("users.ann.inbox") == (key,)

    def test_a_fixed_name_with_many_subjects(self) -> None:
        channel = templated("mine", "users.{sub}.>", INBOUND)
        assert channel_problem(channel) is None
        key = key_of("mine", ("ann",))
        assert channel.subject_of(key) == "users.ann.>"
        assert channel.keys_of("users.ann.a.b") == (key,)

    def test_a_pattern(self) -> None:
        channel = templated("room.*.>", "t.{tenant}.*.x.{sub}.>")
        assert channel_problem(channel) is None
        values = ("acme", "ann")
        own, one = key_of("room.*.>", values), key_of("room.1.a.b", values)
        assert channel.subject_of(own) == "t.acme.*.x.ann.>"
        assert channel.subject_of(one) == "t.acme.1.x.ann.a.b"
        assert channel.keys_of("t.acme.1.x.ann.a.b") == (own, one)
        assert channel.name_of("t.acme.1.x.ann.a.b") == one

    def test_no_key_is_no_subject(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            templated("inbox", "users.{sub}.inbox").subject_of("inbox")

    @given(st.data())
    def test_name_of_is_the_inverse_of_subject_of(self, data: st.DataObject) -> None:
        pattern = data.draw(patterns())
        wildcards = [part for part in pattern.split(".") if part in ("*", ">")]
        between = [data.draw(st.sampled_from(["", "{a}.", "{b|sha256}.z.", "y."])) for _ in wildcards]
        subject = ".".join(["s.{c}", *(map("".join, zip(between, wildcards, strict=True)))])
        channel = templated(pattern, subject)
        assert channel_problem(channel) is None
        assert channel.template is not None
        values = data.draw(st.tuples(*[token for _ in channel.template.placeholders]))
        key = key_of(data.draw(subjects_of(pattern)), values)
        filled = channel.subject_of(key)
        assert matches(channel.subject, filled)
        assert matches(channel.subject_of(key_of(pattern, values)), filled)
        assert channel.name_of(filled) == key
        assert channel.keys_of(filled) == (key_of(pattern, values), key)

    @pytest.mark.parametrize(
        ("channel", "reason"),
        [
            (templated("A", "{sub}.x", INBOUND), "subject '{sub}.x' begins with a placeholder"),
            (templated("A", "{sub}", OUTBOUND), "subject '{sub}' begins with a placeholder"),
            (templated("A", "a.{sub}.*", OUTBOUND), "subject 'a.{sub}.*' has wildcards, but a message needs one"),
            (templated("a.*", "a.{sub}"), "subject 'a.{sub}' needs the same wildcards"),
            (templated("a", "$JS.{sub}"), "subject '$JS.{sub}' is one of NATS' own"),
            (templated("a", "a..{sub}"), "subject 'a..{sub}' has an empty token"),
            (Channel("a.{sub}", INBOUND, "b"), "name 'a.{sub}' has a placeholder"),
            (
                templated("a", "a.{sub}", hemera=Action("a.*")),
                "an action has one topic, and the subject 'a.{sub}' is filled for each client",
            ),
        ],
    )
    def test_reasons(self, channel: Channel, reason: str) -> None:
        told = channel_problem(channel)
        assert told is not None
        assert told[1].startswith(reason)

    def test_good(self) -> None:
        for channel in (
            templated("A", "$SYS.ACCOUNT.{account}.>", INBOUND),
            templated("A", "a.{sub}", OUTBOUND),
            templated("A", "a.{sub}", REQUEST),
            templated("A", "a.{sub}", durable=Durable("A")),
            Channel("a{b", INBOUND),
        ):
            assert channel_problem(channel) is None


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

    @pytest.mark.parametrize("direction", list(Direction))
    def test_good_of_hemeras(self, direction: Direction) -> None:
        assert channel_problem(Channel("A", direction, "math", hemera=Action("math", (("cmd", "add"),)))) is None

    @pytest.mark.parametrize(
        ("channel", "key", "reason"),
        [
            (Channel("a.*", BOTH, hemera=Action("a.*")), "hemera", "the name 'a.*' is a pattern"),
            (Channel("A", INBOUND, "a.*", hemera=Action("a.*")), "hemera.topic", "topic 'a.*' has the wildcard"),
            (Channel("A", BOTH, durable=Durable("A"), hemera=Action("A")), "hemera", "a durable channel's stream"),
            (Channel("A", BOTH, hemera=Action("A", (("x$", 1),))), "hemera.x$", "field 'x$' ends with '$'"),
            (
                Channel("A", BOTH, "b", hemera=Action("c")),
                "hemera.topic",
                "topic 'c' is another one than the subject 'b'",
            ),
            (
                Channel("A", REQUEST, "$SRV.PING", hemera=Action("$SRV.PING")),
                "subject",
                "subject '$SRV.PING' is one of",
            ),
        ],
    )
    def test_reasons_of_hemeras(self, channel: Channel, key: str, reason: str) -> None:
        told = channel_problem(channel)
        assert told is not None
        assert told[0] == key
        assert told[1].startswith(reason)
