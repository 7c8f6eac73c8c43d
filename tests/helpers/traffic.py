"""Publishers that number what they send, and what is wrong with what came of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from helpers.peer import Peer


class Traffic:
    """Each of ``peers`` publishes to ``subject``, from ``start`` to ``stop``; payloads are "peer number"."""

    def __init__(self, subject: str, peers: Sequence[Peer]) -> None:
        self._subject = subject
        self._peers = peers
        #: by each of them
        self.sent = [0] * len(peers)
        self._stopped = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Returns when the servers have all of it."""
        self._stopped = True
        assert self._task is not None
        await self._task
        for peer in self._peers:
            await peer.fence()

    def missing(self, got: Sequence[bytes | str]) -> int:
        """How much of what was sent is not there yet; what is there twice, or out of order, is an AssertionError."""
        texts = [payload if isinstance(payload, str) else payload.decode() for payload in got]
        twice = {text: count for text, count in Counter(texts).items() if count > 1}
        assert not twice, f"twice: {list(twice)[:10]}"
        by_peer: list[list[int]] = [[] for _ in self._peers]
        for text in texts:
            number, count = map(int, text.split())
            by_peer[number].append(count)
        for number, counts in enumerate(by_peer):
            assert counts == sorted(counts), f"out of order, of {number}"
        return sum(self.sent) - len(texts)

    async def _run(self) -> None:
        while not self._stopped:
            for number, peer in enumerate(self._peers):
                await peer.publish(self._subject, f"{number} {self.sent[number]}")
                self.sent[number] += 1
            await asyncio.sleep(0.002)
