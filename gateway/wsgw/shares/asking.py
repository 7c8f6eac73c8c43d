"""Questions that many have at once, and that cost: each is asked once, and not too many at a time."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from wsgw.tasks import end_all

log = logging.getLogger("wsgw")

K = TypeVar("K", bound=Hashable)
Q = TypeVar("Q")
A = TypeVar("A")

#: Questions that are under way, and those that wait for their turn.
MOST_AT_ONCE = 64
MOST_WAITING = 1024
#: How often it is looked who does not wait any more, where too many do: to refuse one more must cost less.
DROP_SECONDS = 0.1
#: What the end of those under way may take.
END_SECONDS = 1.0


class _Question(Generic[Q, A]):
    __slots__ = ("asked", "waiting")

    def __init__(self, asked: Q) -> None:
        self.asked = asked
        self.waiting: list[asyncio.Future[A]] = []

    def is_wanted(self) -> bool:
        return any(not waiting.done() for waiting in self.waiting)


class Asking(Generic[K, Q, A]):
    """``ask(question)`` finds an answer, and takes a bounded time; ``unasked(why)`` is one where nobody is asked."""

    def __init__(
        self,
        ask: Callable[[Q], Awaitable[A]],
        unasked: Callable[[str], A],
        most_at_once: int = MOST_AT_ONCE,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._ask = ask
        self._unasked = unasked
        self._most_at_once = most_at_once
        self._most_waiting = most_waiting
        self._questions: dict[K, _Question[Q, A]] = {}
        self._turns: deque[K] = deque()  # of those that are not under way
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._dropped_at = -DROP_SECONDS

    def __len__(self) -> int:
        return len(self._questions)

    def ask(self, key: K, question: Q) -> asyncio.Future[A]:
        """The answer; who has the same ``key`` has the same question. The future is the caller's own, to be cancelled.

        A question of whom nobody waits any more, before its turn has come, is not asked.
        """
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        known = self._questions.get(key)
        if known is None:
            why = self._why_not()
            if why is not None:
                answer.set_result(self._unasked(why))
                return answer
            known = self._questions[key] = _Question(question)
            self._turns.append(key)
        known.waiting.append(answer)
        self._go_on()
        return answer

    async def close(self) -> None:
        """Ask nobody any more; who waits is told so at once."""
        self._closed = True
        self._turns.clear()
        for key in list(self._questions):
            self._settle(key, self._unasked("the gateway is stopping"))
        await end_all(list(self._tasks), END_SECONDS)

    # -- inside

    def _why_not(self) -> str | None:
        if self._closed:
            return "the gateway is stopping"
        if len(self._turns) >= self._most_waiting:
            self._drop_unwanted(asyncio.get_running_loop().time())
            if len(self._turns) >= self._most_waiting:
                return f"{self._most_waiting} other questions wait"  # the same each time: it is logged
        return None

    def _drop_unwanted(self, now: float) -> None:
        if now - self._dropped_at < DROP_SECONDS:
            return
        self._dropped_at = now
        wanted: deque[K] = deque()
        for key in self._turns:
            if self._questions[key].is_wanted():
                wanted.append(key)
            else:
                del self._questions[key]
        self._turns = wanted

    def _go_on(self) -> None:
        while self._turns and len(self._tasks) < self._most_at_once:
            key = self._turns.popleft()
            question = self._questions[key]
            if not question.is_wanted():
                del self._questions[key]
                continue
            task = asyncio.get_running_loop().create_task(self._run(key, question.asked), name="asking about a client")
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def _run(self, key: K, question: Q) -> None:
        try:
            answer = await self._ask(question)
        except Exception:  # whatever it is, who waits must hear something
            log.exception("asking about a client: a fault")
            answer = self._unasked("a fault of the gateway")
        self._settle(key, answer)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._go_on()

    def _settle(self, key: K, answer: A) -> None:
        question = self._questions.pop(key, None)
        for waiting in question.waiting if question is not None else ():
            if not waiting.done():
                waiting.set_result(answer)
