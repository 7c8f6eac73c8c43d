"""Who is asked whether a client may use a name of a channel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Authorize:
    """A NATS service on ``subject``, whose answer is waited for ``timeout_seconds``."""

    subject: str
    timeout_seconds: float = 1.0
