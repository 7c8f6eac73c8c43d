"""A bridge between NATS and Socket.IO clients as one writes it with python-socketio: emit to everybody."""

from __future__ import annotations

import os

import nats
import socketio
import uvicorn
from nats.aio.client import Client
from nats.aio.msg import Msg

server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")
connection: Client | None = None


async def receive(message: Msg) -> None:
    await server.emit(message.subject, message.data.decode())


async def publish(sid: str, data: str) -> bool:
    assert connection is not None
    await connection.publish("OUT", data.encode())
    return True


server.on("OUT", publish)


async def start() -> None:
    global connection
    connection = await nats.connect(os.environ["BRIDGE_NATS"])
    await connection.subscribe("IN", cb=receive)
    await connection.flush()


app = socketio.ASGIApp(server, on_startup=start)

if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ["BRIDGE_PORT"]), loop="uvloop", log_level="warning", access_log=False
    )
