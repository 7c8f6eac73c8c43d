"""The proxy makes the faults that it says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from helpers.ports import free_port
from helpers.proxy import Fate, Proxy
from helpers.waiting import DEADLINE_SECONDS, eventually

LOST = (ConnectionError, asyncio.IncompleteReadError)


class Echo:
    """A server that sends back what comes; ``came`` and ``ended`` are what it has heard."""

    def __init__(self) -> None:
        self.came = b""
        self.ended = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while data := await reader.read(65536):
                self.came += data
                writer.write(data)
        except ConnectionError:
            pass
        self.ended += 1
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, int]]:
    made = Echo()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    yield made, server.sockets[0].getsockname()[1]
    for writer in made.writers:
        writer.transport.abort()
    server.close()
    await asyncio.sleep(0)


@pytest.fixture
async def proxy(echo: tuple[Echo, int]) -> AsyncIterator[Proxy]:
    made = await Proxy.start(echo[1], buffer_bytes=64 * 1024)
    async with asyncio.timeout(DEADLINE_SECONDS):
        yield made
    await made.close()


async def connect(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    return reader, writer


async def test_cut_and_restored(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    proxy.cut()
    with pytest.raises(LOST):
        await reader.readexactly(1)
    writer.close()
    proxy.restore()
    _, writer = await connect(proxy)
    writer.close()


async def test_held_and_restored(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    proxy.hold()
    writer.write(b"more")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await reader.readexactly(4)
    proxy.restore()
    assert await reader.readexactly(4) == b"more"
    writer.close()


@pytest.mark.parametrize("fate", [Fate.STANDS, Fate.SWALLOWED])
async def test_half_open(proxy: Proxy, echo: tuple[Echo, int], fate: Fate) -> None:
    _, writer = await connect(proxy)
    proxy.forsake(fate)
    writer.write(b"unheard")
    await writer.drain()
    writer.transport.abort()
    reader, writer = await connect(proxy)  # a new one flows, and what came on the old one has been dealt with
    assert echo[0].came == b"hello" * 2
    assert not echo[0].ended
    echo[0].writers[0].transport.abort()
    assert not reader.at_eof()
    writer.close()
    await eventually(lambda: echo[0].ended == 2, "each end is heard by its own side")


async def test_what_is_swallowed_is_taken(proxy: Proxy, echo: tuple[Echo, int]) -> None:
    _, writer = await connect(proxy)
    proxy.forsake(Fate.SWALLOWED)
    echo[0].writers[0].write(bytes(8 * 1024 * 1024))
    await echo[0].writers[0].drain()
    writer.write(bytes(8 * 1024 * 1024))
    await writer.drain()
    writer.close()


async def test_what_stands_is_not_taken(proxy: Proxy, echo: tuple[Echo, int]) -> None:
    _, writer = await connect(proxy)
    proxy.forsake(Fate.STANDS)
    echo[0].writers[0].write(bytes(8 * 1024 * 1024))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await echo[0].writers[0].drain()
    writer.transport.abort()


async def test_slow(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    proxy.rate_bytes = 10_000
    began = time.monotonic()
    writer.write(bytes(5000))
    await reader.readexactly(5000)
    assert time.monotonic() - began > 0.2  # not before its time, however busy the machine is
    writer.close()


async def test_slow_no_more(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    proxy.rate_bytes = 10
    writer.write(bytes(60_000))
    await reader.readexactly(1)
    proxy.restore()
    await reader.readexactly(59_999)
    writer.close()


async def test_nothing_listens_there() -> None:
    made = await Proxy.start(free_port())
    reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
    with pytest.raises(LOST):
        await reader.readexactly(1)
    writer.close()
    await made.close()
