"""Signals in a thread of their own; what ends a process is in tests/integration/test_forced_stop.py."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from helpers.waiting import eventually
from wsgw.process.signals import Signals

ALL = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def signals(told: list[str]) -> Iterator[Signals]:
    with Signals(3600, lambda: told.append("reload")) as made:
        yield made


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_is_told_in_the_loop(signals: Signals, told: list[str], number: int) -> None:
    signals.attend(lambda: told.append(f"stop in {threading.current_thread().name}"))
    send(number)
    await eventually(lambda: told, "the stop")
    assert told == ["stop in MainThread"]


async def test_a_reload(signals: Signals, told: list[str]) -> None:
    signals.attend(lambda: told.append("stop"))
    send(signal.SIGHUP)
    await eventually(lambda: told, "the reload")
    send(signal.SIGHUP)
    await eventually(lambda: len(told) == 2, "the other")
    assert told == ["reload", "reload"]


async def test_sighup_stops_where_nothing_can_be_read_again(told: list[str]) -> None:
    with Signals(3600) as signals:
        signals.attend(lambda: told.append("stop"))
        send(signal.SIGHUP)
        await eventually(lambda: told, "the stop")
    assert told == ["stop"]


async def test_what_came_before_is_told_then(signals: Signals, told: list[str]) -> None:
    send(signal.SIGTERM)
    await asyncio.sleep(0.05)  # time to be taken; it counts either way
    signals.attend(lambda: told.append("stop"))
    await eventually(lambda: told, "the stop")
    assert told == ["stop"]


async def test_a_thread_that_does_not_block_them(told: list[str]) -> None:
    """One from before: the kernel may choose it, and does where it is asked to."""
    go = threading.Event()

    def wait() -> None:
        go.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    thread = threading.Thread(target=wait)
    thread.start()
    with Signals(3600) as signals:
        signals.attend(lambda: told.append("stop"))
        go.set()
        await eventually(lambda: told, "the stop")
        thread.join()
    assert told == ["stop"]


def test_nothing_is_left_of_it(told: list[str]) -> None:
    handlers = [signal.getsignal(number) for number in ALL]
    threads = threading.active_count()
    for _ in range(3):
        with Signals(3600, lambda: told.append("reload")):
            send(signal.SIGTERM)
    assert [signal.getsignal(number) for number in ALL] == handlers
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(ALL)
    assert not signal.sigpending() & set(ALL)
    assert threading.active_count() == threads
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


async def test_a_loop_that_is_closed(signals: Signals, told: list[str]) -> None:
    def serve() -> None:
        loop = asyncio.new_event_loop()

        async def attend() -> None:
            signals.attend(lambda: told.append("stop"))

        loop.run_until_complete(attend())
        loop.close()

    await asyncio.to_thread(serve)
    send(signal.SIGTERM)
    await asyncio.sleep(0.05)
    assert told == []
    send(signal.SIGHUP)  # the thread has lived on
    await asyncio.sleep(0.05)
    assert signals._thread.is_alive()
