"""A listener for operators: what moves there, who may ask, and that it answers when clients' side is full or ends."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from helpers.gateway import GatewayProcess, StartGateway
from helpers.nats_server import NatsServer
from helpers.program import BIN
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw import __version__

CHANNELS: list[dict[str, Any]] = [{"name": "IN", "direction": "inbound"}]


def port_of(gateway: GatewayProcess) -> int:
    found = re.search(r"admin: listening on 127\.0\.0\.1:(\d+)", gateway.output)
    assert found is not None
    return int(found[1])


@pytest.fixture
async def gateway(start_gateway: StartGateway, nats_server: NatsServer) -> GatewayProcess:
    made = start_gateway(nats_server.url, CHANNELS, admin={"listen": "127.0.0.1:0"}, drain_delay="1s")
    await made.ready()
    return made


async def test_what_is_where(gateway: GatewayProcess) -> None:
    admin = f"http://127.0.0.1:{port_of(gateway)}"
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{gateway.url}/healthz")).json() == {"status": "ok"}
        assert (await http.get(f"{gateway.url}/readyz")).json() == {"ready": True}
        assert (await http.get(f"{gateway.url}/metrics")).status_code == 404
        assert (await http.get(f"{admin}/healthz")).json().keys() == {"status", "version"}
        assert (await http.get(f"{admin}/readyz")).json() == {
            "ready": True,
            "nats": "connected",
            "bridges": {},
            "draining": False,
        }
        assert "wsgw_nats_connected 1.0" in (await http.get(f"{admin}/metrics")).text
        for path in ("/sse/IN", "/ws/IN", "/socket.io/?EIO=4&transport=polling", "/"):
            assert (await http.get(admin + path)).status_code == 404
        assert (await http.post(f"{admin}/publish/IN")).status_code == 404
        upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        asked = await http.get(f"{admin}/ws/IN", headers={**upgrade, "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA=="})
        assert asked.status_code == 404


#: Where something of operators is, or may be with other servers and tools; and what some take for these.
SOUGHT = (
    *(
        "/metrics",
        "/metrics/",
        "//metrics",
        "/./metrics",
        "/x/../metrics",
        "/METRICS",
        "/%6detrics",
        "/metrics%00",
        "/metrics;a",
    ),
    *(
        "/metrics?format=json",
        "http://127.0.0.1/metrics",
        "/rt/metrics",
        "/admin",
        "/admin/metrics",
        "/-/metrics",
        "/debug",
    ),
    *(
        "/readyz",
        "/readyz/",
        "/readyz?verbose",
        "//readyz",
        "/readyz/nats",
        "/healthz",
        "/healthz?verbose",
        "/livez",
        "/status",
    ),
    *(
        "/docs",
        "/redoc",
        "/openapi.json",
        "/docs/oauth2-redirect",
        "/varz",
        "/connz",
        "/console",
        "/",
        "/index.html",
        "*",
    ),
    *("/sse/metrics", "/ws/metrics", "/.env", "/wsgw.yml", "/publish/../metrics", "/socket.io/../metrics"),
)
#: What is for operators only.
TOLD = ("wsgw_", "IN", "bridges", "draining", "connected", "version", "python", __version__)


async def test_nothing_of_operators_is_for_clients(gateway: GatewayProcess) -> None:
    """By no path, method or header."""
    for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE", "PUT"):
        for path in SOUGHT:
            for line in ("", "X-Original-URL: /metrics\r\nX-Rewrite-URL: /metrics\r\nX-Forwarded-Prefix: /\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                host = f"Host: 127.0.0.1:{port_of(gateway) if line else gateway.port}\r\n"
                writer.write(f"{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{line}\r\n".encode())
                head, _, body = (await asyncio.wait_for(reader.read(), DEADLINE_SECONDS)).partition(b"\r\n\r\n")
                writer.close()
                found = head.decode() + body.decode().replace(path, "")
                assert not [each for each in TOLD if each in found], (method, path, found)
                assert "server:" not in found.lower(), found
                if b"200" in head[:15]:
                    assert body in (b'{"status":"ok"}', b'{"ready":true}', b""), (method, path, found)


async def test_no_page_and_no_name_of_others(gateway: GatewayProcess) -> None:
    admin = f"http://127.0.0.1:{port_of(gateway)}"
    async with httpx.AsyncClient(trust_env=False) as http:
        for path in ("/readyz", "/metrics"):
            for headers in ({"host": "evil.example"}, {"origin": admin}, {"origin": "http://evil.example"}):
                refused = await http.get(admin + path, headers=headers)
                assert refused.status_code == 403
                assert not [name for name in refused.headers if name.startswith("access-control")]
            assert (await http.options(admin + path)).status_code == 405
        assert (await http.get(f"{admin}/metrics", headers={"host": "localhost:1"})).status_code == 200
        assert (await http.get(f"{admin}/healthz", headers={"host": "evil.example"})).status_code == 200


class FewFiles(GatewayProcess):
    """May have 200 files open."""

    def _command(self) -> tuple[str, *tuple[str | Path, ...]]:
        shell = ("-c", 'ulimit -n 200 && exec "$0" "$@"', BIN / "wsgw")
        return "/bin/sh", *shell, *super()._command()[1:]


async def test_when_clients_take_all_they_can(nats_server: NatsServer, tmp_path: Path) -> None:
    configuration = {"nats": {"servers": [nats_server.url]}, "channels": CHANNELS, "admin": {"listen": "127.0.0.1:0"}}
    gateway = FewFiles(tmp_path, configuration)
    clients: list[asyncio.StreamWriter] = []
    operators: list[asyncio.StreamWriter] = []
    try:
        await gateway.ready()
        clients += await ask_nothing(gateway.port, 300)
        operators += await ask_nothing(port_of(gateway), 30)
        admin = f"http://127.0.0.1:{port_of(gateway)}"
        async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_SECONDS) as http:
            for _ in range(10):
                answer = await http.get(f"{admin}/metrics", headers={"connection": "close"})
                assert answer.status_code == 200
                assert (await http.get(f"{admin}/readyz")).status_code == 200
            assert 'wsgw_rejected_total{reason="no_files"}' in answer.text, "clients have taken all"
    finally:
        for writer in clients + operators:
            writer.transport.abort()
        gateway.kill()


IDLE = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("asked", [IDLE, 2 * IDLE, 40 * IDLE])
async def test_who_asked_and_stays_keeps_nobody_out(gateway: GatewayProcess, asked: bytes) -> None:
    """Idle, with a request that is not read any more, with answers that are not taken."""
    loop, staying = asyncio.get_running_loop(), list[socket.socket]()
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_SECONDS) as http, asyncio.timeout(60):
            for _ in range(12):
                client = socket.socket()
                staying.append(client)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                client.setblocking(False)
                await loop.sock_connect(client, ("127.0.0.1", port_of(gateway)))
                await loop.sock_sendall(client, asked)
                assert await loop.sock_recv(client, 9) == b"HTTP/1.1 "
                answer = await http.get(f"http://127.0.0.1:{port_of(gateway)}/metrics", headers={"connection": "close"})
                assert answer.status_code == 200
    finally:
        for client in staying:
            client.close()


async def test_who_asks_without_a_pause_keeps_nobody_out(gateway: GatewayProcess) -> None:
    async def greedy() -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port_of(gateway))
                try:
                    while True:
                        writer.write(IDLE)
                        head = await reader.readuntil(b"\r\n\r\n")
                        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
                finally:
                    writer.transport.abort()

    tasks = [asyncio.create_task(greedy()) for _ in range(12)]
    answered = asked = 0
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_SECONDS) as http:
        while answered < 10 and asked < 100:  # one may be dropped where this process is slow to ask
            asked += 1
            with suppress(httpx.TransportError):
                url = f"http://127.0.0.1:{port_of(gateway)}/metrics"
                answered += (await http.get(url, headers={"connection": "close"})).status_code == 200
            await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert answered == 10, f"of {asked}"


async def ask_nothing(port: int, count: int) -> list[asyncio.StreamWriter]:
    """Connections that are there, and silent."""
    return [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(count)]


async def test_in_a_stop(gateway: GatewayProcess) -> None:
    admin = f"http://127.0.0.1:{port_of(gateway)}"
    gateway.send(signal.SIGTERM)
    async with httpx.AsyncClient(trust_env=False) as http:
        await eventually(lambda: "not ready any more" in gateway.output, "it is announced")
        answer = await http.get(f"{admin}/readyz")
        assert (answer.status_code, answer.json()["draining"]) == (503, True)
        assert "wsgw_connections" in (await http.get(f"{admin}/metrics")).text
    assert await gateway.ended(DEADLINE_SECONDS) == 0
    assert "Traceback" not in gateway.output
