"""Who a client proved to be, and what it may do for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

from wsgw.access.rights import Rights

#: OpenID Connect Core 1.0 section 2.
MAX_USER_CHARS = 255


@dataclass(frozen=True, slots=True)
class Identity:
    """``user`` is what back-ends call it (a token's ``sub``), None of who has no token.

    ``claims`` are all that the token says, for subjects that are filled from it and for who is asked about it.
    ``expires_at`` is the Unix time at which its sessions end, leeway included; None where they do not.
    """

    user: str | None
    rights: Rights
    claims: Mapping[str, object] = field(default_factory=dict)
    expires_at: float | None = None


def is_user(value: object) -> TypeGuard[str]:
    """Whether ``value`` can be what a client is called: a text of 1 to MAX_USER_CHARS, without control characters."""
    return isinstance(value, str) and 0 < len(value) <= MAX_USER_CHARS and value.isprintable()
