"""Requests over NATS, asked by the gateway's broker or by nats-py, as the first argument says; how many, by a socket.

A line there, ``CONCURRENT COUNT``, has so many asked, so many at a time; it is answered by the same line.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import nats
import uvloop
from bench.responder import SUBJECT

from wsgw.broker.broker import Broker
from wsgw.metrics import Metrics

PAYLOAD = b"x" * 128
TIMEOUT_SECONDS = 30.0

Ask = Callable[[], Awaitable[bytes]]


async def of_broker(url: str) -> Ask:
    broker = Broker([url], Metrics())
    await broker.start(wait=False)

    async def ask() -> bytes:
        return (await broker.request(SUBJECT, PAYLOAD, TIMEOUT_SECONDS)).payload

    return ask


async def of_nats_py(url: str) -> Ask:
    client = await nats.connect(url)

    async def ask() -> bytes:
        return (await client.request(SUBJECT, PAYLOAD, timeout=TIMEOUT_SECONDS)).data

    return ask


async def main() -> None:
    ask = await (of_broker if sys.argv[1] == "broker" else of_nats_py)(os.environ["BRIDGE_NATS"])

    async def some(count: int) -> None:
        for _ in range(count):
            if await ask() != PAYLOAD:
                raise ValueError("another reply")

    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            concurrent, count = map(int, line.split())
            await asyncio.gather(*[some(count // concurrent) for _ in range(concurrent)])
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(told, "127.0.0.1", int(os.environ["BRIDGE_PORT"]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
