"""The libraries and transports that the contract suite runs over, by name."""

from __future__ import annotations

from collections.abc import Callable

from helpers.client import Transport
from helpers.client_npm import NpmTransport
from helpers.client_socketio import SocketIOTransport
from helpers.client_sse import SseTransport
from helpers.client_websocket import WebSocketTransport
from helpers.node import SOCKET_IO_CLIENT, modules

TRANSPORTS: dict[str, Callable[[], Transport]] = {
    "websocket": WebSocketTransport,
    "sio-websocket": lambda: SocketIOTransport("websocket"),
    "sio-polling": lambda: SocketIOTransport("polling"),
    "sio-upgrade": lambda: SocketIOTransport("upgrade"),
    "npm-websocket": lambda: NpmTransport("websocket", modules(SOCKET_IO_CLIENT)),
    "npm-polling": lambda: NpmTransport("polling", modules(SOCKET_IO_CLIENT)),
    "npm-upgrade": lambda: NpmTransport("upgrade", modules(SOCKET_IO_CLIENT)),
}

#: Those by which nothing is sent.
RECEIVING: dict[str, Callable[[], Transport]] = {
    "sse": lambda: SseTransport("one"),
    "sse-several": lambda: SseTransport("several"),
}
