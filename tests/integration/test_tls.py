"""TLS for clients: every surface, what a handshake may cost, and certificates that change under load."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import ssl
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from helpers import node
from helpers.certificates import Pair, blind
from helpers.gateway import GatewayProcess, StartGateway
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import DEADLINE_SECONDS, eventually

CHANNELS: list[dict[str, Any]] = [
    {"name": "IN", "direction": "inbound", "outbox": {"messages": 100_000, "bytes": "64 MiB"}},
    {"name": "OUT", "direction": "outbound"},
    {"name": "BOTH", "direction": "both"},
]
SCRIPT = """
const { io } = require("socket.io-client");
(async () => {
  for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
    const options = {transports, rejectUnauthorized: false, reconnection: false};
    const socket = io("https://localhost:" + process.argv[2], options);
    socket.on("connect_error", (error) => { console.log("refused", error.message); process.exit(1); });
    await new Promise((done) => socket.on("connect", done));
    const got = new Promise((done) => socket.on("BOTH", done));
    const acked = await socket.emitWithAck("BOTH", "by " + transports);
    console.log(acked, await got);
    socket.disconnect();
  }
})();
"""


class Site:
    """A gateway with TLS, and who asks it."""

    def __init__(self, gateway: GatewayProcess, pair: Pair) -> None:
        self.gateway = gateway
        self.pair = pair
        self.url = f"https://127.0.0.1:{gateway.port}"

    def websocket(self, channel: str, context: ssl.SSLContext | None = None) -> connect:
        url = f"wss://127.0.0.1:{self.gateway.port}/ws/{channel}"
        return connect(url, ssl=self.pair.trusted() if context is None else context, proxy=None, max_size=None)

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(verify=self.pair.trusted(), base_url=self.url, trust_env=False, timeout=30)

    async def ready(self) -> None:
        async with self.http() as http:

            async def is_ready() -> bool:
                return (await http.get("/readyz")).status_code == 200

            await eventually(is_ready, "ready")  # type: ignore[arg-type]  # mypy finds no T for it

    async def metric(self, name: str) -> float:
        async with httpx.AsyncClient(verify=blind(), trust_env=False) as http:
            text = (await http.get(f"{self.url}/metrics")).text
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (.*)$", text, re.MULTILINE))

    async def serial(self) -> int:
        """Of the certificate that a new connection gets."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port, ssl=blind())
        found = x509.load_der_x509_certificate(writer.get_extra_info("ssl_object").getpeercert(True))
        writer.transport.abort()
        return found.serial_number

    async def shows(self, serial: int) -> None:
        async def is_shown() -> bool:
            return await self.serial() == serial

        await eventually(is_shown, "the new certificate")  # type: ignore[arg-type]


@pytest.fixture
async def site(start_gateway: StartGateway, nats_server: NatsServer, tmp_path: Path) -> Site:
    pair = Pair(tmp_path)
    made = Site(start_gateway(nats_server.url, CHANNELS, tls=pair.settings), pair)
    await made.ready()
    return made


@pytest.fixture
async def hasty(start_gateway: StartGateway, nats_server: NatsServer, tmp_path: Path) -> Site:
    """One that waits for a handshake, with the head in it, for three seconds, and for another request half of that."""
    pair = Pair(tmp_path)
    limits = {"head_timeout": "3s", "idle_timeout": "1.5s"}
    made = Site(start_gateway(nats_server.url, CHANNELS, tls=pair.settings, limits=limits), pair)
    await made.ready()
    return made


async def test_every_surface(site: Site, nats_server: NatsServer, tmp_path: Path) -> None:
    assert f"listening on 127.0.0.1:{site.gateway.port} by TLS" in site.gateway.messages
    assert any(re.match(r"TLS: localhost, 127.0.0.1, valid until 20", line) for line in site.gateway.messages)
    ends = x509.load_pem_x509_certificate(site.pair.certificate.read_bytes()).not_valid_after_utc.timestamp()
    assert await site.metric("wsgw_certificate_expires_timestamp_seconds") == ends
    await site.gateway.printed("tls.certificate_file: the certificate expires in 23 hours, on 20")
    peer = await Peer.connect(nats_server.url)
    got = await peer.listen("OUT")
    large = "x" * 900_000
    async with site.http() as http, site.websocket("BOTH") as client, http.stream("GET", "/sse/IN") as stream:
        for payload in ("a", large):
            await client.send(payload)
            assert await client.recv() == payload
            assert (await http.post("/publish/OUT", content=payload)).status_code == 202
        await eventually(lambda: got == [b"a", large.encode()], "published")
        answers = await asyncio.gather(*(http.post("/publish/OUT", content=b"%d" % i) for i in range(50)))
        assert {answer.status_code for answer in answers} == {202}
        await peer.publish("IN", large)
        read = ""
        async for part in stream.aiter_text():
            read += part
            if "data: " + large in read:
                break
        same = await http.get("/sse/NOPE", headers={"origin": site.url, "host": site.url[8:]})
        assert same.headers["access-control-allow-origin"] == site.url
    command = ("curl", "-sS", "--cacert", str(site.pair.certificate), "-d", "by curl", f"{site.url}/publish/OUT")
    curl = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert b'"accepted":true' in (await curl.communicate())[0]
    await peer.close()
    await site.gateway.stop()


async def test_pages_without_tls_are_others(site: Site) -> None:
    """``same`` is scheme, too: whoever is on the way can write a page of the same name and port without TLS."""
    async with site.http() as http:
        for own in (site.url, "https://localhost"):
            host = own.removeprefix("https://")
            other = own.replace("https", "http")
            for origin, status in ((own, 202), (other, 403)):
                answer = await http.post("/publish/OUT", content=b"x", headers={"host": host, "origin": origin})
                assert answer.status_code == status, (host, origin)
            assert answer.json()["error"]["message"] == f"origin {other} is not in 'origins', and {own} was asked"
    url = f"wss://127.0.0.1:{site.gateway.port}/ws/OUT"
    async with connect(
        url, ssl=site.pair.trusted(), proxy=None, origin=Origin(site.url.replace("https", "http"))
    ) as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()
    assert client.close_code == 4503


async def test_stock_socketio_clients(site: Site, tmp_path: Path) -> None:
    script = tmp_path / "tls.cjs"
    script.write_text(SCRIPT)
    printed = await node.run(script, str(site.gateway.port))
    assert printed.splitlines() == ["true by polling", "true by websocket", "true by polling,websocket"]


@pytest.mark.parametrize("body", [b"", b"x" * 100_000], ids=["", "with a body"])
async def test_plain_http_is_told(site: Site, body: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.port)
    writer.write(b"POST /publish/OUT HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    async with asyncio.timeout(DEADLINE_SECONDS):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"TLS is spoken here" in answer
    writer.close()


def old() -> ssl.SSLContext:
    context = blind()
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


async def test_older_than_1_2_is_refused(site: Site) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", site.gateway.port, ssl=old())
    context = blind()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with site.websocket("BOTH", context) as client:
        await client.send("x")
        assert await client.recv() == "x"


async def test_who_does_not_speak_it_is_counted_and_seldom_logged(site: Site) -> None:
    async def plain() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")  # and then the end, not a reset
        writer.close()

    async def too_old() -> None:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", site.gateway.port, ssl=old())

    async with asyncio.timeout(DEADLINE_SECONDS):
        for _ in range(20):
            await asyncio.gather(plain(), too_old())

    async def counted() -> bool:
        return await site.metric('wsgw_rejected_total{reason="bad_request"}') == 40

    await eventually(counted, "each of them counts")  # type: ignore[arg-type]
    said = [line for line in site.gateway.messages if re.search("what came is no TLS|a TLS handshake: ", line)]
    assert len(said) == 1, "an example a minute"


#: A whole ClientHello takes some 500 bytes; these never come to its end.
SLOW = [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100)]


@pytest.mark.parametrize("begun", SLOW, ids=["nothing", "a byte", "a part"])
async def test_a_handshake_that_does_not_end_is_bounded_and_counts(hasty: Site, begun: bytes) -> None:
    before = await hasty.metric("wsgw_open_files")
    clients = [await asyncio.open_connection("127.0.0.1", hasty.gateway.port) for _ in range(50)]
    for _, writer in clients:
        writer.write(begun)
    assert await hasty.metric("wsgw_open_files") >= before + 50
    async with asyncio.timeout(DEADLINE_SECONDS):
        for reader, writer in clients:
            with suppress(ConnectionError):
                await reader.read()
            writer.close()
    assert await hasty.metric('wsgw_rejected_total{reason="request_timeout"}') == 50


async def test_handshake_and_head_have_one_time(hasty: Site) -> None:
    """Who shakes hands late has less left for its head: it ends before one that came later."""

    async def end(said: bytes = b"", **how: Any) -> None:
        reader, writer = await asyncio.open_connection(ssl=blind(), **how)
        writer.write(said)
        await reader.read()
        writer.close()

    here: dict[str, Any] = {"host": "127.0.0.1", "port": hasty.gateway.port}
    raw = socket.create_connection(("127.0.0.1", hasty.gateway.port))
    raw.setblocking(False)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await end(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", **here)  # half of its time, by that clock
        other = asyncio.create_task(end(**here))
        early = asyncio.create_task(end(sock=raw, server_hostname="localhost"))
        await asyncio.wait({early, other}, return_when=asyncio.FIRST_COMPLETED)
        assert early.done()
        assert not other.done()
        await asyncio.gather(early, other)


async def test_a_client_that_takes_nothing(site: Site, nats_server: NatsServer) -> None:
    """Its outbox fills, and publications are dropped: what waits below TLS has its bound."""
    peer = await Peer.connect(nats_server.url)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", site.gateway.port))
    async with connect(
        f"wss://127.0.0.1:{site.gateway.port}/ws/BOTH", sock=raw, ssl=blind(), proxy=None, max_queue=1
    ) as stalled:
        stalled.transport.pause_reading()
        before = site.gateway.resident_bytes()
        for _ in range(300):
            await peer.publish("BOTH", b"x" * 100_000)

        async def are_dropped() -> bool:
            return await site.metric("wsgw_dropped_messages_total") > 0

        await eventually(are_dropped, "publications are dropped")  # type: ignore[arg-type]
        assert await site.metric("wsgw_outbox_bytes") <= 8 * 1024 * 1024
        assert site.gateway.resident_bytes() - before < 60 * 1024 * 1024
        stalled.transport.abort()
    await peer.close()


async def receive_all(client: ClientConnection, got: list[str]) -> int | None:
    try:
        while True:
            got.append(str(await client.recv()))
    except ConnectionClosed as closed:
        return None if closed.rcvd is None else closed.rcvd.code


async def test_certificates_that_change_under_load(site: Site, nats_server: NatsServer) -> None:
    """Every connection goes on, and every message is accounted for; new ones get the new certificate."""
    peer = await Peer.connect(nats_server.url)
    published = await peer.listen("OUT")
    receiving = [await site.websocket("IN") for _ in range(20)]
    sending = await site.websocket("OUT")
    got: list[list[str]] = [[] for _ in receiving]
    tasks = [asyncio.create_task(receive_all(client, each)) for client, each in zip(receiving, got, strict=True)]
    sent = 0
    stop = asyncio.Event()

    async def load() -> None:
        nonlocal sent
        while not stop.is_set():
            await peer.publish("IN", *[str(sent + i) for i in range(20)])
            for i in range(20):
                await sending.send(str(sent + i))
            sent += 20
            await asyncio.sleep(0.005)

    loading = asyncio.create_task(load())
    for way in ("signal", "watch", "signal"):
        new = site.pair.make()
        if way == "signal":
            site.gateway.send(signal.SIGHUP)
        await site.shows(new)
        async with site.websocket("BOTH") as client:
            await client.send(way)
            assert await client.recv() == way
    stop.set()
    await loading
    wanted = [str(i) for i in range(sent)]
    await eventually(lambda: all(each == wanted for each in got), "everybody has all, once and in order")
    await eventually(lambda: [each.decode() for each in published] == wanted, "and NATS has what was sent")
    assert sent > 100
    site.gateway.send(signal.SIGTERM)
    assert await asyncio.gather(*tasks) == [1001] * 20, "the drain says good-bye within TLS"
    assert await site.gateway.ended(DEADLINE_SECONDS) == 0
    await sending.close()
    await peer.close()


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"other_key": True}, r"tls\.key_file: .*key\.pem: is not the key of the certificate"),
        ({"password": b"secret"}, r"tls\.key_file: .*key\.pem: is encrypted"),
        (None, r"tls\.certificate_file: .*certificate\.pem: has no certificate in PEM form"),
    ],
    ids=["another key", "encrypted", "nothing"],
)
async def test_a_bad_pair_changes_nothing(site: Site, broken: dict[str, Any] | None, reason: str) -> None:
    good = site.pair.serial
    if broken is None:
        site.pair.certificate.write_text("")
    else:
        site.pair.make(**broken)
    said = f"error: certificate not read again, the one before stays: {reason}"
    await eventually(lambda: re.search(said, site.gateway.output), "it is said")
    assert await site.serial() == good
    await site.shows(site.pair.make())
    assert "secret" not in site.gateway.output
    site.pair.make(days=-1)
    await eventually(lambda: "it has expired" in site.gateway.output, "that is said, too")
