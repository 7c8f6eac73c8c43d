"""What the producer's tests have in common: its usual lines, and what NATS heard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
from nats.aio.msg import Msg

NOTES = '{"notes":"Some text..."}'
STOPPED = ["info: App starts the shutdown process...", "info: Shutdown process successfully finished"]
NATS_STOPPED = [STOPPED[0], "info: pdms: Shutting down", STOPPED[1]]


@asynccontextmanager
async def heard(url: str, subject: str = ">") -> AsyncIterator[list[tuple[str, bytes]]]:
    """What NATS brings on ``subject`` until the block ends, inboxes apart."""
    messages: list[tuple[str, bytes]] = []
    connection = await nats.connect(url)

    async def on_message(message: Msg) -> None:
        if not message.subject.startswith("_INBOX"):
            messages.append((message.subject, message.data))

    await connection.subscribe(subject, cb=on_message)
    await connection.flush()
    yield messages
    # everything published before this is here when it returns
    await connection.drain()
