"""Who is at the other end, by sockets as they are."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import cast

import pytest

from helpers.waiting import DEADLINE_SECONDS
from wsgw.transports.peer import peer_of


async def peer_by(
    listener: socket.socket, address: tuple[str, int] | str, family: socket.AddressFamily
) -> tuple[str, int] | None:
    """Of a client of ``family`` that connects to ``address``."""
    came: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()

    class Coming(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            came.set_result(cast("asyncio.Transport", transport))  # uvloop's is no instance of it

    loop = asyncio.get_running_loop()
    make = loop.create_unix_server if family is socket.AF_UNIX else loop.create_server
    server = await make(Coming, sock=listener)
    with socket.socket(family) as client:
        client.connect(address)
        async with asyncio.timeout(DEADLINE_SECONDS):
            transport = await came
        found = peer_of(transport)
        transport.abort()
    server.close()
    return found


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["ipv4", "ipv6"]
)
async def test_a_listener_of_both(family: socket.AddressFamily, host: str) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("there is no IPv6 on this machine")
    listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    found = await peer_by(listener, (host, listener.getsockname()[1]), family)
    assert found is not None
    assert found[0] == host


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    assert await peer_by(listener, path, socket.AF_UNIX) is None
