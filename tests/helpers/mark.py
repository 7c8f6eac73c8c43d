"""The mark: a last message that tells that everything before it has come, or never will."""

from __future__ import annotations

from helpers.client import Client
from helpers.waiting import eventually

MARK = "the mark"


def sent(client: Client, channel: str) -> list[str | bytes]:
    """The payloads that ``client`` got on ``channel``."""
    return [payload for name, payload in client.received if name == channel]


async def until_mark(client: Client, channel: str = "IN") -> list[str | bytes]:
    """The payloads that came on ``channel`` before the mark, which is the last."""
    await eventually(lambda: MARK in sent(client, channel), f"the mark on {channel}")
    payloads = sent(client, channel)
    assert payloads.pop() == MARK
    return payloads
