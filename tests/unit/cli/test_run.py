from __future__ import annotations

import asyncio
import threading

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
