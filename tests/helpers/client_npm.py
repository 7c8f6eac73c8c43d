"""Socket.IO, by npm's socket.io-client on Node; see sio_driver.js for the lines spoken with it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, Literal

from helpers.client import Refused
from helpers.client_socketio import error_of, reply_of
from helpers.gateway import GatewayProcess
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw.channels.channel import RESERVED_PREFIX

_DRIVER = Path(__file__).with_name("sio_driver.js")
_TRANSPORTS = {"websocket": ["websocket"], "polling": ["polling"], "upgrade": ["polling", "websocket"]}
_LINE_BYTES = 64 * 1024 * 1024


class NpmClient:
    """One socket in the driver's process. Implements ``Client``."""

    def __init__(self, driver: Driver, id: int) -> None:
        self.received: list[tuple[str, str | bytes]] = []
        self.upgraded = False
        self.connected = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._driver = driver
        self._id = id
        self._acks: dict[int, asyncio.Future[list[object]]] = {}
        self._sent: list[asyncio.Future[list[object]]] = []
        self._closed = False

    async def emit(self, channel: str, *arguments: object) -> asyncio.Future[list[object]]:
        """Emit an event with any arguments; the future gets its ack's."""
        n = len(self._acks)
        self._acks[n] = asyncio.get_running_loop().create_future()
        await self._driver.tell(op="emit", id=self._id, n=n, event=channel, args=[_pack(a) for a in arguments])
        return self._acks[n]

    async def send(self, channel: str, payload: str | bytes) -> None:
        self._sent.append(await self.emit(channel, payload))

    async def confirm(self) -> list[str]:
        acks, self._sent = self._sent, []
        await eventually(lambda: not self.connected or all(ack.done() for ack in acks), "an ack of every message")
        assert self.connected, "the gateway closed the connection"
        return [code for ack in acks if (code := error_of(ack.result())) is not None]

    async def request(self, channel: str, payload: str | bytes) -> str | bytes:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return reply_of(await (await self.emit(channel, payload)))

    async def close(self) -> None:
        if self._driver.running and not self._closed:
            await self._driver.tell(op="close", id=self._id)
            await eventually(lambda: self._closed, "the driver closes the socket")

    async def vanish(self) -> None:
        await self._driver.kill()

    def heard(self, line: dict[str, Any]) -> None:
        """A line of the driver about this socket."""
        match line["on"]:
            case "event":
                if not line["event"].startswith(RESERVED_PREFIX):
                    self.received.append((line["event"], _unpack(line["args"][0])))
            case "ack":
                self._acks[line["n"]].set_result([_unpack(argument) for argument in line["args"]])
            case "connect":
                self.connected = True
                self.upgraded = line["transport"] == "websocket"
                self.opened.set_result(None)
            case "refused":
                assert line["data"] is not None, line["message"]
                self.opened.set_exception(Refused(line["data"]["error"]["code"]))
            case "upgrade":
                self.upgraded = True
            case "disconnect":
                self.connected = False
            case "closed":
                self._closed = True


class Driver:
    """One Node process with sockets in it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._clients: list[NpmClient] = []
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, modules: Path) -> Driver:
        """``modules`` is a folder in which ``npm install socket.io-client`` ran."""
        process = await asyncio.create_subprocess_exec(
            "node", _DRIVER, modules, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=_LINE_BYTES
        )
        return cls(process)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.returncode is None

    async def open(self, url: str, transports: list[str], query: dict[str, str]) -> NpmClient:
        """A connected client; raises Refused."""
        client = NpmClient(self, len(self._clients))
        self._clients.append(client)
        await self.tell(op="open", id=len(self._clients) - 1, url=url, transports=transports, query=query)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await client.opened
        return client

    async def tell(self, **command: object) -> None:
        """Send one command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()

    async def stop(self) -> None:
        """Close every socket, then the process."""
        for client in self._clients:
            if client.connected:
                await client.close()
        if self.running:
            assert self._process.stdin is not None
            self._process.stdin.close()
        await self._ended()

    async def kill(self) -> None:
        """End the process at once, and with it its connections."""
        self._process.kill()
        await self._ended()

    async def _ended(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self._process.wait()
            await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            self._clients[told["id"]].heard(told)


class NpmTransport:
    """Implements ``Transport``."""

    acks = True

    def __init__(self, how: Literal["websocket", "polling", "upgrade"], modules: Path) -> None:
        self.name = f"npm-{how}"
        self.upgrades = how == "upgrade"
        self._transports = _TRANSPORTS[how]
        self._modules = modules
        self._drivers: list[Driver] = []
        self._shared: Driver | None = None
        self._starting = asyncio.Lock()

    async def open(
        self, gateway: GatewayProcess, *channels: str, everything: bool = False, alone: bool = False
    ) -> NpmClient:
        async with self._starting:
            driver = None if alone else self._shared
            if driver is None:
                driver = await Driver.start(self._modules)
                self._drivers.append(driver)
            if not alone:
                self._shared = driver
        query = {} if everything else {"channels": ",".join(channels)}
        return await driver.open(gateway.url, self._transports, query)

    async def close(self) -> None:
        await asyncio.gather(*(driver.stop() for driver in self._drivers))


def _pack(value: object) -> object:
    return {"b": b64encode(value).decode()} if isinstance(value, bytes) else value


def _unpack(value: Any) -> Any:
    return b64decode(value["b"]) if isinstance(value, dict) and value.keys() == {"b"} else value
