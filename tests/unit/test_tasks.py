"""Tasks that end at once, late, wrongly, or not at all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from helpers.threads import no_threads
from wsgw import tasks
from wsgw.tasks import MAX_CANCELLATIONS, NoThread, end, end_all, fault_of, in_thread, within

Work = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CANCEL_AGAIN_SECONDS", 0.05)


class Deaf:
    """Swallows ``times`` cancellations."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.heard = 0
        self.enough = asyncio.Event()

    async def __call__(self) -> None:
        while True:
            try:
                await self.enough.wait()
            except asyncio.CancelledError:
                self.heard += 1
                if self.heard > self.times:
                    raise
            else:
                return


async def started(work: Work) -> asyncio.Task[None]:
    task = asyncio.get_running_loop().create_task(work(), name="the work")
    await asyncio.sleep(0)
    return task


async def test_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    task = await started(Deaf(0))
    assert await end(task)
    assert task.cancelled()
    assert await end(task)
    assert caplog.text == ""


@pytest.mark.parametrize("times", range(1, MAX_CANCELLATIONS))
async def test_a_swallowed_cancellation_is_said_again(times: int, caplog: pytest.LogCaptureFixture) -> None:
    task = await started(Deaf(times))
    assert await end(task)
    assert task.cancelled()
    assert caplog.text.count("the work goes on after a cancellation") == times


async def test_one_that_never_ends_is_left(caplog: pytest.LogCaptureFixture) -> None:
    work = Deaf(1000)
    task = await started(work)
    async with asyncio.timeout(10):
        assert not await end(task)
    assert work.heard == MAX_CANCELLATIONS
    assert "the work does not end" in caplog.text
    work.enough.set()
    await task


async def test_one_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    caplog.set_level("DEBUG", "wsgw")
    assert await end(await started(fail))
    assert "the work ended with ZeroDivisionError()" in caplog.text


async def test_one_that_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    async def nothing() -> None: ...

    task = await started(nothing)
    assert await end(task)
    assert caplog.text == ""


async def test_who_ends_it_can_be_cancelled() -> None:
    work = Deaf(1000)
    task = await started(work)
    ending = asyncio.ensure_future(end(task))
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    work.enough.set()
    await task


async def test_the_fault_of_one() -> None:
    async def fail(how: BaseException) -> None:
        raise how

    async def nothing() -> None: ...

    fault = ZeroDivisionError()
    for work, expected in (
        (partial(fail, fault), fault),
        (partial(fail, asyncio.CancelledError()), None),
        (partial(fail, GeneratorExit()), None),
        (nothing, None),
    ):
        task = asyncio.get_running_loop().create_task(work())
        assert fault_of(task) is None, "it goes on"
        await asyncio.wait({task})
        assert fault_of(task) is expected


class TestWithin:
    async def test_result(self) -> None:
        async def give(what: int) -> int:
            return what

        assert await within(10, give(3), "giving") == 3

    async def test_fault(self) -> None:
        async def fail() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await within(10, fail(), "failing")

    @pytest.mark.parametrize("times", [0, 1])
    async def test_too_long(self, times: int) -> None:
        work = Deaf(times)
        with pytest.raises(TimeoutError):
            await within(0.01, work(), "waiting")
        assert work.heard == times + 1

    @pytest.mark.parametrize("times", [0, 1])
    async def test_a_cancellation_is_the_callers(self, times: int) -> None:
        work = Deaf(times)
        waiting = asyncio.ensure_future(within(10, work(), "waiting"))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert work.heard == times + 1

    async def test_a_cancellation_as_the_work_is_done(self) -> None:
        """That is when asyncio.wait_for (3.11) swallows it."""
        work = Deaf(0)
        waiting = asyncio.ensure_future(within(10, work(), "waiting"))
        await asyncio.sleep(0.01)
        work.enough.set()
        await asyncio.sleep(0)  # the work is done, who waits does not know yet
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async def test_one_that_swallows_it_and_returns(self) -> None:
        """The shape of nats-py's close."""

        async def swallow() -> None:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

        waiting = asyncio.ensure_future(within(10, swallow(), "waiting"))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_work_that_is_cancelled_from_inside_is_no_cancellation_of_ours() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="the work was cancelled from inside"):
        await tasks.within(5, work(), "the work")


async def test_all_at_once(caplog: pytest.LogCaptureFixture) -> None:
    deaf = Deaf(MAX_CANCELLATIONS)
    tasks = [await started(work) for work in (Deaf(0), Deaf(1), deaf)]
    await end_all(tasks, 0.3)
    assert [task.cancelled() for task in tasks] == [True, True, False]
    assert caplog.text.count("the work does not end; it is left to itself") == 1
    deaf.enough.set()
    await tasks[2]
    await end_all([], 0.3)


async def test_what_is_done_in_a_thread() -> None:
    assert await in_thread(lambda: threading.current_thread().name, "a name") == "a name"
    with pytest.raises(ValueError, match="no"):
        await in_thread(lambda: int("no"), "a name")


async def test_where_there_is_no_thread() -> None:
    done: list[None] = []
    with no_threads(), pytest.raises(NoThread, match=r"^a name: can't start new thread$"):
        await in_thread(lambda: done.append(None), "a name")
    assert not done


async def test_a_thread_that_nobody_waits_for() -> None:
    go, done = threading.Event(), threading.Event()

    def wait() -> None:
        go.wait(30)
        done.set()

    task = asyncio.ensure_future(in_thread(wait, "a name"))
    await asyncio.sleep(0)
    assert await end(task)
    go.set()
    assert done.wait(30)
    await asyncio.sleep(0.01)  # what it told is of no interest


def test_a_thread_that_outlives_the_loop() -> None:
    go = threading.Event()

    async def begin() -> None:
        asyncio.ensure_future(in_thread(lambda: go.wait(30), "outliving"))  # noqa: RUF006  it is cancelled at the end
        await asyncio.sleep(0)

    asyncio.run(begin())
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "outliving"]
    assert thread.daemon
    go.set()
    thread.join(30)
    assert not thread.is_alive()
