"""Clients for the matrix of rights: each comes by one protocol to do one thing, and says what it was told.

What is told is ``ok`` or the name of an error kind, whatever form the protocol has for it. Bare sockets and raw
packets: nothing between the test and the wire interprets, retries or hides anything.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
from websockets.frames import Opcode
from websockets.typing import Subprotocol

from helpers.event_stream import EventClient
from helpers.raw_websocket import RawWebSocket, close, text
from wsgw.channels.channel import Use
from wsgw.errors import KINDS

OK = "ok"
POLLING = "/socket.io/?EIO=4&transport=polling"
#: A client that is subscribed gets what is published; it is published again until it does.
AGAIN_SECONDS = 0.2
#: Of one answer.
PATIENCE_SECONDS = 20.0

_OF_CODE = {4501: "unauthenticated", 4010: "token_expired", 4503: "forbidden", 4504: "unknown_channel"}


class Visit:
    """``use`` of the channel ``name``; ``publish()`` has a back-end send ``down``, which is for this client alone.

    ``up`` is what the client sends; ``seen()`` tells how often NATS has seen that.
    """

    #: whether a live connection can be given another token
    refreshes = False

    def __init__(
        self, port: int, use: Use, name: str, down: str, up: str, publish: Callable[[], object], seen: Callable[[], int]
    ) -> None:
        self.port, self.use, self.name, self.down, self.up = port, use, name, down, up
        self._publish, self._seen = publish, seen
        self.got: list[str] = []
        self.told: list[str] = []

    async def come(self, token: str | None) -> str:
        """Connect and do it, for the first time."""
        raise NotImplementedError

    async def again(self) -> str:
        """Do it once more, on the same connection where there is one."""
        raise NotImplementedError

    async def refresh(self, token: str) -> str:
        """Show another token, on the same connection."""
        raise NotImplementedError

    async def notice(self) -> str:
        """What is told by itself, on the same connection."""
        return self.told[-1] if self.told else await self._until(lambda: bool(self.told))

    async def end(self) -> str:
        """What the connection ends with; ``closed`` where nothing is said."""
        raise NotImplementedError

    async def leave(self) -> None:
        """Go."""

    async def _deliver(self) -> str:
        """Publish until it is here, or something is told."""
        before = len(self.got)
        return await self._until(lambda: len(self.got) > before, self._publish)

    async def _until(self, done: Callable[[], bool], each: Callable[[], object] = lambda: None) -> str:
        """Read until ``done()``, or something is told, doing ``each`` now and then."""
        told = len(self.told)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not done() and len(self.told) == told:
                each()
                with suppress(TimeoutError):
                    async with asyncio.timeout(AGAIN_SECONDS):
                        await self._read()
        return OK if len(self.told) == told else self.told[-1]

    def _take_payload(self, payload: str) -> None:
        if payload == self.down:  # others' channel it may be, too
            self.got.append(payload)

    async def _read(self) -> None:
        """Take one thing from the connection."""
        raise NotImplementedError


class WebSocketVisit(Visit):
    """``/ws/{channel}``, its token beside the subprotocol ``bearer``."""

    async def come(self, token: str | None) -> str:
        offered = None if token is None else [Subprotocol("bearer"), Subprotocol(token)]
        # by itself a channel of both ways opens for who may only send to it
        wants = "?receive=1" if self.use is Use.SUBSCRIBE else ""
        self._client = RawWebSocket(self.port, f"/ws/{self.name}{wants}", subprotocols=offered)
        await self._client.connect()
        response = await self._client.shake_hands()
        assert response.status_code == 101
        return await self.again()

    async def again(self) -> str:
        if self.use is Use.SUBSCRIBE:
            return await self._deliver()
        before = self._seen()
        await self._client.send(text(self.up))
        return await self._until(lambda: self._seen() > before)

    async def end(self) -> str:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.told:
                await self._read()
        return self.told[-1]

    async def leave(self) -> None:
        with suppress(OSError):
            await self._client.send(close(1000))
        self._client.close()

    async def _read(self) -> None:
        frame = await self._client.receive()
        if frame.opcode is Opcode.CLOSE:
            code = int.from_bytes(frame.data[:2])
            self.told.append(_OF_CODE.get(code, str(code)))
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._take_payload(bytes(frame.data).decode())


class StreamVisit(Visit):
    """``/sse/{channel}``, its token in the header Authorization."""

    async def come(self, token: str | None) -> str:
        self._client = EventClient(self.port)
        await self._client.connect()
        await self._client.ask(f"/sse/{self.name}", *([] if token is None else [f"Authorization: Bearer {token}"]))
        if await self._client.answer() != 200:
            return str(json.loads(await self._client.body())["error"]["code"])
        return await self.again()

    async def again(self) -> str:
        return await self._deliver()

    async def end(self) -> str:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.told:
                await self._read()
            await self._client.end()
        return self.told[-1]

    async def leave(self) -> None:
        self._client.close()

    async def _read(self) -> None:
        event = await self._client.next()
        if event.event == "wsgw:error":
            self.told.append(str(json.loads(event.data)["error"]["code"]))
        elif event.event == "message":
            self._take_payload(event.data)


class PostVisit(Visit):
    """``POST /publish`` and ``/request``: each comes alone."""

    async def come(self, token: str | None) -> str:
        self._token = token
        return await self.again()

    async def again(self) -> str:
        headers = {} if self._token is None else {"authorization": f"Bearer {self._token}"}
        verb = "request" if self.use is Use.REQUEST else "publish"
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", trust_env=False, verify=False, timeout=30
        ) as http:
            answer = await http.post(f"/{verb}/{self.name}", headers=headers, content=self.up.encode())
        return OK if answer.is_success else str(answer.json()["error"]["code"])


class SocketVisit(Visit):
    """Socket.IO over a WebSocket, its token said with the CONNECT."""

    refreshes = True
    _id = 0

    async def come(self, token: str | None) -> str:
        await self._open()
        await self._send("40" + ("" if token is None else json.dumps({"token": token})))
        packet = await self._answer("40", "44")
        if packet.startswith("44"):
            return str(json.loads(packet[2:])["data"]["error"]["code"])
        return await self.again()

    async def again(self) -> str:
        if self.use is Use.SUBSCRIBE:
            return await self._deliver()
        return await self._emit(self.name, self.up)

    async def refresh(self, token: str) -> str:
        return await self._emit("wsgw:refresh", token)

    async def end(self) -> str:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self._is_over():
                await self._read()
        return self.told[-1] if self.told else "closed"

    async def leave(self) -> None:
        self._client.close()

    # -- the way

    async def _open(self) -> None:
        self._packets: list[str] = []
        self._client = RawWebSocket(self.port, f"/socket.io/?EIO=4&transport=websocket&channels={self._asked}")
        await self._client.connect()
        assert (await self._client.shake_hands()).status_code == 101
        await self._answer("0")

    @property
    def _asked(self) -> str:
        return self.name if self.use is Use.SUBSCRIBE else ""

    async def _send(self, packet: str) -> None:
        await self._client.send(text(packet))

    def _is_over(self) -> bool:
        return "<closed>" in self._packets

    async def _read(self) -> None:
        frame = await self._client.receive()
        if frame.opcode is Opcode.CLOSE:
            self._take("<closed>")
        elif frame.opcode is Opcode.TEXT:
            await self._take_pinged(bytes(frame.data).decode())

    async def _take_pinged(self, packet: str) -> None:
        if packet == "2":
            await self._send("3")
        else:
            self._take(packet)

    def _take(self, packet: str) -> None:
        self._packets.append(packet)
        if packet.startswith("42"):
            name, *arguments = json.loads(packet[2:])
            if name == self.name:
                self._take_payload(str(arguments[0]))
            elif name in ("wsgw:expired", "wsgw:unsubscribed"):
                self.told.append(str(arguments[0]["error"]["code"]))

    async def _answer(self, *begins: str) -> str:
        """The next packet that begins so."""
        seen = 0
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                for packet in self._packets[seen:]:
                    seen += 1
                    if packet.startswith(begins):
                        self._packets.remove(packet)
                        return packet
                await self._read()

    async def _emit(self, name: str, argument: str) -> str:
        self._id += 1
        await self._send(f"42{self._id}{json.dumps([name, argument])}")
        packet = await self._answer(f"43{self._id}[")
        answer: Any = json.loads(packet[packet.index("[") :])[0]
        return str(answer["error"]["code"]) if isinstance(answer, dict) and "error" in answer else OK


class PollingVisit(SocketVisit):
    """The same by polling."""

    async def _open(self) -> None:
        self._packets = []
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", trust_env=False, verify=False, timeout=60
        )
        self._url = f"{POLLING}&channels={self._asked}"
        self._poll: asyncio.Task[httpx.Response] | None = None
        answer = await self._http.get(self._url)
        self._url += f"&sid={answer.headers['x-wsgw-sid']}"

    async def leave(self) -> None:
        if self._poll is not None:
            self._poll.cancel()
            await asyncio.gather(self._poll, return_exceptions=True)
        await self._http.aclose()

    async def end(self) -> str:
        told = await super().end()
        answer = await self._http.get(self._url)  # who asks once more is told why, too
        self.told.append(f"{answer.status_code} {answer.json()['message']}")
        return told

    async def _send(self, packet: str) -> None:
        answer = await self._http.post(self._url, content=packet.encode())
        assert answer.text == "ok", answer.text

    def _is_over(self) -> bool:
        return "1" in self._packets

    async def _read(self) -> None:
        if self._poll is None:  # a second one would end the session: it stays where a test's patience ends
            self._poll = asyncio.get_running_loop().create_task(self._http.get(self._url))
        answer = await asyncio.shield(self._poll)
        self._poll = None
        for packet in answer.text.split("\x1e"):
            await self._take_pinged(packet)


VISITS: dict[str, type[Visit]] = {
    "websocket": WebSocketVisit,
    "sse": StreamVisit,
    "post": PostVisit,
    "socketio": SocketVisit,
    "polling": PollingVisit,
}

assert set(_OF_CODE.values()) <= {kind.name for kind in KINDS}
