"""A server of our HTTP/1.1 connections with an application that tells what came, and clients on bare sockets."""

from __future__ import annotations

import asyncio
from typing import Any

from helpers.link_server import LinkServer
from helpers.metrics import value
from wsgw.config.limits import LimitsSettings
from wsgw.core.edge import Edge
from wsgw.metrics import Metrics
from wsgw.transports.asgi import Event, Receive, Send
from wsgw.transports.http import wait_gone

#: Small ones, so that tests meet them soon.
LIMITS = {"head_bytes": 2048, "headers": 12, "head_timeout": 0.4, "body_stall_timeout": 0.4, "body_timeout": 1.2}


class App:
    """Answers with what came: method, path, query, and the body's length. Paths do other things."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.gone: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.asked.append(path)
        if path == "/fault":
            raise RuntimeError("a fault")
        if path == "/unread":
            await answer(send, 404, b"no")
            return
        if path == "/poll":
            await wait_gone(receive)
            self.gone.append(path)
            return
        body = b""
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                self.gone.append(path)
                return
            body += event["body"]
            if path == "/slowly":
                await self.may_answer.wait()
            if not event["more_body"]:
                break
        self.bodies.append(body)
        await self.may_answer.wait()
        if path == "/large":
            await answer(send, 200, bytes(8 * 1024 * 1024))
        elif path == "/parts":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for part in (b"one", b"", b"two"):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        elif path == "/broken":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise RuntimeError("a fault")
        else:
            text = f"{scope['method']} {path}?{scope['query_string'].decode()} {len(body)}"
            await answer(send, 200, text.encode())


async def answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode("latin-1") if isinstance(data, str) else data)

    async def trickle(self, text: str, seconds: float) -> None:
        """Send ``text`` byte by byte, so far apart; raises ConnectionError when the server has closed."""
        for byte in text:
            self.send(byte)
            await self.writer.drain()
            await asyncio.sleep(seconds)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer: status, headers, body."""
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            line, *rest = head.rstrip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in rest)}
            body = b""
            if "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            elif headers.get("transfer-encoding") == "chunked":
                while size := int(await self.reader.readline(), 16):
                    body += (await self.reader.readexactly(size + 2))[:-2]
                await self.reader.readline()
            return int(line.split()[1]), headers, body

    async def end(self) -> bytes:
        """What comes until the server ends the connection."""
        async with asyncio.timeout(20):
            return await self.reader.read()


class HttpServer:
    """``edge`` and ``app`` are those of the server; ``connect`` makes clients."""

    def __init__(self, **limits: Any) -> None:
        self.app = App()
        self.metrics = Metrics()
        self.edge = Edge(LimitsSettings(**{**LIMITS, **limits}), self.metrics)
        self.server = LinkServer(self.app, direct=True, edge_of=lambda: self.edge, always={"/always"})
        self.clients: list[Client] = []

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.server.port))
        self.clients.append(client)
        return client

    async def ask(self, request: bytes | str) -> Client:
        client = await self.connect()
        client.send(request)
        return client

    @property
    def connections(self) -> set[Any]:
        return self.server.uvicorn.server_state.connections

    def due(self) -> list[float]:
        """When each connection's clock would end it (the loop's time)."""
        return [connection._clock.due for connection in self.connections]

    def refused(self, reason: str) -> float:
        return value(self.metrics, "wsgw_rejected_total", reason=reason)

    async def close(self) -> None:
        for client in self.clients:
            client.writer.close()
        await self.server.stop()


def get(path: str, *headers: str, method: str = "GET") -> str:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *headers, "", ""])


def post(path: str, body: str, *headers: str) -> str:
    return get(path, f"Content-Length: {len(body)}", *headers, method="POST") + body
