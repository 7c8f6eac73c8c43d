"""An answer without end over plain ASGI messages, by hand: what servers say and take."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from helpers.fanout import IN, batch
from helpers.hearer import Hearer, item
from helpers.waiting import eventually
from wsgw.transports.asgi import Event
from wsgw.transports.asgistream import AsgiStream
from wsgw.transports.openstream import open_stream


class Server:
    """The other end of ASGI: what it sends is ``incoming``, what it gets ``sent``."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[Event | Exception] = asyncio.Queue()
        self.sent: list[Any] = []
        self.hearer = Hearer()

    async def open(self) -> AsgiStream:
        link = await open_stream({}, self.receive, self.send, self.hearer, [(b"a", b"b")])
        assert isinstance(link, AsgiStream)
        self.hearer.link = link
        return link

    async def receive(self) -> Event:
        event = await self.incoming.get()
        if isinstance(event, Exception):
            raise event
        return event

    async def send(self, message: Any) -> None:
        self.sent.append(message)


def body(data: bytes, *, more: bool = True) -> Event:
    return {"type": "http.response.body", "body": data, **({"more_body": True} if more else {})}


async def test_messages() -> None:
    server = Server()
    link = await server.open()
    link.write(item(b"a", b"b"))
    link.write_batch(batch(IN, item(b"c"), item(b"d", b"e")))
    assert link.buffered_bytes() == 5
    link.close(1001)
    link.write(item(b"too late"))
    async with asyncio.timeout(30):
        await link.run()
    assert server.sent == [
        {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]},
        body(b"a"),
        body(b"b"),
        body(b"cde"),
        body(b"", more=False),
    ]
    assert server.hearer.events == [1001]


@pytest.mark.parametrize(
    ("event", "code"), [({"type": "http.disconnect"}, 1005), (ConnectionResetError(), 1006)], ids=["told", "raised"]
)
async def test_the_client_goes(event: Event | Exception, code: int) -> None:
    server = Server()
    link = await server.open()
    server.incoming.put_nowait({"type": "http.request", "body": b"not listened to", "more_body": True})
    server.incoming.put_nowait(event)
    async with asyncio.timeout(30):
        await link.run()
    assert server.hearer.events == [code]


async def test_who_goes_while_it_is_closed_was_closed() -> None:
    server = Server()
    link = await server.open()
    running = asyncio.get_running_loop().create_task(link.run())
    await asyncio.sleep(0)
    link.close(4008)
    server.incoming.put_nowait({"type": "http.disconnect"})
    await running
    await eventually(lambda: server.hearer.events == [4008], "by the code that it was closed with")
