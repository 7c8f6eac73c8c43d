"""Two tenants over every transport, on channels whose subjects their tokens fill; and what tokens must not do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from helpers.client_socketio import SocketIOClient, error_of
from helpers.event_stream import SentEvent
from helpers.identities import Tokens
from helpers.interest import interest
from helpers.nats_server import NatsServer, StartNats
from helpers.peer import Peer
from helpers.running import Running, running
from helpers.someone import KINDS, Someone
from helpers.tenants import CHANNELS, DURABLE, TOKENS
from helpers.waiting import DEADLINE_SECONDS, arrived, eventually

ALL: dict[str, Any] = {"subscribe": [">"], "publish": [">"], "request": [">"]}
#: What no claim may be that is to be a token of a subject.
EVIL: dict[str, object] = {
    "all": ">",
    "any": "*",
    "two": "acme.room",
    "empty": "",
    "blank": " ",
    "protocol": "x\r\nPUB t.acme.room.1 3\r\nbad",
    "nul": "a\0b",
    "half": "\ud800",
    "list": ["acme"],
    "number": 7,
    "none": None,
    "object": {"tenant": "acme"},
    "long": "x" * 2_000_000,
}


@pytest.fixture
def nats(start_nats: StartNats, tmp_path: Path) -> NatsServer:
    return start_nats(f"jetstream {{store_dir: {tmp_path}}}")


@pytest.fixture
async def served(nats: NatsServer) -> AsyncIterator[Running]:
    tokens = Tokens()
    for token, claims in TOKENS.items():
        tokens.add(token, token, claims={"sub": None, **claims}, **ALL)
    for token, value in EVIL.items():
        tokens.add(token, token, claims={"sub": value, "tenant": value, "email": value}, **ALL)
    async with running(nats.url, authenticator=tokens, channels=[*CHANNELS, *DURABLE]) as made:
        yield made


@pytest.fixture
async def peer(nats: NatsServer, served: Running) -> AsyncIterator[Peer]:
    made = await Peer.connect(nats.url)
    yield made
    await made.close()


Join = Callable[[str, str], Awaitable[Someone]]


@pytest.fixture(params=KINDS)
async def join(request: pytest.FixtureRequest, served: Running) -> AsyncIterator[Join]:
    async with AsyncExitStack() as stack:

        async def open_one(token: str, name: str) -> Someone:
            made = KINDS[request.param](served, token)
            await made.open(name)
            stack.push_async_callback(made.close)
            return made

        yield open_one


async def test_everybody_gets_the_own(join: Join, served: Running, peer: Peer, nats: NatsServer) -> None:
    asked = [
        ("ann", "inbox"),
        ("ann", "room.1"),
        ("ada", "room.1"),
        ("bob", "inbox"),
        ("bob", "room.1"),
        ("ann", "room.*"),
    ]
    clients = {each: await join(*each) for each in asked}
    assert not [each for each, client in clients.items() if client.refused]
    await eventually(lambda: served.value("wsgw_subscriptions", channel="room.*") == 4, "they are subscribed")
    await peer.publish("users.ann.inbox", "for ann")
    await peer.publish("users.bob.inbox", "for bob")
    await peer.publish("t.acme.room.1", "acme 1")
    await peer.publish("t.blue.room.1", "blue 1")
    await peer.publish("t.acme.room.2", "acme 2")
    wanted = {
        ("ann", "inbox"): ["for ann"],
        ("bob", "inbox"): ["for bob"],
        ("ann", "room.1"): ["acme 1"],
        ("ada", "room.1"): ["acme 1"],
        ("bob", "room.1"): ["blue 1"],
        ("ann", "room.*"): ["acme 1", "acme 2"],
    }
    await eventually(lambda: {each: client.payloads for each, client in clients.items()} == wanted, "each the own")
    ours = {subject for subject in interest(nats) if subject.startswith(("users", "t."))}
    ours -= {"t.*.orders", "t.*.log.*"}  # the streams'
    assert ours == {"users.ann.inbox", "users.bob.inbox", "t.acme.room.1", "t.blue.room.1", "t.acme.room.*"}


@pytest.mark.parametrize("token", ["nobody", *EVIL])
async def test_who_has_no_such_claim_is_refused(join: Join, peer: Peer, nats: NatsServer, token: str) -> None:
    heard = await peer.messages(">")
    before = interest(nats)
    for name in ("inbox", "room.1", "room.*", "orders", "log.1", "log.*"):
        assert (await join(token, name)).refused == "forbidden"
    await peer.fence()
    assert {
        subject for subject in interest(nats) if subject not in before and not subject.startswith("_INBOX")
    } == set()
    assert [message.subject for message in heard if not message.subject.startswith(("_INBOX", "$JS"))] == []


@pytest.mark.parametrize("token", ["nobody", *EVIL])
async def test_nothing_is_sent_for_who_has_no_such_claim(served: Running, peer: Peer, token: str) -> None:
    heard = await peer.messages(">")
    head = {"authorization": f"Bearer {token}"}
    for path in ("/publish/out", "/publish/room.1", "/publish/orders", "/publish/log.1", "/request/sum"):
        answer = await served.http.post(path, content=b"x", headers=head)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        assert "PUB t.acme" not in answer.text
        assert len(answer.text) < 500
    await peer.fence()
    assert [message.subject for message in heard if not message.subject.startswith(("_INBOX", "$JS"))] == []


async def test_everybody_sends_to_the_own(served: Running, peer: Peer) -> None:
    heard = await peer.messages("t.>")
    await peer.answer("t.acme.sum", lambda payload: b"acme " + payload)
    for token in ("ann", "bob"):
        head = {"authorization": f"Bearer {token}"}
        for path, status in (("/publish/room.1", 202), ("/publish/orders", 202)):
            answer = await served.http.post(path, content=token.encode(), headers={**head, "Nats-Msg-Id": "1"})
            assert answer.status_code == status
            assert "duplicate" not in answer.json()
    await arrived(heard, 4)
    assert sorted((message.subject, message.data) for message in heard) == [
        ("t.acme.orders", b"ann"),
        ("t.acme.room.1", b"ann"),
        ("t.blue.orders", b"bob"),
        ("t.blue.room.1", b"bob"),
    ]
    answer = await served.http.post("/request/sum", content=b"1", headers={"authorization": "Bearer ann"})
    assert (answer.status_code, answer.content) == (200, b"acme 1")
    answer = await served.http.post("/request/sum", content=b"1", headers={"authorization": "Bearer bob"})
    assert answer.json()["error"]["code"] == "timeout", "only the test listens there"


async def test_a_socket_that_asks_for_nothing(served: Running, peer: Peer) -> None:
    clients = {}
    for token in ("ann", "bob", "nobody"):
        client = clients[token] = SocketIOClient()
        await client.sio.connect(f"http://127.0.0.1:{served.server.port}?token={token}", transports=["websocket"])
    for subject in ("users.ann.inbox", "t.acme.room.7", "t.acme.orders", "t.acme.log.7", "news"):
        await peer.publish(subject, subject)
    names = {"inbox": "users.ann.inbox", "room.*": "t.acme.room.7", "orders": "t.acme.orders", "log.*": "t.acme.log.7"}
    of_ann = sorted([*names.items(), ("news", "news")])
    await eventually(lambda: sorted(clients["ann"].received) == of_ann, "ann has what is hers")
    await eventually(lambda: clients["bob"].received == clients["nobody"].received == [("news", "news")], "others not")
    for client in clients.values():
        await client.close()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_names_that_are_asked_for_later(served: Running, peer: Peer, transport: str) -> None:
    clients = {}
    for token in ("ann", "bob", "nobody", "any"):
        client = clients[token] = SocketIOClient()
        url = f"http://127.0.0.1:{served.server.port}?channels=news&token={token}"
        await client.sio.connect(url, transports=[transport])
        answers = [(await (await client.emit("wsgw:subscribe", name)))[0] for name in ("room.1", "room.*", "log.1")]
        refused = [answer["error"]["code"] for answer in answers if isinstance(answer, dict) and "error" in answer]
        assert refused == ([] if token in ("ann", "bob") else ["forbidden"] * 3)
    await peer.publish("t.acme.room.1", "a")
    await peer.publish("t.*.room.1", "x")
    await peer.store("t.blue.log.1", "b")
    await eventually(lambda: sorted(clients["ann"].received) == [("room.*", "a"), ("room.1", "a")], "what is acme's")
    await eventually(lambda: clients["bob"].received == [("log.1", "b")], "what is blue's")
    assert clients["nobody"].received == clients["any"].received == []
    for client in clients.values():
        await client.close()


@pytest.mark.parametrize(
    "name", ["room.1\0acme", "room.*\0acme", "orders\0acme", "log.1\0acme", "inbox\0ann", "sum\0acme"]
)
async def test_nobody_says_anothers_key(served: Running, peer: Peer, name: str) -> None:
    """Even when who may is there: what the gateway keeps for that one is found by no name."""
    heard = [await peer.messages("t.>"), await peer.messages("users.>")]
    head = {"authorization": "Bearer ann"}
    for path in ("/publish/room.1", "/publish/orders", "/publish/log.1", "/publish/out"):
        assert (await served.http.post(path, content=b"x", headers=head)).status_code == 202
    client = SocketIOClient()
    url = f"http://127.0.0.1:{served.server.port}?channels=news&token=bob"
    await client.sio.connect(url, transports=["websocket"])
    for ack in (await client.emit("wsgw:subscribe", name), await client.emit(name, "y")):
        assert error_of(await ack) == "unknown_channel"
    await client.close()
    for way in ("publish", "request"):
        answer = await served.http.post(f"/{way}/{quote(name)}", content=b"y", headers={"authorization": "Bearer bob"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_channel")
    async with connect(f"ws://127.0.0.1:{served.server.port}/ws/{quote(name)}?token=bob", proxy=None) as websocket:
        with pytest.raises(ConnectionClosed):
            await websocket.recv()
    assert websocket.close_code == 4504
    assert (await served.stream(f"/sse/{quote(name)}?token=bob")).status == 404
    await peer.fence()
    assert {message.data for messages in heard for message in messages} == {b"x"}


# -- resuming


async def last_id(served: Running, name: str, token: str) -> str:
    stream = await served.stream(f"/sse/{quote(name)}?token={token}&since=3600")
    event = await stream.next()
    stream.close()
    return event.id


async def next_of(served: Running, path: str, after: str) -> SentEvent:
    stream = await served.stream(path, f"Last-Event-ID: {after}")
    event = await asyncio.wait_for(stream.next(), DEADLINE_SECONDS)
    stream.close()
    return event


@pytest.mark.parametrize("name", ["orders", "log.1", "log.*"])
async def test_an_event_streams_id_is_worth_nothing_to_others(served: Running, peer: Peer, name: str) -> None:
    subject = f"t.{{}}.{name.replace('*', '1')}"
    await peer.store(subject.format("acme"), "a1", "a2")
    await peer.store(subject.format("blue"), "b1", "b2")
    of_acme = await last_id(served, name, "ann")
    for path in (f"/sse/{quote(name)}?token={{}}", f"/sse?channel={quote(name)}&token={{}}"):
        assert "a2" in (await next_of(served, path.format("ada"), of_acme)).data
        told = await next_of(served, path.format("bob"), of_acme)
        assert told.event == "wsgw:gap"
        assert "a2" not in told.data


async def test_an_envelopes_id_is_worth_nothing_to_others(served: Running, peer: Peer) -> None:
    await peer.store("t.acme.orders", "a1", "a2")
    await peer.store("t.blue.orders", "b1")

    def url(token: str, more: str) -> str:
        return f"ws://127.0.0.1:{served.server.port}/ws/orders?envelope=1&token={token}&{more}"

    async def first(token: str, more: str) -> dict[str, Any]:
        """The first that it gets, or is told to be missing."""
        async with connect(url(token, more), proxy=None) as client:
            while True:
                found: dict[str, Any] = json.loads(await asyncio.wait_for(client.recv(), DEADLINE_SECONDS))
                if "text" in found or found["event"] == "gap":
                    return found

    seen = await first("ann", "since=3600")
    assert seen["text"] == "a1"
    assert (await first("ada", f"after={seen['id']}"))["text"] == "a2"
    told = await first("bob", f"after={seen['id']}")
    assert told["event"] == "gap"


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_a_sockets_position_is_worth_nothing_to_others(served: Running, peer: Peer, transport: str) -> None:
    async def come(token: str, auth: dict[str, str] | None = None) -> SocketIOClient:
        client = SocketIOClient()
        query = urlencode({"channels": "orders,log.1", "recovery": "1", "token": token})
        url = f"http://127.0.0.1:{served.server.port}?{query}"
        await client.sio.connect(url, transports=[transport], auth=auth)
        return client

    ann = await come("ann")
    await peer.store("t.acme.orders", "a1")
    await eventually(lambda: len(ann.events) == 1, "it came")
    name, payload, offset = ann.events[0]
    assert (name, payload) == ("orders", "a1")
    await ann.close()
    await peer.store("t.acme.orders", "a2")
    await peer.store("t.acme.log.1", "a3")
    await peer.store("t.blue.orders", "b1")
    pid = f"x~{offset}"
    ada, bob = (
        await come("ada", {"pid": pid, "offset": str(offset)}),
        await come("bob", {"pid": pid, "offset": str(offset)}),
    )
    await eventually(lambda: sorted(ada.received) == [("log.1", "a3"), ("orders", "a2")], "who is of the tenant has it")
    await eventually(
        lambda: bool([event for event in bob.events if event[0] == "wsgw:gap"]), "others are told of a gap"
    )
    await peer.store("t.blue.orders", "b2")
    await eventually(lambda: bob.received == [("orders", "b2")], "and get what is theirs from now on")
    for client in (ada, bob):
        await client.close()
