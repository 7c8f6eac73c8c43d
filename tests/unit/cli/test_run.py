from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from wsgw.cli import run as module
from wsgw.cli.address import parse
from wsgw.cli.clients.base import Unavailable
from wsgw.cli.run import run


def test_a_hanging_lookup_delays_nothing() -> None:
    release = threading.Event()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        hung = asyncio.Event()

        def look_up() -> None:
            loop.call_soon_threadsafe(hung.set)
            release.wait()

        lookup = loop.run_in_executor(None, look_up)
        await hung.wait()
        lookup.cancel()
        raise Unavailable("not found")

    # would never return if the thread were waited for
    assert run(work, parse("http://localhost")) == 1
    release.set()


def test_exit_codes() -> None:
    async def fine() -> None:
        pass

    async def look_up() -> None:
        assert await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)

    assert run(fine, parse("http://localhost")) == 0
    assert run(look_up, parse("nats://localhost"), interrupted="never") == 0


def test_a_signal_that_a_library_swallows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CANCEL_AGAIN_SECONDS", 0.01)
    swallowed: list[bool] = []

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        while len(swallowed) < 3:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                swallowed.append(True)

    assert run(work, parse("http://localhost")) == 0
    assert len(swallowed) == 3
