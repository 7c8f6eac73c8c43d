"""Who a Socket.IO client is: said with its CONNECT or its handshake, said anew, and over when its token is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from helpers.identities import Tokens
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.raw_http import RawPost
from helpers.running import CHANNELS, Running, running
from helpers.waiting import eventually
from wsgw.access.identity import Identity
from wsgw.access.rights import rights_of

from .client import Client

ALL: dict[str, Any] = {"subscribe": [">"], "publish": [">"], "request": [">"]}


@pytest.fixture
def tokens() -> Tokens:
    made = Tokens()
    made.add("ann", "ann", **ALL)
    made.add("less", "ann", subscribe=["IN"], publish=["OUT"])
    made.add("nothing", "ann")
    made.add("bob", "bob", **ALL)
    made.add("gone", "ann", seconds=-1, **ALL)
    return made


@pytest.fixture
async def served(nats: NatsServer, tokens: Tokens) -> AsyncIterator[Running]:
    channels = [channel | ({"timeout": "20s"} if channel["name"] == "SUM" else {}) for channel in CHANNELS]
    async with running(nats.url, authenticator=tokens, channels=channels) as made:
        yield made


class Clients:
    def __init__(self, served: Running) -> None:
        self.served = served
        self.made: list[Client] = []

    async def __call__(self, said: str | None, **query: str) -> tuple[Client, str]:
        client = Client(self.served, query)
        self.made.append(client)
        return client, await client.opened("" if said is None else json.dumps({"token": said}))


@pytest.fixture
async def connect(served: Running) -> AsyncIterator[Clients]:
    clients = Clients(served)
    yield clients
    for client in clients.made:
        await client.stop()


def said(packet: str) -> Any:
    return json.loads(packet.lstrip("0123456789"))


@pytest.mark.parametrize(
    ("token", "query", "code"),
    [
        (None, {}, "unauthenticated"),
        ("x", {}, "unauthenticated"),
        ("gone", {}, "token_expired"),
        ("x", {"token": "ann"}, "unauthenticated"),  # what it says counts before what it shows
        ("less", {"channels": "BOTH"}, "forbidden"),
    ],
)
async def test_who_may_not(connect: Clients, token: str | None, query: dict[str, str], code: str) -> None:
    _, answer = await connect(token, **query)
    assert answer.startswith("44")
    assert said(answer)["data"]["error"]["code"] == code
    assert connect.served.value("wsgw_rejected_total", reason=code) == 1
    assert connect.served.value("wsgw_connections", transport="socketio") == 0


async def test_who_was_refused_may_say_another_token(connect: Clients) -> None:
    client, answer = await connect("x")
    assert answer.startswith("44")
    assert (await client.opened('{"token":"ann"}')).startswith('40{"sid"')


@pytest.mark.parametrize("auth", ['{"token":1}', '{"token":["ann"]}'])
async def test_what_is_no_token(served: Running, connect: Clients, auth: str) -> None:
    client = Client(served, {"token": "ann"})
    connect.made.append(client)
    answer = await client.opened(auth)
    assert answer.startswith("44")
    assert said(answer)["data"]["error"]["code"] == "unauthenticated"


async def test_who_asks_for_nothing_gets_what_its_rights_cover(
    connect: Clients, served: Running, tokens: Tokens
) -> None:
    for token, names in [("less", ["IN"]), ("ann", ["IN", "BOTH", "chat.*"]), ("nothing", [])]:
        before = {name: served.value("wsgw_subscriptions", channel=name) for name in ("IN", "BOTH", "chat.*")}
        _, answer = await connect(token)
        assert answer.startswith("40")
        after = {name: served.value("wsgw_subscriptions", channel=name) for name in before}
        assert [name for name in before if after[name] > before[name]] == names


async def test_each_event_needs_its_right(connect: Clients) -> None:
    client, _ = await connect("less")
    assert await client.ack('27["OUT","x"]') is True
    assert await client.error('27["BOTH","x"]') == "forbidden"
    assert await client.error('27["SUM","x"]') == "forbidden"
    assert await client.error('27["wsgw:subscribe","BOTH"]') == "forbidden"
    assert await client.error('27["wsgw:subscribe","chat.*"]') == "forbidden"


class TestRefresh:
    async def test_rights_that_shrink(self, connect: Clients, served: Running, peer: Peer) -> None:
        client, _ = await connect("ann")
        client.send('27["wsgw:refresh","less"]')
        packets = await client.received(3)
        told = {said(packet)[1]["channel"]: said(packet)[1]["error"]["code"] for packet in packets if "unsub" in packet}
        assert told == {"BOTH": "forbidden", "chat.*": "forbidden"}
        assert "437[true]" in packets
        assert served.value("wsgw_subscriptions", channel="BOTH") == 0
        assert await client.error('27["BOTH","x"]') == "forbidden"
        await peer.publish("BOTH", "not for it")
        await peer.publish("IN", "for it")
        assert await client.received(1) == ['42["IN","for it"]']

    async def test_rights_that_grow(self, connect: Clients, served: Running, peer: Peer) -> None:
        """Who asked for nothing gets what there is for it now, but not what it left."""
        client, _ = await connect("less")
        assert await client.ack('27["wsgw:unsubscribe","IN"]') is True
        assert await client.ack('27["wsgw:refresh","ann"]') is True
        await eventually(lambda: served.value("wsgw_subscriptions", channel="BOTH") == 1, "subscribed")
        await eventually(lambda: served.value("wsgw_subscriptions", channel="chat.*") == 1, "subscribed")
        assert served.value("wsgw_subscriptions", channel="IN") == 0
        assert await client.error('27["SUM","x"]') == "no_responders"

    @pytest.mark.parametrize(
        ("argument", "code"),
        [
            ('"x"', "unauthenticated"),
            ('"gone"', "token_expired"),
            ('"bob"', "forbidden"),
            ("1", "bad_request"),
            ("{}", "bad_request"),
        ],
    )
    async def test_a_token_that_is_not_taken_changes_nothing(self, connect: Clients, argument: str, code: str) -> None:
        client, _ = await connect("less")
        assert await client.error(f'27["wsgw:refresh",{argument}]') == code
        assert await client.ack('27["OUT","x"]') is True

    async def test_without_arguments(self, connect: Clients) -> None:
        client, _ = await connect("less")
        assert await client.error('27["wsgw:refresh"]') == "bad_request"

    async def test_one_at_a_time(self, connect: Clients, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
        client, _ = await connect("less")
        go = asyncio.Event()
        found = tokens.identities["less"]

        async def slow(*_: object) -> Identity:
            await go.wait()
            return found

        monkeypatch.setattr(tokens, "identify", slow)
        client.send('21["wsgw:refresh","less"]')
        assert await client.error('27["wsgw:refresh","less"]') == "overloaded"
        go.set()
        assert await client.received(1) == ["431[true]"]

    async def test_who_goes_meanwhile(self, connect: Clients, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
        client, _ = await connect("less")
        ended = asyncio.Event()

        async def never(*_: object) -> Identity:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

        monkeypatch.setattr(tokens, "identify", never)
        client.send('21["wsgw:refresh","less"]')
        await asyncio.sleep(0)
        client.send("1")
        await asyncio.wait_for(ended.wait(), 10)

    async def test_who_has_no_token_stays_without(self, connect: Clients, tokens: Tokens) -> None:
        tokens.anonymous = Identity(None, rights_of({"publish": ["OUT"]}))
        client, answer = await connect(None)
        assert answer.startswith("40")
        assert await client.error('27["wsgw:refresh","ann"]') == "forbidden"
        assert await client.error('27["BOTH","x"]') == "forbidden"


async def test_without_authentication_there_is_nothing_to_refresh(direct: Running) -> None:
    client = Client(direct, {"channels": "IN"})
    assert (await client.opened('{"token":1}')).startswith("40")
    assert await client.error('27["wsgw:refresh","ann"]') == "unknown_channel"
    await client.stop()


class TestTheEnd:
    async def test_of_the_token(self, connect: Clients, tokens: Tokens) -> None:
        tokens.add("short", "ann", seconds=0.3, **ALL)
        client, _ = await connect("short")
        (packet,) = await client.received(1)
        assert said(packet) == [
            "wsgw:expired",
            {"error": {"code": "token_expired", "message": "the client's token has ended; come back with a new one"}},
        ]
        await eventually(lambda: client.ended == [("close", 4010)], "its connection ends")

    async def test_put_off_by_a_new_one(self, connect: Clients, tokens: Tokens) -> None:
        tokens.add("short", "ann", seconds=1, **ALL)
        client, _ = await connect("short")
        assert await client.ack('27["wsgw:refresh","ann"]') is True
        assert len(connect.served.gateway.expiries) == 0
        tokens.add("next", "ann", seconds=0.2, **ALL)
        assert await client.ack('27["wsgw:refresh","next"]') is True
        await eventually(lambda: client.ended == [("close", 4010)], "that one ends")

    async def test_comes_behind_the_answers(
        self, connect: Clients, tokens: Tokens, served: Running, peer: Peer
    ) -> None:
        """What the client sent is settled first, and it is told of that."""
        tokens.add("short", "ann", seconds=0.2, **ALL)
        client, _ = await connect("short")
        seen = await peer.messages("math.sum")
        client.send('27["SUM","x"]')
        await eventually(lambda: seen, "asked")
        await eventually(lambda: len(served.gateway.expiries) == 0, "the token has ended")
        assert client.ended == []
        await seen[0].respond(b"answer")
        assert [said(packet) for packet in await client.received(2)][1] == ["answer"]
        await eventually(lambda: client.ended == [("close", 4010)], "its connection ends")

    async def test_in_the_middle_of_a_post(self, served: Running, tokens: Tokens, peer: Peer) -> None:
        """Nothing of it is taken, and it is told why."""
        heard = await peer.messages("OUT")
        path, headers = "/socket.io/?EIO=4&transport=polling", {"authorization": "Bearer short"}
        ends = tokens.add("short", "ann", seconds=0.5, **ALL).expires_at
        opened = await served.http.get(path, headers=headers)
        path += f"&sid={json.loads(opened.text[1:])['sid']}"
        assert (await served.http.post(path, content="40", headers=headers)).status_code == 200
        post = await RawPost.begin(served.server.port, path, 17, "Authorization: Bearer short")
        await post.send(b'42["OUT"')
        await eventually(lambda: served.gateway.expiries.over(ends), "its time is over")
        assert await post.status() == 401
        post.close()
        again = await served.http.post(path, content="3", headers=headers)
        assert (again.status_code, again.json()["message"]) == (401, "Token expired")
        await peer.fence()
        assert heard == []


class TestAgain:
    """A client that left connects again on its connection, which its handshake is forgotten of."""

    async def again(self, client: Client, auth: str) -> str:
        client.send("1")
        return await client.opened(auth)

    async def test_is_who_it_was(self, connect: Clients) -> None:
        client, _ = await connect("less")
        assert (await self.again(client, "")).startswith("40")
        assert await client.error('27["BOTH","x"]') == "forbidden"

    async def test_with_a_new_token(self, connect: Clients) -> None:
        client, _ = await connect("less")
        assert (await self.again(client, '{"token":"ann"}')).startswith("40")
        assert await client.error('27["wsgw:subscribe","x"]') == "unknown_channel"

    async def test_as_another_user(self, connect: Clients) -> None:
        client, _ = await connect("less")
        answer = await self.again(client, '{"token":"bob"}')
        assert said(answer)["data"]["error"]["code"] == "forbidden"

    async def test_too_late(self, connect: Clients, tokens: Tokens) -> None:
        tokens.add("short", "ann", seconds=0.3, **ALL)
        client, _ = await connect("short")
        client.send("1")
        await eventually(lambda: connect.served.gateway.expiries.over(tokens.identities["short"].expires_at), "over")
        answer = await client.opened("")
        assert said(answer)["data"]["error"]["code"] == "token_expired"
