"""What is said of another side that cannot be reached."""

from __future__ import annotations

import asyncio

import pytest

from wsgw.cli.address import parse
from wsgw.cli.clients.base import Refused, Unavailable
from wsgw.cli.clients.nats import NatsClient
from wsgw.cli.clients.reach import Reach

ADDRESS = parse("nats://localhost:4222")


async def said(*reasons: str) -> str:
    """At the end, when attempts fail for these reasons in turn, and the one after them has no answer."""
    left = list(reasons)

    async def attempt() -> None:
        if not left:
            await asyncio.Event().wait()
        raise Unavailable(left.pop(0))

    with pytest.raises(Refused) as caught:
        await Reach(ADDRESS, NatsClient(ADDRESS, 1, None, None), attempt, 0.4).first()
    return str(caught.value).removeprefix("cannot reach nats://localhost:4222 within 0.4 s: ")


async def test_the_last_reason_is_told_whatever_was_cut_short() -> None:
    assert await said() == "no answer"
    assert await said("refused") == "refused"
    assert await said("refused", "no route") == "no route"
