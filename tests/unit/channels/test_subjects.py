"""Subjects and patterns: against a plain reference, and against what a real nats-server delivers."""

from __future__ import annotations

import asyncio
import re
import time
from itertools import product

import nats
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from nats.aio.msg import Msg

from helpers.nats_server import NatsServer
from helpers.subjects import (
    SMALL_NAMES,
    SMALL_SUBJECTS,
    WORDS,
    concrete,
    more_specific,
    patterns,
    patterns_of,
    reference,
    subjects_of,
)
from wsgw.channels.subjects import (
    MAX_SUBJECT_BYTES,
    any_covers,
    any_overlaps,
    covers,
    is_pattern,
    matches,
    overlap,
    specificity,
    subject_problem,
    wildcards,
)


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


class TestOverlap:
    def test_every_small_pair(self) -> None:
        matched = {name: {subject for subject in SMALL_SUBJECTS if matches(name, subject)} for name in SMALL_NAMES}
        for one, other in product(SMALL_NAMES, repeat=2):
            assert overlap(one, other) is not matched[one].isdisjoint(matched[other]), (one, other)

    @given(st.data())
    def test_two_that_match_one_subject(self, data: st.DataObject) -> None:
        subject = data.draw(concrete)
        assert overlap(data.draw(patterns_of(subject)), data.draw(patterns_of(subject)))

    @given(patterns(), concrete)
    def test_of_a_subject_it_is_a_match(self, pattern: str, subject: str) -> None:
        assert overlap(pattern, subject) is overlap(subject, pattern) is matches(pattern, subject)


class TestMany:
    def test_every_small_pair(self) -> None:
        for one, other in product(SMALL_NAMES, repeat=2):
            assert any_covers((one,), other) is covers(one, other), (one, other)
            assert any_overlaps((one,), other) is overlap(one, other), (one, other)

    @given(st.lists(patterns(), max_size=5), patterns())
    def test_as_one_by_one(self, many: list[str], name: str) -> None:
        assert any_covers(many, name) is any(covers(one, name) for one in many)
        assert any_overlaps(many, name) is any(overlap(one, name) for one in many)

    def test_a_long_name_is_not_taken_apart_for_each(self) -> None:
        """A thousand patterns, and a name of half as many tokens: 12 ms where it was."""
        many = [f"chat{i}.*" for i in range(1000)]
        name = ".".join(["a"] * 512)
        for ask in (any_covers, any_overlaps):
            began = time.process_time()
            for _ in range(10):
                assert not ask(many, name)
            assert (time.process_time() - began) / 10 < 0.004


class TestSpecificity:
    @pytest.mark.parametrize(
        "ordered",
        [
            ["svc.a", "svc.*", "svc.>", "*.a", "*.*", "*.>", ">"],
            ["a.b.c", "a.b.*", "a.b.>", "a.*.c", "a.*.*", "a.*.>", "a.>", "*.b.c", "*.>", ">"],
            ["chat.vip", "chat.*", "chat.>"],
        ],
    )
    def test_exact_before_one_token_before_many(self, ordered: list[str]) -> None:
        backwards = ordered[::-1]
        assert sorted(backwards, key=specificity) == ordered

    def test_every_small_pair_that_matches_one_subject(self) -> None:
        pairs = [(one, other) for one, other in product(SMALL_NAMES, repeat=2) if one != other and overlap(one, other)]
        assert len(pairs) > 500
        for one, other in pairs:
            assert specificity(one) != specificity(other), (one, other)
            assert (specificity(one) < specificity(other)) is more_specific(one, other), (one, other)

    @given(st.data())
    def test_against_the_plain_reference(self, data: st.DataObject) -> None:
        subject = data.draw(concrete)
        one, other = data.draw(patterns_of(subject)), data.draw(patterns_of(subject))
        assume(one != other)
        assert specificity(one) != specificity(other)
        assert (specificity(one) < specificity(other)) is more_specific(one, other)
        assert more_specific(one, other) is not more_specific(other, one)


@given(patterns(), concrete)
def test_wildcards(pattern: str, subject: str) -> None:
    assert wildcards(subject) == []
    assert bool(wildcards(pattern)) is is_pattern(pattern)


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
