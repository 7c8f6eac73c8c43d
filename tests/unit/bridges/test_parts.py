"""The parts of a stream: an identity for each, and none for streams that have no parts."""

from __future__ import annotations

import pytest

from wsgw.bridges import parts as module
from wsgw.bridges.parts import Parts
from wsgw.channels.position import encode, identity, parse
from wsgw.channels.template import template_of

STREAM = identity("log.*", "LOG", "2026-01-01T00:00:00Z")


def test_without_a_template() -> None:
    assert Parts(None).identity_of(STREAM, "t.acme.log.1") is STREAM


def test_what_is_one_part() -> None:
    parts = Parts(template_of("t.{tenant}.log.*"))
    acme = parts.identity_of(STREAM, "t.acme.log.1")
    assert acme == parts.identity_of(STREAM, "t.acme.log.2") == parts.identity_of(STREAM, "t.acme.log.*")
    assert parse(encode({acme: 5})) == {acme: 5}
    others = [
        STREAM,
        parts.identity_of(STREAM, "t.blue.log.1"),
        parts.identity_of(STREAM, "t.acm.log.1"),
        parts.identity_of(identity("log.*", "LOG", "2026-01-01T00:00:01Z"), "t.acme.log.1"),
        Parts(template_of("t.{tenant}.{sub}")).identity_of(STREAM, "t.ac.me"),
    ]
    assert len({acme, *others}) == 6


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PARTS", 3)
    parts = Parts(template_of("t.{tenant}"))
    first = [parts.identity_of(STREAM, f"t.{number}") for number in range(10)]
    assert len(parts._found) <= 3
    assert [parts.identity_of(STREAM, f"t.{number}") for number in range(10)] == first
    assert len(set(first)) == 10
