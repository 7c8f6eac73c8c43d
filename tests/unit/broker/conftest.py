"""Servers with users and limits, and a peer beside the gateway's connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import uvloop

from helpers.brokers import Brokers
from helpers.connection import Opened
from helpers.liar import Liar
from helpers.nats_server import NatsServer
from wsgw.broker.client import DirectClient
from wsgw.broker.connection import NatsConnection
from wsgw.broker.subscription import Credentials
from wsgw.fanout.turn import Turn

#: "limited" may publish to ok.>, requests.> and its inbox, and listen to ok.> and its inbox.
USERS = """
max_payload: 2KB
authorization {
  users = [
    {user: all, password: secret}
    {user: limited, password: secret, permissions: {
      publish: {allow: ["ok.>", "requests.>", "_INBOX.>"]}, subscribe: {allow: ["ok.>", "_INBOX.>"]}}}
  ]
}
"""


@pytest.fixture(scope="package")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A nats-server with ``USERS``."""
    server = NatsServer(tmp_path_factory.mktemp("nats"), USERS)
    yield server
    server.stop()


class FakeServer:
    """Greets with ``says``, answers the first PING, and reads no more than buffers hold."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.got = b""
        self.left = False  # whether a client went without a PING
        self.url = ""
        self.readers: list[asyncio.StreamReader] = []
        self.writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def abort(self) -> None:
        """Reset every connection."""
        for writer in self.writers:
            writer.transport.abort()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.readers.append(reader)
        self.writers.append(writer)
        writer.write(self.says)
        try:
            self.got += await reader.readuntil(b"PING\r\n")
        except asyncio.IncompleteReadError as left:
            self.got += left.partial
            self.left = True
        except ConnectionError:
            return
        else:
            writer.write(b"PONG\r\n")


@pytest.fixture
async def fake_server() -> AsyncIterator[Callable[[bytes], Awaitable[FakeServer]]]:
    made: list[FakeServer] = []

    async def start(says: bytes) -> FakeServer:
        made.append(FakeServer(says))
        await made[-1].start()
        return made[-1]

    yield start
    for server in made:
        await server.stop()


StartLiar = Callable[..., Awaitable[Liar]]


@pytest.fixture
async def start_liar() -> AsyncIterator[StartLiar]:
    made: list[Liar] = []

    async def start(**info: object) -> Liar:
        made.append(await Liar.start(**info))
        return made[-1]

    yield start
    for liar in made:
        await liar.stop()


@pytest.fixture
async def _bounded() -> AsyncIterator[None]:
    async with asyncio.timeout(60):
        yield


@pytest.fixture
async def open_connection() -> AsyncIterator[Opened]:
    opened = Opened()
    yield opened
    for connection in opened.connections:
        await connection.close()


@pytest.fixture
async def connection(nats: NatsServer, open_connection: Opened) -> NatsConnection:
    return await open_connection(nats.url)


@pytest.fixture
async def limited(users: NatsServer, open_connection: Opened) -> NatsConnection:
    return await open_connection(users.url, Credentials("limited", "secret"))


@pytest.fixture
async def make_broker() -> AsyncIterator[Brokers]:
    brokers = Brokers()
    async with asyncio.timeout(60):
        yield brokers
        for broker in brokers.made:
            await broker.stop(0.1)


Run = Callable[..., None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, nats: NatsServer) -> Run:
    """Runs a function with a client that is connected, on the loop of tests and on the gateway's."""

    def run(test: Callable[[DirectClient], Awaitable[None]], url: str = nats.url) -> None:
        async def main() -> None:
            client = DirectClient(Turn(asyncio.get_running_loop().call_soon))
            await client.open(url, Credentials(), "test", 5)
            try:
                await test(client)
            finally:
                client.shut()

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main())

    return run
