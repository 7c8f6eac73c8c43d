"""Whose word the installed gateway takes on who a client is: on plain connections, by TLS and on a unix socket."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path
from typing import Any

import httpx
import pytest

from helpers.certificates import Pair, blind
from helpers.gateway import GatewayProcess, StartGateway
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.proxyheader import version_1, version_2
from helpers.waiting import eventually

CHANNELS = [{"name": "IN", "direction": "inbound"}]
STREAM = b"GET /sse/IN HTTP/1.1\r\nHost: x\r\n%b\r\n"
PLAIN, SAYING = STREAM % b"", STREAM % b"X-Forwarded-For: 8.8.8.8\r\n"


async def came(gateway: GatewayProcess, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Where a stream that was asked for comes from, as the log has it."""
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    before = len(ends(gateway))
    writer.close()
    await eventually(lambda: len(ends(gateway)) > before, "the log has its end")
    return ends(gateway)[-1].split(": ")[0]


def ends(gateway: GatewayProcess) -> list[str]:
    return [line for line in gateway.messages if line.startswith("sse") and ": closed with" in line]


@pytest.mark.parametrize("trusted", [None, [], ["10.0.0.0/8"]])
async def test_nobody_is_believed_unless_told(
    start_gateway: StartGateway, nats_server: NatsServer, trusted: list[str] | None
) -> None:
    """Not even who is on this machine, whom uvicorn believes by default."""
    values: dict[str, Any] = {} if trusted is None else {"trusted_proxies": trusted}
    gateway = start_gateway(nats_server.url, CHANNELS, **values)
    await gateway.ready()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(SAYING)
    assert await came(gateway, reader, writer) == "sse 127.0.0.1"
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(version_1("8.8.8.8", 1) + PLAIN)
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_who_is_listed_is(start_gateway: StartGateway, nats_server: NatsServer, tmp_path: Path) -> None:
    path = str(tmp_path / "w.sock")
    listen = ["127.0.0.1:0", f"unix:{path}"]
    gateway = start_gateway(nats_server.url, CHANNELS, listen=listen, trusted_proxies=["127.0.0.1", "unix"])
    await gateway.ready()
    for sent in (SAYING, version_1("8.8.8.8", 1) + PLAIN, version_2("8.8.8.8", 1) + PLAIN):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(sent)
        assert await came(gateway, reader, writer) == "sse 8.8.8.8"
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(sent)
        assert await came(gateway, reader, writer) == "sse 8.8.8.8"
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(PLAIN)
    assert await came(gateway, reader, writer) == "sse"


async def test_who_resets_each_connection_gets_round_no_limit(
    start_gateway: StartGateway, nats_server: NatsServer, peer: Peer
) -> None:
    """By the time that the gateway takes the connection nobody can say any more whose it was."""
    published = await peer.listen("OUT")
    limits = {"address": {"messages_per_second": 0.01}, "burst": "500s"}
    outbound = [{"name": "OUT", "direction": "outbound"}]
    gateway = start_gateway(nats_server.url, outbound, trusted_proxies=[], limits=limits)
    await gateway.ready()
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", gateway.port)) as client:
            client.sendall(b"POST /publish/OUT HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await gateway.post("/publish/OUT", b"last")
    await peer.fence()
    assert len(published) <= 5


@pytest.mark.parametrize("apart", [True, False])
async def test_a_proxy_header_in_front_of_tls(
    start_gateway: StartGateway, nats_server: NatsServer, tmp_path: Path, apart: bool
) -> None:
    pair = Pair(tmp_path)
    listen = ["127.0.0.1:0", f"unix:{tmp_path / 'w.sock'}"]
    gateway = start_gateway(nats_server.url, CHANNELS, listen=listen, tls=pair.settings, trusted_proxies=["127.0.0.1"])
    transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "w.sock"))  # without TLS
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:

        async def is_ready() -> bool:
            return (await http.get("/readyz")).status_code == 200

        await eventually(is_ready, "ready")  # type: ignore[arg-type]  # mypy finds no T for it
    for header in (version_1("8.8.8.8", 1), version_2("8.8.8.8", 1)):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(header)
        if apart:
            await writer.drain()
            await asyncio.sleep(0.01)
        await writer.start_tls(blind(), server_hostname="localhost")
        writer.write(SAYING.replace(b"8.8.8.8", b"9.9.9.9"))
        assert await came(gateway, reader, writer) == "sse 8.8.8.8"
