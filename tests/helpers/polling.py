"""A Socket.IO client by polling, as far as a test needs one that polls when it is told to."""

from __future__ import annotations

import httpx

from helpers.gateway import GatewayProcess


async def open_polling(http: httpx.AsyncClient, gateway: GatewayProcess, channels: str) -> str:
    """The URL of a new session that has said CONNECT: GET it to poll, POST to it to send."""
    url = f"{gateway.url}/socket.io/?EIO=4&transport=polling&channels={channels}"
    opening = await http.get(url)
    assert opening.is_success, opening.text
    url += "&sid=" + opening.headers["x-wsgw-sid"]
    assert (await http.post(url, content=b"40")).text == "ok"
    return url
