"""Questions that many have at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import pytest

from helpers.waiting import arrived
from wsgw.shares.asking import Asking


class Asked:
    """What is asked, and may be answered."""

    def __init__(self) -> None:
        self.questions: list[int] = []
        self.most = self.now = 0
        self.may_answer = asyncio.Event()

    async def __call__(self, question: int) -> str:
        self.questions.append(question)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.may_answer.wait()
        finally:
            self.now -= 1
        if question < 0:
            raise RuntimeError("a fault")
        return f"answer {question}"


@pytest.fixture
async def asked() -> Asked:
    return Asked()


@pytest.fixture
async def asking(asked: Asked) -> AsyncIterator[Asking[int, int, str]]:
    made: Asking[int, int, str] = Asking(asked, lambda why: f"nobody: {why}", 2, 3)
    yield made
    await made.close()


async def test_those_with_the_same_question_share_its_answer(asked: Asked, asking: Asking[int, int, str]) -> None:
    waiting = [asking.ask(1, 1) for _ in range(1000)]
    waiting[0].cancel()  # which is no one else's business
    asked.may_answer.set()
    assert await asyncio.gather(*waiting[1:]) == ["answer 1"] * 999
    assert asked.questions == [1]
    assert len(asking) == 0
    assert await asking.ask(1, 1) == "answer 1"  # nothing is kept here
    assert asked.questions == [1, 1]


async def test_so_many_are_under_way_so_many_wait_and_more_are_refused(
    asked: Asked, asking: Asking[int, int, str]
) -> None:
    waiting = [asking.ask(i, i) for i in range(5)]
    beyond = asking.ask(5, 5)
    assert beyond.result() == "nobody: 3 other questions wait"
    known = asking.ask(4, 4)
    assert not known.done()  # a question that waits already is not one more
    await arrived(asked.questions, 2)
    asked.may_answer.set()
    assert await asyncio.gather(*waiting, known) == [*(f"answer {i}" for i in range(5)), "answer 4"]
    assert asked.most == 2


async def test_what_nobody_waits_for_any_more_is_not_asked_and_takes_no_place(
    asked: Asked, asking: Asking[int, int, str]
) -> None:
    waiting = [asking.ask(i, i) for i in range(5)]
    await arrived(asked.questions, 2)
    for answer in waiting[:4]:
        answer.cancel()
    more = asking.ask(6, 6)
    assert not more.done()
    waiting[4].cancel()
    asked.may_answer.set()
    assert await more == "answer 6"
    assert asked.questions == [0, 1, 6]


async def test_to_refuse_costs_little_however_many_wait(asked: Asked) -> None:
    """All were looked at for each: 7 ms with as many as wait for a word of a service."""
    asking: Asking[int, int, str] = Asking(asked, lambda why: why, 1, 10_000)
    waiting = [asking.ask(i, i) for i in range(10_001)]
    began = time.process_time()
    refused = [asking.ask(-i, i) for i in range(1, 301)]
    assert time.process_time() - began < 0.5
    assert all(one.done() for one in refused)
    await asking.close()
    assert all(one.done() for one in waiting)


async def test_a_fault_is_told_and_ends_nothing_else(
    asked: Asked, asking: Asking[int, int, str], caplog: pytest.LogCaptureFixture
) -> None:
    asked.may_answer.set()
    with caplog.at_level(logging.ERROR, "wsgw"):
        assert await asking.ask(-1, -1) == "nobody: a fault of the gateway"
    assert "asking about a client: a fault" in caplog.text
    assert await asking.ask(1, 1) == "answer 1"


async def test_at_the_end_who_waits_is_told_and_nobody_is_asked_any_more(
    asked: Asked, asking: Asking[int, int, str]
) -> None:
    waiting = [asking.ask(i, i) for i in range(4)]
    await arrived(asked.questions, 2)
    await asking.close()
    assert [answer.result() for answer in waiting] == ["nobody: the gateway is stopping"] * 4
    assert asking.ask(9, 9).result() == "nobody: the gateway is stopping"
    assert (asked.questions, asked.now) == ([0, 1], 0)
