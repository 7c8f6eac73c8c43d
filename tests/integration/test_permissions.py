"""What NATS allows the gateway: users, permissions, tokens, several servers, TLS."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.client import Refused, Transport
from helpers.client_socketio import SocketIOTransport, error_of
from helpers.client_websocket import WebSocketTransport
from helpers.gateway import StartGateway
from helpers.nats_server import StartNats
from helpers.peer import Peer
from helpers.ports import free_port
from helpers.waiting import arrived, eventually

CHANNELS = [
    {"name": "IN", "direction": "inbound"},
    {"name": "closed", "direction": "inbound", "subject": "Closed.Subject"},
    {"name": "OUT", "direction": "outbound"},
    {"name": "NO", "direction": "outbound", "subject": "Denied.Out"},
    {"name": "ask", "direction": "request", "subject": "Denied.Ask", "timeout": "60s"},
    {"name": "chat.*", "direction": "both"},
    {"name": "vault.*", "direction": "inbound"},
]
NAME_AND_PASSWORD = {"user": "gateway", "password": "s3cret"}


def users(subscribe: str = "", publish: str = "") -> str:
    """A server's configuration: what the gateway's user may not subscribe to and publish to; ``peer`` may all."""
    permissions = f"permissions: {{subscribe: {{deny: [{subscribe}]}}, publish: {{deny: [{publish}]}}}}"
    return f"""authorization {{ users = [
        {{user: gateway, password: s3cret, {permissions}}}
        {{user: peer, password: peer}}
    ] }}"""


def as_peer(url: str) -> str:
    return url.replace("://", "://peer:peer@")


@pytest.mark.parametrize("from_the_start", [True, False])
async def test_a_refused_subscription_and_its_return(
    start_nats: StartNats, start_gateway: StartGateway, websocket: WebSocketTransport, from_the_start: bool
) -> None:
    nats = start_nats(users(subscribe="Closed.Subject" if from_the_start else ""))
    gateway = start_gateway(nats.url, CHANNELS, nats=NAME_AND_PASSWORD)
    if not from_the_start:
        await gateway.ready()
        nats.reload(users(subscribe="Closed.Subject"))
    await eventually(
        lambda: gateway.readiness()[1]["bridges"].get("closed", "").startswith("failed"), "a failed bridge"
    )
    status, answer = gateway.readiness()
    assert status == 503
    assert answer["nats"] == "connected"
    assert list(answer["bridges"]) == ["closed"]
    assert "Closed.Subject" in answer["bridges"]["closed"]
    lines = [line for line in gateway.output.splitlines() if "error: " in line]
    assert 1 <= len(lines) <= 2  # the server words a subscription that it took back in another way, not each retry
    assert all("subject Closed.Subject" in line for line in lines)

    peer = await Peer.connect(as_peer(nats.url))
    client = await websocket.open(gateway, "IN", "closed")
    await peer.publish("Closed.Subject", "refused")
    await peer.publish("IN", "the others go on")
    await arrived(client.received, 1)
    nats.reload(users())
    await gateway.ready()
    await peer.publish("Closed.Subject", "allowed")
    await arrived(client.received, 2)
    assert client.received == [("IN", "the others go on"), ("closed", "allowed")]
    await peer.close()


async def test_a_denied_publish(
    start_nats: StartNats, start_gateway: StartGateway, transport: Transport, websocket: WebSocketTransport
) -> None:
    nats = start_nats(users(publish="Denied.Out, chat.locked"))
    gateway = start_gateway(nats.url, CHANNELS, nats=NAME_AND_PASSWORD)
    await gateway.ready()
    peer = await Peer.connect(as_peer(nats.url))
    heard = await peer.listen("OUT")
    bystander = await websocket.open(gateway, "IN")
    client = await transport.open(gateway)
    for number in range(50):
        await client.send("OUT", str(number))
        await client.send("NO", "denied")
        await client.send("chat.locked", "denied")
    errors = await client.confirm()
    assert errors == ["forbidden"] * (100 if transport.acks else 2)
    await arrived(heard, 50)
    assert heard == [b"%d" % number for number in range(50)]
    assert await gateway.post("/publish/NO", b"denied") == (403, "forbidden")
    await peer.publish("IN", "still there")
    await arrived(bystander.received, 1)
    assert gateway.metric("wsgw_nats_reconnects_total") == 0
    assert gateway.metric("wsgw_publish_errors_total", channel="NO", reason="forbidden") >= 2
    await peer.close()


async def test_a_denied_request(
    start_nats: StartNats, start_gateway: StartGateway, socketio: SocketIOTransport
) -> None:
    """It is told at once, not after the channel's minute."""
    nats = start_nats(users(publish="Denied.Ask"))
    gateway = start_gateway(nats.url, CHANNELS, nats=NAME_AND_PASSWORD)
    await gateway.ready()
    client = await socketio.open(gateway)
    for refusal in await asyncio.gather(*(client.request("ask", "?") for _ in range(20)), return_exceptions=True):
        assert isinstance(refusal, Refused)
        assert refusal.code == "forbidden"
    assert await gateway.post("/request/ask", b"?") == (403, "forbidden")


async def test_a_refused_subject_of_a_pattern(
    start_nats: StartNats, start_gateway: StartGateway, transport: Transport
) -> None:
    nats = start_nats(users(subscribe="chat.secret"))
    gateway = start_gateway(nats.url, CHANNELS, nats=NAME_AND_PASSWORD)
    await gateway.ready()
    peer = await Peer.connect(as_peer(nats.url))
    stays = await transport.open(gateway, "chat.open")
    with pytest.raises(Refused) as refused:
        await transport.open(gateway, "chat.secret")
    assert refused.value.code == "forbidden"

    losing = await transport.open(gateway, "chat.later")
    nats.reload(users(subscribe="chat.secret, chat.later"))
    await eventually(lambda: not losing.connected, "NATS took chat.later back, so the client is closed")
    await peer.publish("chat.open", "still there")
    await arrived(stays.received, 1)
    assert stays.connected
    await gateway.ready()
    await peer.close()


async def test_a_refused_pattern(
    start_nats: StartNats, start_gateway: StartGateway, socketio: SocketIOTransport
) -> None:
    """The pattern's bridge is failed while somebody wants it; concrete subjects that are allowed go on."""
    nats = start_nats(users(subscribe="vault.*, chat.secret"))
    gateway = start_gateway(nats.url, CHANNELS, nats=NAME_AND_PASSWORD)
    await gateway.ready()
    client = await socketio.open(gateway, "IN")
    ack = await client.emit("wsgw:subscribe", "chat.secret")
    assert error_of(await ack) == "forbidden"
    ack = await client.emit("wsgw:subscribe", "chat.open")
    assert error_of(await ack) is None
    every = await socketio.open(gateway, "IN", "vault.*")
    await eventually(lambda: "vault.*" in gateway.readiness()[1]["bridges"], "a failed bridge")
    peer = await Peer.connect(as_peer(nats.url))
    await peer.publish("chat.open", "open")
    await arrived(client.received, 1)
    nats.reload(users())
    await gateway.ready()
    await peer.publish("vault.1", "open")
    await arrived(every.received, 1)
    assert every.received == [("vault.*", "open")]
    await peer.close()


@pytest.mark.parametrize(
    ("authorization", "settings", "environment", "userinfo"),
    [
        ("user: u, password: p4ss", {"user": "u", "password": "p4ss"}, {}, ""),
        ("user: u, password: p4ss", {}, {"NATS_USER": "u", "NATS_PASS": "p4ss"}, ""),
        ("user: u, password: p4ss", {}, {}, "u:p4ss@"),
        ("user: u, password: p4ss", {"user": "x", "password": "y"}, {}, "u:p4ss@"),
        ("token: p4ss", {"token": "p4ss"}, {}, ""),
        ("token: p4ss", {}, {"NATS_TOKEN": "p4ss"}, ""),
        ("token: p4ss", {}, {}, "p4ss@"),
    ],
)
async def test_credentials(
    start_nats: StartNats,
    start_gateway: StartGateway,
    authorization: str,
    settings: dict[str, str],
    environment: dict[str, str],
    userinfo: str,
) -> None:
    nats = start_nats(f"authorization {{ {authorization} }}")
    url = nats.url.replace("://", f"://{userinfo}")
    gateway = start_gateway(url, CHANNELS, nats=settings, environment=environment, arguments=("-d",))
    await gateway.ready()
    assert "p4ss" not in gateway.output


async def test_wrong_credentials(start_nats: StartNats, start_gateway: StartGateway) -> None:
    nats = start_nats("authorization { user: u, password: right }")
    gateway = start_gateway(nats.url, CHANNELS, nats={"user": "u", "password": "wr0ng"})
    await gateway.printed("waiting for NATS")
    assert "uthorization" in gateway.output
    assert "wr0ng" not in gateway.output
    assert gateway.readiness()[0] == 503


async def test_several_servers(
    start_nats: StartNats, start_gateway: StartGateway, websocket: WebSocketTransport
) -> None:
    first, second = start_nats(), start_nats()
    gateway = start_gateway([f"nats://127.0.0.1:{free_port()}", first.url, second.url], CHANNELS)
    await gateway.ready()
    client = await websocket.open(gateway, "IN")
    for server in (first, second):
        await gateway.printed(f"Connected to {server.url}")
        await gateway.ready()
        peer = await Peer.connect(server.url)
        await peer.publish("IN", server.url)
        await eventually(lambda server=server: ("IN", server.url) in client.received, "the message")  # type: ignore[misc]
        await peer.close()
        server.stop()
    assert client.connected


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-made certificate for 127.0.0.1, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl on this machine to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=nats -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


async def test_tls(
    start_nats: StartNats,
    start_gateway: StartGateway,
    certificate: tuple[Path, Path],
    websocket: WebSocketTransport,
) -> None:
    nats = start_nats(f'tls {{ cert_file: "{certificate[0]}", key_file: "{certificate[1]}" }}')
    url = nats.url.replace("nats://", "tls://")
    doubting = start_gateway(url, CHANNELS)
    await doubting.printed("waiting for NATS")
    assert "certificate" in doubting.output.lower()

    gateway = start_gateway(url, CHANNELS, environment={"SSL_CERT_FILE": str(certificate[0])})
    await gateway.ready()
    client = await websocket.open(gateway, "chat.tls")
    await client.send("chat.tls", "there and back")
    await arrived(client.received, 1)
    assert doubting.readiness()[0] == 503


async def test_tls_wanted_of_a_server_without_it(start_nats: StartNats, start_gateway: StartGateway) -> None:
    """Credentials must not go over the wire in the clear because somebody in between hides TLS."""
    nats = start_nats()
    gateway = start_gateway(nats.url.replace("nats://", "tls://"), CHANNELS)
    await gateway.printed("waiting for NATS")
    assert "TLS" in gateway.output
    assert gateway.readiness()[0] == 503
