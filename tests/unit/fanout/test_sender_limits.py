"""Clients that are ended for what waits for them: too many control items, or too much of all clients together."""

from __future__ import annotations

import asyncio

import pytest

from helpers.fanout import FakeLink, Wire
from helpers.fanout import batch as batch_of
from wsgw.channels.channel import Channel, Direction
from wsgw.fanout import outbox
from wsgw.fanout.frames import Message
from wsgw.fanout.outbox import OutboxTotals
from wsgw.fanout.publication import Batch, Encoded
from wsgw.fanout.sender import Sender
from wsgw.shares.memory import Memory

WIDE = Channel("WIDE", Direction.INBOUND)


def item(data: bytes) -> Encoded:
    return Encoded(Message(True, data))


def batch(*parts: bytes) -> Batch:
    return batch_of(WIDE, *map(item, parts))


class TestShortOfMemory:
    """The process keeps too much: those for whom most is kept are ended, by their transport."""

    LIMIT = 110_000

    @pytest.fixture
    async def memory(self) -> Memory:
        return Memory(self.LIMIT, asyncio.get_running_loop())

    def made(self, memory: Memory, ended: list[Sender]) -> Sender:
        made = Sender(Wire(), OutboxTotals(memory), lambda: ended.append(made))
        return made

    async def test_the_largest_go(self, memory: Memory) -> None:
        ended: list[Sender] = []
        several = [self.made(memory, ended) for _ in range(4)]
        for sender, size in zip(several, (1000, 60_000, 30_000, 1000), strict=True):
            sender.offer(batch(bytes(size)))
        await asyncio.sleep(0)
        assert (ended, memory.full) == ([], False)
        several[0].send(item(bytes(15_000)))
        assert memory.full
        await asyncio.sleep(0)
        assert ended == [several[1]]
        assert [sender.closed for sender in several] == [False, True, False, False]
        assert [len(sender) for sender in several] == [2, 0, 1, 1]
        assert memory.used_bytes == sum(sender.held_bytes() for sender in several)
        for sender in several:
            sender.close()
        assert memory.used_bytes == 0

    async def test_who_has_nothing_that_waits_is_not_asked(self, memory: Memory) -> None:
        ended: list[Sender] = []
        idle, polling, busy = [self.made(memory, ended) for _ in range(3)]
        idle.attach(FakeLink(idle))
        polling.send(item(b"x"))
        polling.take(9, 999)
        assert memory._holders == set()
        busy.offer(batch(bytes(self.LIMIT)))
        await asyncio.sleep(0)
        assert ended == [busy]

    async def test_what_all_of_them_have_counts_once(self, memory: Memory) -> None:
        ended: list[Sender] = []
        several = [self.made(memory, ended) for _ in range(10)]
        shared = batch(bytes(self.LIMIT // 2))
        for sender in several:
            sender.offer(shared)
        await asyncio.sleep(0)
        assert ended == []
        for sender in several[1:]:
            sender.close()
        assert memory.used_bytes > self.LIMIT // 2
        several[0].close()
        assert memory.used_bytes == 0

    async def test_those_who_share_what_waits_lose_the_oldest_and_live(self, memory: Memory) -> None:
        ended: list[Sender] = []
        totals = OutboxTotals(memory)
        several = [Sender(Wire(), totals, lambda: ended.append(several[0])) for _ in range(10)]
        answer = item(b"an answer")
        several[0].send(answer)
        counted = batch(b"").deliveries
        before = counted.dropped
        for number in range(12):
            shared = batch(b"%d" % number + bytes(self.LIMIT // 12))
            for sender in several:
                sender.offer(shared)
        async with asyncio.timeout(20):
            while memory.full:  # noqa: ASYNC110  it tells nobody
                await asyncio.sleep(0)
        assert (ended, memory.used_bytes > self.LIMIT // 2) == ([], True)
        left = [sender.take(99, 10 * self.LIMIT) for sender in several]
        assert left[0].pop(0) is answer, "answers are not dropped"
        assert left[0] == left[-1]
        assert left[0][-1].messages[0].data.startswith(b"11")
        assert counted.dropped - before == sum(12 - len(each) for each in left)
        for sender in several:
            sender.close()
        assert (memory.used_bytes, totals.kept_bytes) == (0, 0)

    async def test_what_is_shared_is_a_part_of_each(self, memory: Memory) -> None:
        totals = OutboxTotals(memory)
        several = [Sender(Wire(), totals, lambda: None) for _ in range(10)]
        shared = batch(bytes(50_000))
        for sender in several:
            sender.offer(shared)
        held = sum(sender.held_bytes() for sender in several)
        assert held == pytest.approx(memory.used_bytes, abs=10)

    async def test_who_lost_the_oldest_may_lose_more(self, memory: Memory) -> None:
        ended: list[Sender] = []
        several = [self.made(memory, ended) for _ in range(2)]
        for sender in several:
            sender.send(item(b""))
        shared = [batch(bytes(1000)) for _ in range(8)]
        for sender in several:
            for each in shared:
                sender.offer(each)
        for left in (6, 4):
            memory.discard(several[0])  # as who evicts does
            several[0].evict()
            assert len(several[0]) == 1 + left
            assert memory._holders == set(several)
        several[1].close()
        several[0].evict()
        assert ended == several[:1]
        assert memory.used_bytes == 0

    async def test_who_has_nothing_is_ended_as_any_other(self, memory: Memory) -> None:
        ended: list[Sender] = []
        idle = self.made(memory, ended)
        idle.evict()
        assert (ended, idle.closed) == ([idle], True)


class TestOverflow:
    """Too many control items wait: the connection is ended, which closes the sender."""

    @pytest.fixture
    def totals(self) -> OutboxTotals:
        return OutboxTotals()

    @pytest.fixture
    def told(self) -> list[str]:
        return []

    @pytest.fixture
    def sender(self, totals: OutboxTotals, told: list[str], monkeypatch: pytest.MonkeyPatch) -> Sender:
        def overflowed() -> None:
            told.append("overflowed")
            made.close()

        monkeypatch.setattr(outbox, "MAX_CONTROL_ITEMS", 2)
        made = Sender(Wire(), totals, overflowed)
        made.on_queued = lambda: told.append("queued")
        return made

    def test_it_is_told_and_nothing_is_sent_after_it(
        self, sender: Sender, told: list[str], totals: OutboxTotals
    ) -> None:
        for _ in range(4):
            sender.send(item(b"x"))
        assert told == ["queued", "queued", "overflowed"]
        assert not sender.offer(batch(b"y"))
        link = FakeLink(sender)
        sender.attach(link)
        assert (link.data, sender.take(9, 9), totals.messages) == ([], [], 0)

    def test_who_asks_is_told_what_waits(self, sender: Sender) -> None:
        assert sender.control == (0, 0)
        one = item(b"x" * 1000)
        sender.send(one)
        sender.offer(batch(b"a publication"))
        sender.send(one)
        assert sender.control == (2, 2 * one.kept_bytes)
        sender.take(9, 9999)
        assert sender.control == (0, 0)

    def test_in_the_midst_of_many(self, sender: Sender, told: list[str]) -> None:
        sender.send_all([item(b"x") for _ in range(5)])
        assert told == ["queued", "queued", "overflowed"]
        assert len(sender) == 0

    def test_publications_never_do_it(self, sender: Sender, told: list[str]) -> None:
        sender.offer(batch(*[b"x"] * 100))
        sender.send_all([item(b"x"), item(b"x")])
        assert "overflowed" not in told

    def test_a_link_that_takes_never_does_it(self, sender: Sender, told: list[str]) -> None:
        link = FakeLink(sender)
        sender.attach(link)
        for _ in range(100):
            sender.send(item(b"x"))
        assert (len(link.data), told) == (100, [])
