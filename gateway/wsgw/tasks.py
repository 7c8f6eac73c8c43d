"""Work that ends within a time, also where it does not take a cancellation for an answer.

Libraries sometimes swallow a cancellation: nats-py in several places, asyncio.wait_for of Python 3.11 when what it
waits for is done in the same tick.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from typing import Any, TypeVar, cast

log = logging.getLogger("wsgw")

T = TypeVar("T")

#: A cancellation is said again after the time that an orderly end takes.
CANCEL_AGAIN_SECONDS = 1.5
#: How often it is said; a task that goes on even then is left to itself.
MAX_CANCELLATIONS = 3


async def end(task: asyncio.Task[object]) -> bool:
    """Cancel ``task`` and wait until it has ended; False, and a line in the log, when it would not.

    That takes at most MAX_CANCELLATIONS * CANCEL_AGAIN_SECONDS. What the task raises is not raised here, and of no more
    interest: libraries raise all sorts of things when they are ended.
    """
    for number in range(MAX_CANCELLATIONS):
        if number:
            log.warning("%s goes on after a cancellation; cancelling it again", task.get_name())
        task.cancel()
        # it raises neither what the task raises nor a cancellation that was not ours
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_SECONDS)
        if task.done():
            if not task.cancelled() and (error := task.exception()) is not None:
                log.debug("%s ended with %r", task.get_name(), error)
            return True
    log.error("%s does not end; it is left to itself", task.get_name())
    return False


async def end_all(tasks: Collection[asyncio.Task[Any]], seconds: float) -> None:
    """As ``end``, of all at once, and in ``seconds`` at most."""
    left = set(tasks)
    for _round in range(MAX_CANCELLATIONS):
        for task in left:
            task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=seconds / MAX_CANCELLATIONS)
    for task in left:
        log.error("%s does not end; it is left to itself", task.get_name())


def fault_of(task: asyncio.Task[object]) -> Exception | None:
    """What ``task`` has raised; None when it goes on, returned, or was cancelled."""
    error = task.exception() if task.done() and not task.cancelled() else None
    return error if isinstance(error, Exception) else None


async def within(seconds: float, work: Coroutine[Any, Any, T], name: str) -> T:
    """The result of ``work``, or what it raises; TimeoutError when it takes longer, then it is ended first.

    It runs as a task of its own, called ``name``, so that a cancellation that it swallows is none of the caller's, as
    it would be under asyncio.timeout; nor does one get lost in the tick in which it is done, as under wait_for.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise TimeoutError
        if task.cancelled():  # not by us, and not the caller's: raised here it would end the caller
            raise RuntimeError(f"{name} was cancelled from inside")
        return task.result()
    finally:
        if not task.done():
            await end(task)


class NoThread(OSError):
    """The system has no thread for it now; there may be one later."""


async def in_thread(call: Callable[[], T], name: str) -> T:
    """What ``call`` returns, or raises, in a thread of its own, called ``name``; no end waits for it: it may hang.

    Raises NoThread, and ``call`` is not called then.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if outcome.done():  # nobody waits for it any more
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(cast(T, result))

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(settle, result, error)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:
        raise NoThread(f"{name}: {error}") from None
    return await outcome
