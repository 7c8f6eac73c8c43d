"""Names, subjects and patterns: against a plain reference, and against what a real nats-server delivers."""

from __future__ import annotations

import asyncio
import re
from itertools import product

import nats
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from nats.aio.msg import Msg

from helpers.nats_server import NatsServer
from wsgw.channels.channel import RESERVED_EVENTS, Channel, Direction, channel_problem
from wsgw.channels.subjects import MAX_SUBJECT_BYTES, is_pattern, matches, subject_problem
from wsgw.channels.table import ChannelTable, too_large
from wsgw.errors import TOO_LARGE, UNKNOWN_CHANNEL, WRONG_DIRECTION, GatewayError, Kind

INBOUND, OUTBOUND, BOTH, REQUEST = Direction.INBOUND, Direction.OUTBOUND, Direction.BOTH, Direction.REQUEST

WORDS = ["a", "b", "ab"]
token = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=".*>"), min_size=1, max_size=6)
concrete = st.lists(token, min_size=1, max_size=5).map(".".join)
name_token = st.one_of(st.sampled_from([*WORDS, "*"]), token)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """A subject with wildcards, valid and beginning with a fixed token."""
    tokens = [draw(st.sampled_from(WORDS)), *draw(st.lists(name_token, max_size=3)), draw(st.sampled_from(["*", ">"]))]
    return ".".join(tokens)


@st.composite
def subjects_of(draw: st.DrawFn, pattern: str) -> str:
    """A subject that matches ``pattern``."""
    out = []
    for part in pattern.split("."):
        if part == ">":
            out += draw(st.lists(token, min_size=1, max_size=3))
        else:
            out.append(draw(token) if part == "*" else part)
    return ".".join(out)


def reference(pattern: str, subject: str) -> bool:
    parts = [{"*": "[^.]+", ">": ".+"}.get(part, re.escape(part)) for part in pattern.split(".")]
    return re.fullmatch(r"\.".join(parts), subject) is not None


def refused(call: object, kind: Kind) -> str:
    with pytest.raises(GatewayError) as caught:
        call()  # type: ignore[operator]
    assert caught.value.kind is kind
    return caught.value.message


class TestSubjects:
    @given(concrete)
    def test_concrete(self, subject: str) -> None:
        assume(len(subject.encode()) <= MAX_SUBJECT_BYTES)
        assert subject_problem(subject, wildcards=False) is None
        assert subject_problem(subject, wildcards=True) is None
        assert not is_pattern(subject)

    @given(patterns())
    def test_pattern(self, subject: str) -> None:
        assume(len(subject.encode()) <= MAX_SUBJECT_BYTES)
        assert subject_problem(subject, wildcards=True) is None
        assert "wildcard" in (subject_problem(subject, wildcards=False) or "")
        assert is_pattern(subject)

    @given(st.text(st.sampled_from("ab.*> \t\0é"), max_size=8))
    def test_grammar(self, subject: str) -> None:
        one = r"([^.*>\s\0]+|\*)"
        good = re.fullmatch(rf"({one}\.)*({one}|>)", subject) is not None
        assert (subject_problem(subject, wildcards=True) is None) is good

    @pytest.mark.parametrize(
        ("subject", "reason"),
        [
            ("", "is empty"),
            (".a", "empty token"),
            ("a.", "empty token"),
            ("a..b", "empty token"),
            ("a b", "blank"),
            ("a\n", "blank"),
            ("a\x7f", "control"),
            ("a\ud800", "control"),
            ("a\u200b", "control"),
            ("a.>.b", "before its last token"),
            ("a.b*", "inside the token"),
            ("a.>b", "inside the token"),
            ("é" * 513, "longer than 1024 bytes"),
        ],
    )
    def test_reasons(self, subject: str, reason: str) -> None:
        assert reason in (subject_problem(subject, wildcards=True) or "")

    @settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(concrete, max_size=50, unique=True))
    def test_nats_delivers_what_is_allowed(self, nats: NatsServer, subjects: list[str]) -> None:
        allowed = [subject for subject in subjects if len(subject.encode()) <= MAX_SUBJECT_BYTES]
        assert asyncio.run(delivered(nats.url, [">"], allowed)) == {(">", subject) for subject in allowed}


class TestMatches:
    @given(patterns(), st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(".".join))
    def test_reference(self, pattern: str, subject: str) -> None:
        assert matches(pattern, subject) is reference(pattern, subject)

    @given(st.data())
    def test_made_to_match(self, data: st.DataObject) -> None:
        pattern = data.draw(patterns())
        assert matches(pattern, data.draw(subjects_of(pattern)))

    def test_nats_agrees(self, nats: NatsServer) -> None:
        """Every pattern and every subject of up to three short tokens."""
        tokens = ["a", "b", "*", ">"]
        every = [".".join(parts) for size in (1, 2, 3) for parts in product(tokens, repeat=size)]
        wanted = [pattern for pattern in every if subject_problem(pattern, wildcards=True) is None]
        given = [".".join(parts) for size in (1, 2, 3) for parts in product("ab", repeat=size)]
        ours = {(pattern, subject) for pattern in wanted for subject in given if matches(pattern, subject)}
        assert len(ours) > 100
        assert asyncio.run(delivered(nats.url, wanted, given)) == ours


async def delivered(url: str, wanted: list[str], subjects: list[str]) -> set[tuple[str, str]]:
    """The pairs (pattern, subject) for which a real server delivers; other traffic on it is ignored."""
    found: set[tuple[str, str]] = set()
    done = asyncio.Event()
    client = await nats.connect(url)
    payload = client.new_inbox().encode()
    for pattern in wanted:

        async def received(message: Msg, pattern: str = pattern) -> None:
            if message.data == payload:
                found.add((pattern, message.subject))

        await client.subscribe(pattern, cb=received)

    async def last(message: Msg) -> None:
        done.set()

    inbox = client.new_inbox()
    await client.subscribe(inbox, cb=last)
    for subject in subjects:
        await client.publish(subject, payload)
    await client.publish(inbox)
    async with asyncio.timeout(30):
        await done.wait()
        await client.drain()  # what is queued in the client is handed over
    return found


class TestChannel:
    def test_subject_defaults_to_the_name(self) -> None:
        assert Channel("IN", INBOUND).subject == "IN"
        assert Channel("IN", INBOUND, "x.y").subject_of("IN") == "x.y"
        assert Channel("prices", INBOUND, "market.>").name_of("market.x") == "prices"

    @pytest.mark.parametrize(
        ("direction", "delivers", "accepts"),
        [(INBOUND, True, False), (OUTBOUND, False, True), (BOTH, True, True), (REQUEST, False, False)],
    )
    def test_directions(self, direction: Direction, delivers: bool, accepts: bool) -> None:
        channel = Channel("X", direction)
        assert (channel.delivers, channel.accepts) == (delivers, accepts)

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
        assert self.TABLE.to_subscribe("IN").name == "IN"
        assert self.TABLE.to_subscribe("chat.vip").name == "chat.vip"
        assert self.TABLE.to_subscribe("chat.x").name == "chat.*"
        assert self.TABLE.to_subscribe("chat.*").name == "chat.*"

    def test_the_direction_decides_between_candidates(self) -> None:
        channel, subject = self.TABLE.to_publish("chat.vip")
        assert (channel.name, subject) == ("chat.*", "rooms.vip")

    def test_subjects_of_what_clients_send(self) -> None:
        assert self.TABLE.to_publish("OUT")[1] == "out.x"
        assert self.TABLE.to_publish("log.a.b")[1] == "log.a.b"
        assert self.TABLE.to_ask("sum")[1] == "math.sum"
        assert self.TABLE.to_ask("math.mul")[1] == "math.mul"

    @pytest.mark.parametrize("name", ["", "X", "chat", "chat.", "chat.a.b", "chat.>", "ch*", "chat.a b", "*", ">"])
    def test_unknown(self, name: str) -> None:
        assert repr(name) in refused(lambda: self.TABLE.to_subscribe(name), UNKNOWN_CHANNEL)
        refused(lambda: self.TABLE.to_publish(name), UNKNOWN_CHANNEL)
        refused(lambda: self.TABLE.to_ask(name), UNKNOWN_CHANNEL)

    def test_wrong_direction(self) -> None:
        message = refused(lambda: self.TABLE.to_subscribe("OUT"), WRONG_DIRECTION)
        assert message == "channel 'OUT' is outbound; inbound or both is needed here"
        refused(lambda: self.TABLE.to_publish("IN"), WRONG_DIRECTION)
        refused(lambda: self.TABLE.to_publish("sum"), WRONG_DIRECTION)
        refused(lambda: self.TABLE.to_ask("chat.x"), WRONG_DIRECTION)

    def test_a_pattern_is_no_place_to_send_to(self) -> None:
        assert "concrete name" in refused(lambda: self.TABLE.to_publish("chat.*"), UNKNOWN_CHANNEL)
        assert "concrete name" in refused(lambda: self.TABLE.to_ask("math.*"), UNKNOWN_CHANNEL)

    def test_order(self) -> None:
        assert [channel.name for channel in self.TABLE.inbound()] == ["IN", "chat.*", "chat.vip"]
        assert len(list(self.TABLE)) == 7


def test_too_large() -> None:
    error = too_large(3, 2)
    assert error.kind is TOO_LARGE
    assert error.message == "the payload has 3 bytes, NATS takes at most 2"
