"""Who a client is that comes by a real proxy: by the headers or the PROXY protocol, whatever it says itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
import yaml
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from helpers.authority import Authority
from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.proxied import Site, site
from helpers.proxies import KINDS, NAME, RealProxy, by_socket, configured, files, found, found_stream, replaced
from helpers.waiting import eventually

from .conftest import configuration

#: What a client says that wants to be another one.
FORGED = {
    "X-Forwarded-For": "192.0.2.1",
    "Forwarded": "for=192.0.2.2;host=www.example;proto=http",
    "X-Real-IP": "192.0.2.3",
    "X-Forwarded-Host": "www.example",
}
#: Clients' addresses, of which each is one's own.
ADDRESSES = (f"127.0.1.{number}" for number in itertools.count(1))
#: A proxy that says it by the newer header alone.
BY_FORWARDED = {
    "haproxy": {
        "  option forwardfor\n": "",
        "http-request del-header Forwarded": "http-request del-header X-Forwarded-For\n"
        '  http-request set-header Forwarded for=%[src];proto=https;host=\\"%[req.hdr(host)]\\"',
    },
    "nginx": {
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;": "proxy_set_header X-Forwarded-For '';",
        "Forwarded ''": """Forwarded 'for=$remote_addr;proto=$scheme;host="$http_host"'""",
    },
    "caddy": {
        "header_up -Forwarded": "header_up -X-Forwarded-For\n"
        '\t\theader_up Forwarded `for={http.request.remote.host};proto=https;host="{http.request.hostport}"`'
    },
}


async def known(site: Site, forged: dict[str, str]) -> None:
    """A client on each transport, which says so, is who it is to the gateway."""
    address = next(ADDRESSES)
    if forged:
        forged = forged | {"X-Forwarded-Proto": "http" if site.authority else "https"}
    context: Any = True if site.authority is None else site.context
    transport = httpx.AsyncHTTPTransport(local_address=address, verify=context)
    options: dict[str, Any] = {"local_addr": (address, 0), "additional_headers": forged}
    async with (
        site.websocket("/ws/IN", **options) as client,
        site.websocket("/socket.io/?EIO=4&transport=websocket&channels=IN", **options) as socketio,
        site.http(transport=transport, headers={"origin": site.origin, **forged}) as http,
        http.stream("GET", "/sse/IN") as stream,
    ):
        await socketio.recv()
        await socketio.send("40")
        await socketio.recv()
        assert stream.status_code == 200
        for name in ("websocket", "socketio", "sse"):
            line = f"{name} {address}: connected, receives IN"
            await eventually(lambda line=line: line in site.gateway.messages, line)  # type: ignore[misc]
    assert client.close_code == 1000


async def test_by_the_page(served: Site) -> None:
    await known(served, {})
    await known(served, FORGED)


async def test_by_forwarded(
    kind: str, gateways: dict[str, GatewayProcess], authority: Authority, tmp_path: Path
) -> None:
    text = replaced(configured(kind), BY_FORWARDED[kind])
    async with site(kind, tmp_path, [gateways[""]], authority, tls=True, text=text) as served:
        await known(served, FORGED)


async def test_by_a_unix_socket(kind: str, nats: NatsServer, authority: Authority, tmp_path: Path) -> None:
    with TemporaryDirectory() as short:  # a socket's path has a hundred bytes
        path = Path(short) / "wsgw.sock"
        said = yaml.safe_load(by_socket("wsgw.yml", files()["wsgw.yml"], path))
        listen = ["127.0.0.1:0", said["listen"]]  # GatewayProcess waits for a port
        gateway = GatewayProcess(tmp_path, configuration(nats, listen=listen, trusted_proxies=said["trusted_proxies"]))
        proxy = RealProxy(kind, tmp_path, by_socket(KINDS[kind].file, configured(kind), path), [], authority)
        try:
            served = Site(kind, proxy, gateway, authority, "")
            await served.serves()
            await known(served, {})
            await known(served, FORGED)
        finally:
            proxy.kill()
            gateway.kill()


async def test_whoever_is_not_trusted_is_not_believed(served: Site) -> None:
    """Past the proxy, from an address that is none."""
    address = next(ADDRESSES)
    transport = httpx.AsyncHTTPTransport(local_address=address)
    async with (
        httpx.AsyncClient(transport=transport, headers=FORGED) as http,
        http.stream("GET", f"{served.gateway.url}/sse/IN", headers={"host": NAME}) as stream,
    ):
        assert stream.status_code == 200
        line = f"sse {address}: connected, receives IN"
        await eventually(lambda: line in served.gateway.messages, line)


def _lasting(folder: Path, nats: NatsServer, **more: Any) -> Iterator[GatewayProcess]:
    made = GatewayProcess(folder, configuration(nats, **more))
    yield made
    made.kill()
    assert "Traceback" not in made.output, made.output[-5000:]


@pytest.fixture(scope="module")
def secure(
    nats: NatsServer, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """A gateway that has TLS itself."""
    certificate, key = authority.issue("gateway", NAME)
    tls = {"certificate_file": str(certificate), "key_file": str(key)}
    yield from _lasting(tmp_path_factory.mktemp("gateway"), nats, tls=tls)


@pytest.fixture(scope="module")
def limited(nats: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One that has two connections for each address."""
    yield from _lasting(tmp_path_factory.mktemp("gateway"), nats, limits={"address": {"connections": 2}})


@pytest.mark.parametrize(
    ("kind", "file", "version"), [("haproxy", "tcp.cfg", 2), ("haproxy", "tcp.cfg", 1), ("nginx", "stream.conf", 1)]
)
async def test_by_the_proxy_protocol(
    kind: str, file: str, version: int, secure: GatewayProcess, authority: Authority, tmp_path: Path
) -> None:
    if kind == "nginx":
        found_stream()
    found(kind)
    text = files()[file]
    if kind == "haproxy" and version == 1:
        text = replaced(text, {"send-proxy-v2": "send-proxy"})
    async with site(kind, tmp_path, [secure], authority, tls=True, text=text) as served:
        await known(served, {})
        await known(served, FORGED | {"X-Forwarded-Host": f"{NAME}:1"})


async def test_a_limit_by_address_is_for_each(
    kind: str, limited: GatewayProcess, authority: Authority, tmp_path: Path
) -> None:
    async with site(kind, tmp_path, [limited], authority, tls=True) as served, AsyncExitStack() as stack:
        for address in (next(ADDRESSES), next(ADDRESSES)):
            for _ in range(2):
                await stack.enter_async_context(served.websocket("/ws/IN", local_addr=(address, 0)))
            for forged in ({}, FORGED):
                with pytest.raises(InvalidStatus) as refused:
                    await served.websocket("/ws/IN", local_addr=(address, 0), additional_headers=forged)
                assert refused.value.response.status_code == 429


async def told(client: ClientConnection) -> int | None:
    """The code that it is closed with when it has nothing to say."""
    try:
        await client.send("x")
        await client.recv()
    except ConnectionClosed:
        pass
    return client.close_code


@pytest.mark.parametrize("tls", [True, False])
async def test_nginx_that_rewrites_host(
    gateways: dict[str, GatewayProcess], authority: Authority, tmp_path: Path, tls: bool
) -> None:
    """The plain ``proxy_pass``: pages of the site are known by X-Forwarded-Host, with its scheme."""
    found("nginx")
    text = replaced(configured("nginx", tls=tls), {"proxy_set_header Host $http_host;": ""})
    async with site("nginx", tmp_path, [gateways[""]], authority, tls=tls, text=text) as served:
        async with served.http() as http:
            assert (await http.post("/publish/OUT", content=b"x")).status_code == 202
        other = "http" if tls else "https"
        for origin, code in {
            served.origin: 1000,
            served.origin.replace("https" if tls else "http", other): 4503,
            served.origin.replace(NAME, "www.example"): 4503,
            "http://127.0.0.1": 4503,
        }.items():
            async with served.websocket("/ws/OUT", origin=origin) as client:
                if code == 1000:
                    await client.send("x")
                else:
                    assert await told(client) == code, origin
            assert client.close_code == code


async def test_nginx_that_says_nothing(
    gateways: dict[str, GatewayProcess], authority: Authority, tmp_path: Path
) -> None:
    """Without the headers nobody can know: refused, with what to do in the log."""
    found("nginx")
    said = [line for line in configured("nginx").splitlines() if "Host" in line or "X-Forwarded" in line]
    text = replaced(configured("nginx", tls=False), dict.fromkeys(said, ""))
    async with site("nginx", tmp_path, [gateways[""]], authority, text=text) as served:
        async with served.websocket("/ws/OUT") as client:
            assert await told(client) == 4503
        assert client.close_reason == f"origin {served.origin} is not in 'origins'"
        assert f"refused: {client.close_reason}: " in served.gateway.output
