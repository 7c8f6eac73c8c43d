"""Running a command's work to its end or to a signal, with the original tools' lines around it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from wsgw.cli.address import Address
from wsgw.errors import WsgwError
from wsgw.tasks import CANCEL_AGAIN_SECONDS

log = logging.getLogger(__name__)


class _Lookups(ThreadPoolExecutor):
    """Threads that nobody waits for: a name look-up can hang longer than ``--timeout`` and cannot be cancelled."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def call() -> None:
            future.set_running_or_notify_cancel()
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=call, daemon=True).start()
        return future


def run(work: Callable[[], Coroutine[Any, Any, None]], address: Address, interrupted: str | None = None) -> int:
    """Run ``work`` and return the exit code: 0 when it returned, 1 after an error of ours, which is logged.

    SIGINT, SIGTERM and SIGHUP cancel it; then the code is 0, or 1 with the error ``interrupted`` if that is given.
    """
    try:
        stopped = asyncio.run(_until_signal(work))
    except WsgwError as error:
        log.error("%s", error)
        return 1
    if stopped and interrupted is not None:
        log.error("%s", interrupted)
    log.info("App starts the shutdown process...")
    if address.channel_type == "NATS":
        log.info("pdms: Shutting down")
    log.info("Shutdown process successfully finished")
    return 1 if stopped and interrupted is not None else 0


async def _until_signal(work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
    """True if a signal ended the work."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(_Lookups())
    task = asyncio.ensure_future(work())
    stopped = asyncio.Event()

    def stop() -> None:
        stopped.set()
        if not task.done():
            task.cancel()
            loop.call_later(CANCEL_AGAIN_SECONDS, stop)  # libraries sometimes swallow a cancellation

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # under nohup SIGHUP stays ignored; a shell's "&" ignores SIGINT, which must stop us all the same
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return stopped.is_set()
