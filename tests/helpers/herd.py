"""Many clients of a durable channel who come back at once: cheap ones, in a process of their own.

Payloads are the stream's sequences, and ``end`` is the last one. ``python -m helpers.herd PORT CHANNEL`` reads one id a
line, opens the connections all at once, half of them WebSockets, half event streams, and says
in JSON what came when all have the last message.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

from helpers.program import BIN, clean_environment

#: As they are in either protocol, whatever is around them.
_NUMBER = re.compile(rb'(?:data: |"text":")(\d+|end)["\n]')
_NOT_RECOVERED = re.compile(rb'wsgw:gap|"event":"gap"')
_WEBSOCKET = (
    "GET /ws/{channel}?envelope=1&after={id} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_EVENTS = "GET /sse/{channel} HTTP/1.1\r\nHost: a\r\nLast-Event-ID: {id}\r\n\r\n"


_TESTS = Path(__file__).resolve().parents[1]


class _Client(asyncio.Protocol):
    """One that stands at ``sequence``."""

    def __init__(self, request: str, sequence: int) -> None:
        self._request = request.encode()
        self._next = sequence + 1
        self._kept = b""
        self.messages = 0
        #: what is wrong with what came
        self.fault = ""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        data = self._kept + data
        if _NOT_RECOVERED.search(data):
            self._over("a gap")
        at = 0
        for found in _NUMBER.finditer(data):
            at = found.end()
            if found[1] == b"end":
                self._over()
                break
            if int(found[1]) != self._next:
                self._over(f"{int(found[1])} instead of {self._next}")
                break
            self._next += 1
            self.messages += 1
        self._kept = data[max(at, len(data) - 4096) :]

    def connection_lost(self, error: Exception | None) -> None:
        self._over(f"the connection was lost: {error}")

    def _over(self, fault: str = "") -> None:
        if not self.done.done():
            self.fault = fault
            self.done.set_result(None)


class Herd:
    """``start`` it; ``result`` when the last message was published."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, port: int, channel: str, ids: Sequence[str]) -> Herd:
        """One process of clients, one of each of ``ids``."""
        process = await asyncio.create_subprocess_exec(
            *(BIN / "python", "-m", "helpers.herd", str(port), channel),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_TESTS,
            env=clean_environment(),
        )
        assert process.stdin is not None
        process.stdin.write("".join(f"{id}\n" for id in ids).encode())
        process.stdin.write_eof()
        return cls(process)

    async def result(self) -> tuple[int, list[str]]:
        """How many messages came, and what was wrong, of whom something was."""
        out, _ = await self._process.communicate()
        assert self._process.returncode == 0
        said = json.loads(out)
        return said["messages"], said["faults"]

    def check(self) -> None:
        """It has not ended."""
        assert self._process.returncode is None, "a herd ended before its time"

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()


def _same(client: _Client) -> _Client:
    return client


async def _run(port: int, channel: str, ids: Sequence[str]) -> None:
    loop = asyncio.get_running_loop()
    clients = []
    for number, id in enumerate(ids):
        request = (_EVENTS if number % 2 else _WEBSOCKET).format(channel=channel, id=id)
        clients.append(_Client(request, int(id.rpartition("-")[2])))
    await asyncio.gather(*(loop.create_connection(partial(_same, client), "127.0.0.1", port) for client in clients))
    for client in clients:
        await client.done
    faults = [client.fault for client in clients if client.fault]
    print(json.dumps({"messages": sum([client.messages for client in clients]), "faults": faults}))


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), sys.argv[2], sys.stdin.read().split()))
