"""From when until when a certificate, or a token, is good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Term:
    """None is for what is not said."""

    begins: datetime | None = None
    ends: datetime | None = None

    def untimely(self) -> str | None:
        """Why it is not good now; None where it is."""
        now = datetime.now(UTC)
        if self.ends is not None and self.ends <= now:
            return f"expired on {_shown(self.ends)}"
        if self.begins is not None and self.begins > now:
            return f"is good from {_shown(self.begins)} on, which is later than now"
        return None


FOR_EVER = Term()


def _shown(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
