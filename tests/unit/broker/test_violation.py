"""Refusals, as a nats-server words them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.broker.violation import PermissionViolation


@pytest.mark.parametrize(
    ("line", "of_publish", "subject"),
    [
        (rb"""-ERR 'Permissions Violation for Publish to "Orders.New"'""", True, "Orders.New"),
        (rb"""-ERR 'Permissions Violation for Subscription to "a.>"'""", False, "a.>"),
        (rb"""-ERR 'Permissions Violation for Subscription to "a" using queue "q"'""", False, "a"),
        (rb"""-ERR 'permissions violation for publish to "it's"' """, True, "it's"),
        (rb"""-ERR 'Permissions Violation for Publish to "a\"b\\"'""", True, 'a"b\\'),
        (rb"""-ERR 'Permissions Violation for Publish to "\x7f\a\u00ad\U000f0000"'""", True, "\x7f\a\u00ad\U000f0000"),
        ("-ERR 'Permissions Violation for Publish to \"é\"'".encode(), True, "é"),
        (rb"""-ERR 'Permissions Violation for Publish to "\xzz\Uffffffff"'""", True, r"\xzz\Uffffffff"),
    ],
)
def test_refusals(line: bytes, of_publish: bool, subject: str) -> None:
    refusal = PermissionViolation.parse(line)
    assert refusal is not None
    assert (refusal.of_publish, refusal.subject) == (of_publish, subject)
    assert refusal.said.lower().startswith("permissions violation for")


@pytest.mark.parametrize(
    "line", [b"-ERR", b"-ERR 'Slow Consumer'", b"""-ERR 'Permissions Violation for Publish to "a'"""]
)
def test_other_errors(line: bytes) -> None:
    assert PermissionViolation.parse(line) is None


@given(st.binary())
def test_any_line(rest: bytes) -> None:
    PermissionViolation.parse(b"""-ERR 'Permissions Violation for Publish to "%b"'""" % rest)
