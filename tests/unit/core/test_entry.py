"""Whether a client may use a name, and what it leads to: rights first, then the claims."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.session import principal
from helpers.tenants import ALL, identity, templated
from wsgw.access.principal import Principal
from wsgw.access.rights import Rights
from wsgw.access.rules import AllowAll, IdentityRules
from wsgw.channels.channel import Channel, Direction, Use
from wsgw.channels.subjects import covers, subject_problem
from wsgw.core.entry import key_for
from wsgw.errors import FORBIDDEN, GatewayError

SUBSCRIBE, PUBLISH = Use.SUBSCRIBE, Use.PUBLISH


INBOX = templated("inbox", "users.{sub}.inbox")
ROOMS = templated("room.*", "t.{tenant}.room.*")


def who(rights: Rights = ALL, **claims: object) -> Principal:
    made = principal()
    made.identity = identity(claims, rights)
    return made


def refusal(of: Principal, use: Use, channel: Channel, name: str) -> str:
    with pytest.raises(GatewayError) as caught:
        key_for(IdentityRules(), of, use, channel, name)
    assert caught.value.kind is FORBIDDEN
    return caught.value.message


def test_without_a_template_the_key_is_the_name_itself() -> None:
    name = "room.1"
    assert key_for(AllowAll(), principal(), SUBSCRIBE, Channel("room.*", Direction.BOTH), name) is name


def test_what_claims_lead_to() -> None:
    ann, bob = who(sub="ann", tenant="acme"), who(sub="bob", tenant="blue")
    keys = {
        (of, name): key_for(IdentityRules(), of, SUBSCRIBE, channel, name)
        for of in (ann, bob)
        for channel, name in ((INBOX, "inbox"), (ROOMS, "room.1"), (ROOMS, "room.*"))
    }
    assert len(set(keys.values())) == 6
    assert INBOX.subject_of(keys[ann, "inbox"]) == "users.ann.inbox"
    assert ROOMS.subject_of(keys[ann, "room.1"]) == "t.acme.room.1"
    assert ROOMS.subject_of(keys[bob, "room.*"]) == "t.blue.room.*"
    assert ROOMS.keys_of("t.acme.room.1") == (keys[ann, "room.*"], keys[ann, "room.1"])
    assert ROOMS.name_of("t.acme.room.1") == keys[ann, "room.1"]
    assert INBOX.keys_of("users.ann.inbox") == (keys[ann, "inbox"],)


def test_rights_come_first() -> None:
    said = refusal(who(Rights({}), sub="ann"), SUBSCRIBE, INBOX, "inbox")
    assert said == "this client may not subscribe to 'inbox'"


@pytest.mark.parametrize("value", [">", "*", "a.b", "", " ", "\r\nPUB x 0\r\n\r\n", "\ud800", "x" * 2_000_000, 7, None])
def test_what_no_claim_can_be(value: object) -> None:
    said = refusal(who(sub=value), PUBLISH, INBOX, "inbox")
    assert said.startswith("this client may not publish to 'inbox': ")
    assert "'sub'" in said
    assert len(said) < 200
    assert not isinstance(value, str) or len(value) < 3 or value not in said


def test_nobody_sends_to_a_wildcard() -> None:
    said = refusal(who(tenant="acme"), PUBLISH, ROOMS, "room.*")
    assert said.startswith("this client may not publish to 'room.*': its subject has the wildcard '*'")


def test_no_claim_at_all() -> None:
    with pytest.raises(GatewayError) as caught:
        key_for(AllowAll(), principal(), SUBSCRIBE, INBOX, "inbox")
    assert caught.value.message == "this client may not subscribe to 'inbox': there is no claim 'sub'"


def test_a_subject_that_becomes_too_long() -> None:
    said = refusal(who(sub="x" * 1020), SUBSCRIBE, INBOX, "inbox")
    assert said == "this client may not subscribe to 'inbox': its subject is longer than 1024 bytes"


@given(st.one_of(st.text(), st.text(".*> ab", max_size=4)), st.sampled_from(["room.1", "room.*"]))
def test_nobody_widens_a_subject(value: str, name: str) -> None:
    try:
        key = key_for(AllowAll(), who(tenant=value), SUBSCRIBE, ROOMS, name)
    except GatewayError:
        return
    subject = ROOMS.subject_of(key)
    assert subject_problem(subject, wildcards=True) is None
    assert covers(ROOMS.subject, subject)
    assert subject.split(".")[1] == value
    assert ("*" in subject) is (name == "room.*")
