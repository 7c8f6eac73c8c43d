"""A WebSocket client of a gateway process that does what no library does: see raw_websocket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from websockets.frames import Close, Opcode
from websockets.utils import apply_mask

from helpers.gateway import GatewayProcess
from helpers.raw_websocket import RawWebSocket

_MASK = bytes.fromhex("37fa213d")


class RawClient(RawWebSocket):
    """Open it with ``RawClient.open``."""

    @classmethod
    async def open(cls, gateway: GatewayProcess, path: str) -> RawClient:
        """After the opening handshake on ``path``."""
        client = cls(gateway.port, path)
        await client.connect()
        response = await client.shake_hands()
        assert response.status_code == 101, response
        return client

    async def say_connect(self) -> None:
        """Become a Socket.IO client: on return its CONNECT is accepted."""
        await self.send_bytes(frame(Opcode.TEXT, b"40"))
        for start in (b"0{", b"40{"):
            assert bytes((await self.receive()).data).startswith(start)

    async def send_parts(self, *parts: bytes) -> None:
        """Send bytes, each part by itself as far as the system lets it."""
        for part in parts:
            await self.send_bytes(part)
            await asyncio.sleep(0)

    async def closed(self) -> int:
        """The code the gateway closes with, whatever comes before it; 1006 when it just ends."""
        try:
            while (received := await self.receive()).opcode is not Opcode.CLOSE:
                pass
        except ConnectionError:
            return 1006
        return Close.parse(bytes(received.data)).code


#: A fixture that opens such clients, at a gateway and a path, and drops them in the end.
OpenRaw = Callable[[GatewayProcess, str], Awaitable[RawClient]]


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """A client's frame (RFC 6455 section 5.2), or with the wrong arguments something that is none."""
    length = len(data)
    head = bytes(((fin << 7) | (reserved << 4) | opcode,))
    if length < 126:
        head += bytes(((masked << 7) | length,))
    elif length < 65536:
        head += bytes(((masked << 7) | 126,)) + length.to_bytes(2, "big")
    else:
        head += bytes(((masked << 7) | 127,)) + length.to_bytes(8, "big")
    return head + _MASK + apply_mask(data, _MASK) if masked else head + data
