"""A bridge between NATS and WebSocket clients as one writes it with FastAPI and nats-py: a queue for each client."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from nats.aio.msg import Msg

clients: defaultdict[str, set[asyncio.Queue[str]]] = defaultdict(set)


async def receive(message: Msg) -> None:
    text = message.data.decode()
    for queue in clients[message.subject]:
        queue.put_nowait(text)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.nats = await nats.connect(os.environ["BRIDGE_NATS"])
    for channel in os.environ["BRIDGE_CHANNELS"].split(","):
        await app.state.nats.subscribe(channel, cb=receive)
    await app.state.nats.flush()
    yield
    await app.state.nats.close()


app = FastAPI(lifespan=lifespan)


@app.websocket("/ws/{channel}")
async def bridge(websocket: WebSocket, channel: str) -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()
    clients[channel].add(queue)
    await websocket.accept()

    async def send() -> None:
        while True:
            await websocket.send_text(await queue.get())

    sending = asyncio.create_task(send())
    try:
        while True:
            text = await websocket.receive_text()
            await websocket.app.state.nats.publish(channel, text.encode())
    except WebSocketDisconnect:
        pass
    finally:
        clients[channel].discard(queue)
        sending.cancel()


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ["BRIDGE_PORT"]), loop="uvloop", log_level="warning", access_log=False
    )
