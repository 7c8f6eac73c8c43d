"""Who a client proved to be, and what it may do for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wsgw.access.rights import Rights


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
