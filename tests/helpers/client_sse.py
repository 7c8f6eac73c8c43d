"""Server-sent events, by the Python library ``httpx`` and a parser of our own."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from contextlib import suppress
from typing import Literal
from urllib.parse import quote

import httpx

from helpers.client import Refused
from helpers.event_stream import EventParser, SentEvent, payload_of
from helpers.gateway import GatewayProcess
from wsgw.channels.channel import RESERVED_PREFIX


class SseClient:
    """A stream for each channel, or one for all. Implements ``Client`` as far as that can be without sending."""

    upgraded = True

    def __init__(self, gateway: GatewayProcess) -> None:
        self.received: list[tuple[str, str | bytes]] = []
        self._http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", trust_env=False, timeout=None)
        self._readers: list[asyncio.Task[None]] = []

    @property
    def connected(self) -> bool:
        return not any(reader.done() for reader in self._readers)

    async def join(self, path: str, channel: str | None) -> None:
        """Open the stream of ``path``, which is that of ``channel`` or (None) of several; raises Refused."""
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers.append(asyncio.create_task(self._read(path, channel, opened)))
        await opened

    async def send(self, channel: str, payload: str | bytes) -> None:
        raise AssertionError("nothing is sent by server-sent events")

    async def confirm(self) -> list[str]:
        raise AssertionError("nothing is sent by server-sent events")

    async def request(self, channel: str, payload: str | bytes) -> str | bytes:
        raise AssertionError("nothing is asked by server-sent events")

    async def close(self) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        await self._http.aclose()

    async def vanish(self) -> None:
        await self.close()

    async def _read(self, path: str, channel: str | None, opened: asyncio.Future[None]) -> None:
        with suppress(httpx.TransportError):
            async with self._http.stream("GET", path) as answer:
                parser = EventParser()
                if answer.status_code != 200:
                    opened.set_exception(Refused(json.loads(await answer.aread())["error"]["code"]))
                    return
                async for data in answer.aiter_raw():
                    events = parser.feed(data)
                    if not opened.done() and parser.retry is not None:
                        if events and events[0].event == "wsgw:error":
                            opened.set_exception(Refused(json.loads(events[0].data)["error"]["code"]))
                            return
                        opened.set_result(None)
                    self.received += [
                        _received(event, channel) for event in events if not event.event.startswith(RESERVED_PREFIX)
                    ]


class SseTransport:
    """Implements ``Transport``. ``how`` says whether channels have a stream each, or ``several`` one."""

    acks = False
    upgrades = False

    def __init__(self, how: Literal["one", "several"]) -> None:
        self.name = f"sse-{how}"
        self._several = how == "several"
        self._clients: list[SseClient] = []

    async def open(
        self, gateway: GatewayProcess, *channels: str, everything: bool = False, alone: bool = False
    ) -> SseClient:
        client = SseClient(gateway)
        self._clients.append(client)
        if self._several:
            await client.join("/sse?" + "&".join(f"channel={quote(channel, safe='')}" for channel in channels), None)
        else:
            for channel in channels:
                await client.join(f"/sse/{quote(channel, safe='')}", channel)
        return client

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self._clients))


def _received(event: SentEvent, channel: str | None) -> tuple[str, str | bytes]:
    if channel is not None:
        payload = payload_of(event)
        if isinstance(payload, bytes) and b"\r" in payload:  # lines cannot tell it, so it may be text all the same
            with suppress(UnicodeDecodeError):
                payload = payload.decode()
        return channel, payload
    said = json.loads(event.data)
    return said["channel"], b64decode(said["base64"]) if "base64" in said else said["text"]
