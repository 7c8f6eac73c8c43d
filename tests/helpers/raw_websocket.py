"""A WebSocket client on a bare socket: it sends what it is told, well-formed or not, and reads only when asked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence

from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from helpers.reading import read


class RawWebSocket:
    """``connect`` it, then ``shake_hands``. ``response`` is the server's answer to the handshake."""

    def __init__(
        self,
        port: int,
        path: str = "/",
        receive_buffer_bytes: int | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
    ) -> None:
        self._port = port
        self._socket = socket.socket()
        if receive_buffer_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._protocol = ClientProtocol(
            parse_uri(f"ws://127.0.0.1:{port}{path}"), max_size=None, subprotocols=subprotocols
        )
        self._frames: list[Frame] = []
        self.response: Response | None = None
        self.ended = False
        self.received_bytes = 0  # the library is silent about what comes behind a close

    async def connect(self, behind: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Open the TCP connection and send the handshake's request, with other ``headers``, and ``behind`` with it."""
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, ("127.0.0.1", self._port))
        request = self._protocol.connect()
        for name, value in (headers or {}).items():
            request.headers.pop(name, None)
            request.headers[name] = value
        self._protocol.send_request(request)
        await self.send_bytes(b"".join(self._protocol.data_to_send()) + behind)

    async def shake_hands(self) -> Response:
        """The server's answer to the handshake."""
        while self.response is None:
            if self.ended:
                raise ConnectionError("the connection ended without an answer")
            await self._read()
        return self.response

    async def send_bytes(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def send(self, *frames: Frame) -> None:
        """Send frames, masked, in one piece."""
        await self.send_bytes(serialized(frames))

    async def receive(self) -> Frame:
        """The next frame; ConnectionError when the server ended the connection."""
        while not self._frames:
            if self.ended:
                raise ConnectionError("the connection has ended")
            await self._read()
        return self._frames.pop(0)

    async def receive_close(self) -> tuple[int, str]:
        """Code and reason of the server's close frame, which has to be next; pings are passed over."""
        frame = await self.receive()
        while frame.opcode is Opcode.PING:
            frame = await self.receive()
        assert frame.opcode is Opcode.CLOSE, frame
        close = Close.parse(bytes(frame.data))
        return close.code, close.reason

    async def end(self) -> None:
        """Returns when the server has ended the TCP connection; frames that come before are kept."""
        while not self.ended:
            await self._read()

    def end_stream(self) -> None:
        """Say that nothing more is sent; reading goes on."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    async def _read(self) -> None:
        data = await read(self._socket, 65536)
        self.received_bytes += len(data)
        if data:
            self._protocol.receive_data(data)
        else:
            self.ended = True
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._frames.append(event)
            else:
                assert isinstance(event, Response)
                self.response = event


def serialized(frames: Iterable[Frame]) -> bytes:
    """Client frames as bytes."""
    return b"".join(frame.serialize(mask=True) for frame in frames)


def text(data: str | bytes, fin: bool = True) -> Frame:
    return Frame(Opcode.TEXT, data.encode() if isinstance(data, str) else data, fin)


def binary(data: bytes, fin: bool = True) -> Frame:
    return Frame(Opcode.BINARY, data, fin)


def more(data: bytes, fin: bool = True) -> Frame:
    return Frame(Opcode.CONT, data, fin)


def ping(data: bytes = b"") -> Frame:
    return Frame(Opcode.PING, data)


def pong(data: bytes = b"") -> Frame:
    return Frame(Opcode.PONG, data)


def close(code: int | None = 1000, reason: str = "") -> Frame:
    return Frame(Opcode.CLOSE, b"" if code is None else Close(code, reason).serialize())
