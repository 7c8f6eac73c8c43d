"""nats-py's part: connecting, and handing the connection over. (What is refused: test_connection, test_hostile.)"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator

import pytest

from helpers.nats_server import NatsServer
from helpers.waiting import eventually
from wsgw.broker.handshake import Handshake
from wsgw.broker.subscription import Credentials

from .conftest import FakeServer


def ignore(error: Exception) -> None: ...


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_the_connection_is_handed_over(nats: NatsServer) -> None:
    handshake = Handshake(ignore)
    tcp = await handshake.run(nats.url, Credentials(), "test", 5)
    assert handshake.info.headers
    assert handshake.info.max_payload_bytes == 1024 * 1024
    reader, writer = tcp._io_reader, tcp._io_writer
    assert reader is not None
    assert writer is not None
    writer.write(b"SUB a 1\r\nPUB a 1\r\nx\r\n")
    assert await asyncio.wait_for(reader.readuntil(b"x\r\n"), 20)
    assert not [task for task in asyncio.all_tasks() if "Handshake" in repr(task) and not task.done()]
    writer.transport.abort()


@pytest.mark.usefixtures("without_collector")
async def test_nothing_is_left_to_the_collector(nats: NatsServer) -> None:
    handshake = Handshake(ignore)
    tcp = await handshake.run(nats.url, Credentials(), "test", 5)
    made = weakref.ref(handshake)
    del handshake
    await asyncio.sleep(0)
    assert made() is None
    writer = tcp._io_writer
    assert writer is not None
    writer.transport.abort()


async def test_what_could_not_be_had_is_closed(fake_server: Callable[[bytes], Awaitable[FakeServer]]) -> None:
    server = await fake_server(b'INFO {"max_payload": "x"}\r\n')
    errors: list[Exception] = []
    with pytest.raises(Exception, match="the server sends a max_payload in INFO that is none: 'x'"):
        await Handshake(errors.append).run(server.url, Credentials(), "test", 5)
    await eventually(lambda: server.left, "the end of the connection")
    assert server.got == b"", "credentials, for one"
    assert len(errors) == 1
