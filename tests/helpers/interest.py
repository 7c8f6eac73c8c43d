"""What a nats-server says of the subscriptions it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx

from helpers.nats_server import NatsServer
from helpers.waiting import DEADLINE_SECONDS, eventually


def interest(nats: NatsServer) -> Counter[str]:
    """The subjects subscribed to, and how often."""
    return Counter(subscription["subject"] for subscription in _subscriptions(nats))


def subscription_ids(nats: NatsServer, subject: str) -> list[str]:
    """The ids that clients gave their subscriptions to ``subject``."""
    return [subscription["sid"] for subscription in _subscriptions(nats) if subscription["subject"] == subject]


async def nats_has(nats: NatsServer, wanted: Mapping[str, int], deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Returns when the server has so many subscriptions to each subject of ``wanted``."""
    await eventually(
        lambda: wanted.items() <= {**dict.fromkeys(wanted, 0), **interest(nats)}.items(),
        f"subscriptions {dict(wanted)}",
        deadline_seconds,
    )


def _subscriptions(nats: NatsServer) -> list[dict[str, Any]]:
    answer = httpx.get(f"{nats.monitoring}/subsz?subs=1&limit=100000", trust_env=False).json()
    return answer["subscriptions_list"] or []
