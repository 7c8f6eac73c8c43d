"""Who has a token for little, or none, and wants more: what NATS saw of it, and what it cost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.frames import Opcode

from helpers.nats_server import NatsServer
from helpers.own_endpoint import OwnEndpoint
from helpers.peer import Peer
from helpers.raw import frame
from helpers.tokens import SECRET, jwk, jwks_server, part, rsa_key, token
from helpers.waiting import arrived, eventually
from hostile import form
from hostile.sockets import HANDSHAKE_HEADERS, PATIENCE_SECONDS, Target, read_all, read_until, send
from hostile.target import HostileGateway, StartHostile
from hostile.watch import Watch

CHANNELS = [
    {"name": "IN", "direction": "inbound"},
    {"name": "OUT", "direction": "outbound"},
    {"name": "chat.*", "direction": "both"},
    {"name": "deep.>", "direction": "both"},
    {"name": "room.*", "direction": "both", "subject": "t.{tenant}.room.*"},
    {"name": "sum", "direction": "request"},
]
LITTLE = {"tenant": "acme", "wsgw": {"subscribe": ["chat.1"], "publish": ["chat.2"]}}
ALL = {"wsgw": {"subscribe": [">"], "publish": [">"], "request": [">"]}}
SOCKETIO = "/socket.io/?EIO=4&transport=websocket"
#: Of clients in a flood.
MANY = form.either(3000, 400)

#: In the place of a channel's name, in paths.
PATHS = (
    *("OUT", "/OUT", "OUT/", "%4fUT", "OUT%00", "chat.2/../OUT", "chat.2%2f..%2fOUT", "chat.1", "chat.*", "*", ">"),
    *("%3E", "deep.>", "deep.a", "room.1", "room.1%00blue", "room.1%00acme", "sum", "", "IN", "chat.%EF%BC%92"),
    *("OUT?channel=chat.2", "chat.2%0d%0aPUB%20OUT%201", "CHAT.2", "chat.2.", ".chat.2", "chat..2", "chat.2%20"),
)
NAMES = (
    *("chat.2", "chat.*", "chat.>", ">", "*", "*.1", "CHAT.1", "chat.1 ", "chat.1\u200b", "chat.\uff11", "chat.1\0"),
    *(
        "room.1",
        "room.1\0blue",
        "IN",
        "wsgw:subscribe",
        "chat..1",
        "chat.1.",
        "deep.>",
        "deep.a",
        "sum",
        "",
        "chat.1.x",
    ),
)


def bearing(text: str) -> bytes:
    return b"Authorization: Bearer %b\r\n" % text.encode()


def post(path: str, headers: bytes) -> bytes:
    line = path.encode()
    return b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 1\r\n%b\r\nx" % (line, headers)


async def many(target: Target, requests: list[bytes]) -> dict[int | None, int]:
    """How often each status came; not all at once, so that it is no flood of connections."""
    at_once = asyncio.Semaphore(400)

    async def ask(request: bytes) -> int | None:
        async with at_once:
            return await target.ask(request, PATIENCE_SECONDS)

    statuses = await asyncio.gather(*map(ask, requests))
    return {status: statuses.count(status) for status in set(statuses)}


class Served:
    """``healthy`` asks as somebody who may publish, whatever else is going on; ``slowest`` is how long that took."""

    def __init__(self, gateway: HostileGateway, nats: NatsServer, known: bytes) -> None:
        self.gateway = gateway
        self.target = gateway.target(nats)
        self.known = known
        self.watch = Watch(gateway)
        self.statuses: set[int | None] = set()
        self.slowest = 0.0

    async def healthy(self) -> None:
        while True:
            began = time.monotonic()
            self.statuses.add(await self.target.ask(post("/publish/OUT", self.known), PATIENCE_SECONDS))
            self.slowest = max(self.slowest, time.monotonic() - began)
            await asyncio.sleep(0.02)

    async def under(self, requests: list[bytes]) -> dict[int | None, int]:
        files = self.watch.open_files()
        healthy = asyncio.create_task(self.healthy())
        try:
            found = await many(self.target, requests)
        finally:
            healthy.cancel()
        await eventually(lambda: self.watch.open_files() <= files + 70, "connections are given back")  # 64 are kept
        assert self.statuses == {202}
        assert self.slowest < 3
        return found


@pytest.fixture
async def peer(nats: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(nats.url)
    yield made
    await made.close()


def gateway_of(start_gateway: StartHostile, nats: NatsServer, **auth: Any) -> HostileGateway:
    return start_gateway(nats.url, channels=CHANNELS, auth=auth)


async def test_little_is_little(nats: NatsServer, peer: Peer, start_gateway: StartHostile) -> None:
    """Names and paths that look like others; a right that is for one name is for that name, by every way."""
    gateway = gateway_of(start_gateway, nats, jwt={"secret": SECRET})
    await gateway.ready()
    target, little = gateway.target(nats), token(LITTLE)
    heard = [await peer.messages(subject) for subject in ("OUT", "chat.*", "deep.>", "t.>", "sum", "IN")]
    assert await target.ask(post("/publish/room.1", bearing(token(ALL | {"tenant": "blue"})))) == 202
    for path in PATHS:
        for method in ("publish", "request"):
            assert await target.ask(post(f"/{method}/{path}", bearing(little))) in (400, 403, 404, 405), path
        for what in (f"/sse/{path}", f"/sse?channel=chat.1&channel={path}"):
            if path == "chat.1":
                continue
            request = b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b\r\n" % (what.encode(), bearing(little))
            assert await target.ask(request) in (400, 403, 404, 405), what
    with await target.websocket(SOCKETIO) as made:
        await send(made, frame(Opcode.TEXT, b"40" + json.dumps({"token": little}).encode()))
        await read_until(made, b"40{")
        count = len(NAMES)
        for i, name in enumerate(NAMES):
            said = json.dumps(name)
            events = (
                (f'42{i}["wsgw:subscribe",{said}]',)
                if name == "chat.2"
                else (f'42{i}["wsgw:subscribe",{said}]', f'42{i + count}[{said},"x"]')
            )
            await send(made, b"".join(frame(Opcode.TEXT, event.encode()) for event in events))
        await send(made, frame(Opcode.TEXT, b'42999["chat.2","may"]'))
        answers = await read_until(made, b"43999[true]")
        assert answers.count(b"[true]") == 1
        await peer.publish("chat.2", "secret")
        await peer.publish("IN", "secret")
        await peer.fence()
        await send(made, frame(Opcode.TEXT, b'42998["wsgw:subscribe","chat.1"]'))
        assert b"secret" not in await read_until(made, b"43998[true]")
    await peer.fence()
    seen = [(message.subject, message.data) for messages in heard for message in messages]
    assert sorted(seen) == [("IN", b"secret"), ("chat.2", b"may"), ("chat.2", b"secret"), ("t.blue.room.1", b"x")]
    gateway.check_log()


async def test_nothing_is_taken_behind_the_end(nats: NatsServer, peer: Peer, start_gateway: StartHostile) -> None:
    """However much a client sends in that second, and however long its bodies take."""
    gateway = gateway_of(start_gateway, nats, jwt={"secret": SECRET, "leeway": 0})
    await gateway.ready()
    target, heard = gateway.target(nats), await peer.messages("OUT")
    ends = time.time() + 1.5
    short = token(ALL | {"exp": ends})
    slow = []
    for path in ("/publish/OUT", "/publish/OUT"):
        slow.append(await target.connect())
        await send(slow[-1], post(path, bearing(short))[:-1])
    with await target.websocket(SOCKETIO) as made:
        await send(made, frame(Opcode.TEXT, b"40" + json.dumps({"token": short}).encode()))
        await read_until(made, b"40{")
        reading = asyncio.create_task(read_until(made, b"wsgw:expired"))
        while time.time() < ends + 2 and not reading.done():
            events = (b'42["OUT","%f"]' % time.time() for _ in range(20))
            try:
                await send(made, b"".join(frame(Opcode.TEXT, event) for event in events))
            except OSError:
                break
            await asyncio.sleep(0.01)
        assert b"wsgw:expired" in await reading
    for each in slow:
        with each:
            await send(each, b"x")
            assert b"token_expired" in (await read_all(each, 20) or b"")
    await peer.fence()
    assert heard
    assert max(float(message.data) for message in heard) < ends + 1.5


async def test_an_endpoint_that_does_not_answer(nats: NatsServer, start_gateway: StartHostile) -> None:
    """Distinct cookies, each of which has to be asked about: who is known is served, and the rest is bounded."""
    own = OwnEndpoint()
    await own.start()
    own.say(200, {"user": "ann", **ALL, "expires_in": 600})
    gateway = gateway_of(start_gateway, nats, delegate={"url": own.url, "timeout": "500ms"})
    await gateway.ready()
    served = Served(gateway, nats, b"Cookie: sid=known\r\n")
    try:
        assert await served.target.ask(post("/publish/OUT", served.known)) == 202
        own.may_answer.clear()
        found = await served.under([post("/publish/OUT", b"Cookie: sid=%d\r\n" % i) for i in range(MANY)])
        assert set(found) == {503}
        assert len(own.heads) - 1 <= MANY
        told = [line for line in gateway.output.splitlines() if "auth.delegate" in line]
        assert len(told) <= 4, told
    finally:
        await own.close()


async def test_keys_that_nobody_knows(nats: NatsServer, start_gateway: StartHostile) -> None:
    """Each token names another key: the identity provider is asked once, also where it does not answer."""
    async with jwks_server(jwk(rsa_key(), "k")) as provider:
        gateway = gateway_of(start_gateway, nats, jwt={"jwks_url": provider.url})
        await gateway.ready()
        served = Served(gateway, nats, bearing(token(ALL, rsa_key(), "RS256", kid="k")))
        assert await served.target.ask(post("/publish/OUT", served.known)) == 202
        _, claims, signature = token(ALL, rsa_key(1), "RS256").split(".")
        unknown = [f"{part({'alg': 'RS256', 'kid': f'k{i}'})}.{claims}.{signature}" for i in range(MANY)]
        provider.may_answer.clear()
        found = await served.under([post("/publish/OUT", bearing(text)) for text in unknown])
        assert set(found) == {503}
        assert (provider.asked, provider.most_at_once) == (2, 1)
        gateway.check_log()
        provider.may_answer.set()


async def test_wrong_tokens_cost_no_more_than_right_ones(nats: NatsServer, start_gateway: StartHostile) -> None:
    gateway = gateway_of(start_gateway, nats, jwt={"secret": SECRET})
    await gateway.ready()
    served = Served(gateway, nats, bearing(token(ALL)))
    right = [token(ALL | {"sub": f"u{i}"}) for i in range(MANY)]
    wrong = [f"{text[:-6]}AAAAAA" for text in right]
    lines, used = len(gateway.output.splitlines()), {}
    for texts, status in ((right, 202), (wrong, 401)):
        began = served.watch.cpu_seconds()
        assert await many(served.target, [post("/publish/OUT", bearing(text)) for text in texts]) == {status: MANY}
        used[status] = served.watch.cpu_seconds() - began
    assert used[401] < 1.5 * used[202] + 0.1, used
    assert len(gateway.output.splitlines()) == lines


async def test_a_sid_is_of_who_opened_it(nats: NatsServer, peer: Peer, start_gateway: StartHostile) -> None:
    gateway = gateway_of(start_gateway, nats, jwt={"secret": SECRET})
    await gateway.ready()
    target, heard = gateway.target(nats), await peer.messages("OUT")
    own, other = bearing(token(ALL)), bearing(token(ALL | {"sub": "mallory"}))
    path = await target.polling(own)

    async def sent(body: bytes, headers: bytes) -> int | None:
        head = b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n" % (
            path.encode(),
            len(body),
        )
        return await target.ask(head + headers + b"\r\n" + body)

    assert await sent(b"40", own) == 200
    for headers in (other, bearing("x"), bearing(token(ALL | {"exp": 1})), b"Authorization: Basic YTpi\r\n"):
        assert await sent(b'42["OUT","stolen"]', headers) == 401
        get = b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b\r\n" % (path.encode(), headers)
        assert await target.ask(get) == 401
        upgrade = path.replace("polling", "websocket").encode()
        assert await target.ask(b"GET %b HTTP/1.1\r\n%b%b\r\n" % (upgrade, HANDSHAKE_HEADERS, headers)) == 401
    assert await sent(b'42["OUT","own"]', own) == 200
    await arrived(heard, 1)
    await peer.fence()
    assert [message.data for message in heard] == [b"own"]
