"""What who decides on clients answers."""

from __future__ import annotations

import json
import re

import pytest

from wsgw.access.answer import Shown, known_by
from wsgw.access.rights import NO_RIGHTS, rights_of

DEFAULT = rights_of({"subscribe": ["news"]})


def known(said: object, now: float = 1000.0):  # type: ignore[no-untyped-def]
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return known_by(body, DEFAULT, lambda: now)


def test_an_answer_says_who_it_is_for_how_long_and_what_it_may_do() -> None:
    rights = {"subscribe": ["orders"], "deny": {"publish": ["x"]}}
    identity, kept_seconds = known(
        {"user": "al-ice@example.org", "expires_in": 300, "wsgw": rights, "claims": {"team": "a", "sub": "bob"}}
    )
    assert identity.user == "al-ice@example.org"
    assert identity.rights == rights_of(rights)
    assert identity.claims == {"team": "a", "sub": "al-ice@example.org"}  # which is the user, whatever else is said
    assert identity.expires_at == 1300.0
    assert kept_seconds == pytest.approx(270)


def test_what_it_does_not_say_is_the_default() -> None:
    identity, kept_seconds = known({"user": "alice"})
    assert (identity.rights, identity.claims, identity.expires_at) == (DEFAULT, {"sub": "alice"}, None)
    assert kept_seconds == 60
    assert known({"user": "alice", "wsgw": {}}).identity.rights == NO_RIGHTS
    assert known({"user": None, "wsgw": {}}).identity.user is None
    assert known({"user": None, "claims": {"sub": "bob"}}).identity.claims == {}  # nobody is not bob
    assert known({"user": "alice", "expires_in": 86400}).kept_seconds == 3600


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "no JSON"),
        (b"<html>", "no JSON"),
        (b'{"user": "\xff"}', "no JSON"),
        ([], "no JSON object"),
        ({}, "user: is not null"),
        ({"user": ""}, "user: is not null"),
        ({"user": 7}, "user: is not null"),
        ({"user": "a\nb"}, "user: is not null"),
        ({"user": "a\u202eb"}, "user: is not null"),
        ({"user": "a" * 256}, "user: is not null"),
        ({"user": "a", "expires_in": "300"}, "expires_in: is no number"),
        ({"user": "a", "expires_in": True}, "expires_in: is no number"),
        ({"user": "a", "expires_in": 0}, "expires_in: is not more than 0"),
        ({"user": "a", "expires_in": -5}, "expires_in: is not more than 0"),
        ({"user": "a", "expires_in": 1e300}, "expires_in: is not more than 0"),
        ({"user": "a", "wsgw": None}, "wsgw: is not a mapping"),
        ({"user": "a", "wsgw": {"subscribe": "all"}}, "wsgw: subscribe: is not a list"),
        ({"user": "a", "claims": []}, "claims: is no JSON object"),
    ],
)
def test_what_is_no_answer_is_none(said: object, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        known(said)


def test_a_key_is_of_all_that_is_shown_and_shows_nothing() -> None:
    keys = {
        Shown((), "").key,
        Shown((("cookie", "a"),), "").key,
        Shown((("cookie", "a"),), "10.0.0.1").key,
        Shown((("cookie", "a"),), "10.0.0.2").key,
        Shown((("cookie", "b"),), "").key,
        Shown((("authorization", "a"),), "").key,
        Shown((("cookie", "a"), ("authorization", "b")), "").key,
        Shown((("cookie", 'a","authorization","b'),), "").key,
    }
    assert len(keys) == 8
    assert b"secret" not in Shown((("cookie", "secret"),), "").key
    assert Shown((("cookie", "a"),), "x").key == Shown((("cookie", "a"),), "x").key
