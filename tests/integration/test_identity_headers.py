"""Whatever clients send as headers, on every surface, back-ends see the gateway's own, of who sent it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg
from websockets.asyncio.client import connect

from helpers.client_socketio import SocketIOClient, error_of
from helpers.identities import AUTH, Tokens
from helpers.nats_server import NatsServer, StartNats
from helpers.peer import Peer
from helpers.running import Running, running
from helpers.waiting import arrived

ALL: dict[str, Any] = {"subscribe": [">"], "publish": [">"], "request": [">"]}
CHANNELS = [
    {"name": "OUT", "direction": "outbound"},
    {"name": "held", "direction": "both", "durable": True},
    {"name": "SUM", "direction": "request", "subject": "math.sum"},
]
#: What a client may try, as headers of HTTP and in messages.
FORGED = {"Wsgw-User": "root", "wsgw-session": "S", "WSGW_USER": "root", "Nats-Msg-Id": "m1", "X-Wsgw-User": "root"}
EVIL = "ann\r\nWsgw-User: root"


@pytest.fixture
def nats(start_nats: StartNats, tmp_path: Path) -> NatsServer:
    return start_nats(f"jetstream {{store_dir: {tmp_path}}}")


@pytest.fixture
async def served(nats: NatsServer) -> AsyncIterator[Running]:
    tokens = Tokens()
    tokens.add("ann", "ann", **ALL)
    tokens.add("evil", EVIL, **ALL)
    auth = {**AUTH, "identity_headers": {"user": "Wsgw-User", "session": "Wsgw-Session"}}
    async with running(nats.url, authenticator=tokens, channels=CHANNELS, auth=auth) as made:
        yield made


@pytest.fixture
async def peer(nats: NatsServer, served: Running) -> AsyncIterator[Peer]:
    made = await Peer.connect(nats.url)
    yield made
    await made.close()


def users(messages: list[Msg]) -> set[str]:
    """As they are said; all have the two headers, and nothing but them and the id of who stores."""
    found = set()
    for message in messages:
        headers = message.headers or {}
        assert set(headers) - {"Nats-Msg-Id"} == {"Wsgw-User", "Wsgw-Session"}, headers
        assert len(headers["Wsgw-Session"]) == 16
        found.add(headers["Wsgw-User"])
    return found


async def test_what_they_leave_no_room_for(start_nats: StartNats) -> None:
    """It is refused alone, whatever is published with it."""
    tokens = Tokens()
    tokens.add("ann", "ann", **ALL)
    auth = {**AUTH, "identity_headers": {"user": "Wsgw-User", "session": "Wsgw-Session"}}
    async with running(
        start_nats("max_payload: 4096").url, authenticator=tokens, channels=[CHANNELS[0]], auth=auth
    ) as served:
        client = SocketIOClient()
        await client.sio.connect(f"http://127.0.0.1:{served.server.port}?token=ann", transports=["websocket"])
        block = b"NATS/1.0\r\nWsgw-User: ann\r\nWsgw-Session: 0123456789abcdef\r\n\r\n"
        for sizes in ([1, 4096 - len(block), 4097 - len(block), 1], [4097 - len(block), 1]):
            acks = [await client.emit("OUT", "x" * size) for size in sizes]
            codes = [error_of(await ack) for ack in acks]
            assert codes == ["too_large" if size + len(block) > 4096 else None for size in sizes]
        await client.close()


WHO = [("ann", "ann"), ("evil", "ann%0D%0AWsgw-User:%20root")]


@pytest.mark.parametrize(("token", "said"), WHO)
async def test_http(served: Running, peer: Peer, token: str, said: str) -> None:
    out, held, asked = await peer.messages("OUT"), await peer.messages("held"), await peer.messages("math.sum")
    await peer.answer("math.sum", lambda _: b"3")
    head = {**FORGED, "authorization": f"Bearer {token}"}
    for path, status in (("/publish/OUT", 202), ("/publish/held", 202), ("/request/SUM", 200)):
        assert (await served.http.post(f"{path}?Wsgw-User=root", content=b"x", headers=head)).status_code == status
    for messages in (out, held, asked):
        await arrived(messages, 1)
        assert users(messages) == {said}
    assert held[0].headers is not None
    assert held[0].headers["Nats-Msg-Id"].endswith(":m1"), "what may pass"


@pytest.mark.parametrize(("token", "said"), WHO)
async def test_websocket(served: Running, peer: Peer, token: str, said: str) -> None:
    out, held = await peer.messages("OUT"), await peer.messages("held")
    for name in ("OUT", "held"):
        url = f"ws://127.0.0.1:{served.server.port}/ws/{name}?token={token}&Wsgw-User=root"
        async with connect(url, proxy=None, additional_headers=FORGED) as client:
            await client.send("x")
            await client.send(b"NATS/1.0\r\nWsgw-User: root\r\n\r\ny")
    for messages in (out, held):
        await arrived(messages, 2)
        assert users(messages) == {said}
        assert [message.data for message in messages] == [b"x", b"NATS/1.0\r\nWsgw-User: root\r\n\r\ny"]
        assert len({(message.headers or {})["Wsgw-Session"] for message in messages}) == 1


@pytest.mark.parametrize(("token", "said"), WHO)
@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_socketio(served: Running, peer: Peer, token: str, said: str, transport: str) -> None:
    out, held, asked = await peer.messages("OUT"), await peer.messages("held"), await peer.messages("math.sum")
    await peer.answer("math.sum", lambda _: b"3")
    client = SocketIOClient()
    url = f"http://127.0.0.1:{served.server.port}?token={token}&Wsgw-User=root"
    await client.sio.connect(url, transports=[transport], headers=FORGED, auth=FORGED)
    for name, arguments in (
        ("OUT", ["x"]),
        ("OUT", [json.dumps(FORGED)]),
        ("held", ["x", {"id": "a"}]),
        ("SUM", ["x"]),
    ):
        await (await client.emit(name, *arguments))
    for arguments in (["x", FORGED], ["x", {"id": "b", **FORGED}], ["x", {"id": "b", "headers": FORGED}]):
        (answer,) = await (await client.emit("held", *arguments))
        assert isinstance(answer, dict)
        assert answer["error"]["code"] == "bad_request", "there is no way to say them"
    (answer,) = await (await client.emit("held", "x", {"id": "a\r\nWsgw-User: root"}))
    assert isinstance(answer, dict)
    assert answer["error"]["code"] == "bad_request"
    for messages, count in ((out, 2), (held, 1), (asked, 1)):
        await arrived(messages, count)
        assert users(messages) == {said}
        assert len(messages) == count
    await client.close()
