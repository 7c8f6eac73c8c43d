"""What others send stays within its line of the log, and harmless there: heads, tokens, services, publishers, NATS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from nats.aio.msg import Msg

from helpers.nats_server import NatsServer
from helpers.own_endpoint import OwnEndpoint
from helpers.peer import Peer
from helpers.raw import frame
from helpers.tokens import SECRET, part, token
from helpers.waiting import eventually
from hostile.liar import INFO, Liar, LiarConnection
from hostile.sockets import HANDSHAKE_HEADERS, Target, read_until, send
from hostile.target import StartHostile
from hostile.test_log import FORGED, NAMES

FORMATS = pytest.mark.parametrize("format", ["plainText", "json"])
#: JSON's own way to another field.
TEXTS = {**NAMES, "a field": '","level":"error","message":"FORGED"}\n{"label":"wsgw@1.0.0","level":"error'}
ALL = {"wsgw": {"subscribe": [">"], "publish": [">"], "request": [">"]}}
CHANNELS: list[dict[str, Any]] = [
    {"name": "OUT", "direction": "outbound"},
    {"name": "chat.*", "direction": "both"},
    {"name": "asked.*", "direction": "both", "authorize": {"subject": "auth.names"}},
    {"name": "sum", "direction": "request", "subject": "log.sum"},
    {"name": "rows", "direction": "request", "subject": "log.rows", "headers": ["X-Some", "Content-Type"]},
]
MINE = {"name": "mine", "direction": "both", "subject": "t.{tenant}.mine"}
#: Of a request, and what a peer may put there: bytes, as they are not to be text.
HEADERS = ("Host", "Origin", "User-Agent", "Cookie", "Authorization", "X-Forwarded-For", "Forwarded", "Nats-Msg-Id")


def started(start_gateway: StartHostile, nats_url: str, format: str, **configuration: Any) -> Any:
    """A gateway that logs all there is."""
    channels = [*CHANNELS, MINE] if "auth" in configuration else CHANNELS
    return start_gateway(nats_url, level="silly", channels=channels, log={"format": format}, **configuration)


async def ask(target: Target, method: str, path: str, *lines: bytes) -> int | None:
    head = b"".join(line + b"\r\n" for line in (b"Host: x", b"Connection: close", *lines))
    body = b"Content-Length: 1\r\n\r\nx" if method == "POST" else b"\r\n"
    return await target.ask(b"%b %b HTTP/1.1\r\n%b%b" % (method.encode(), path.encode(), head, body), 20)


@FORMATS
async def test_heads_and_tokens(nats: NatsServer, start_gateway: StartHostile, format: str) -> None:
    gateway = started(start_gateway, nats.url, format, auth={"jwt": {"secret": SECRET}, "query_parameter": "token"})
    await gateway.ready()
    target = gateway.target(nats)
    for text in TEXTS.values():
        raw = text.encode("utf-8", "replace")
        for name in HEADERS:
            await ask(target, "GET", "/sse/chat.1", b"%b: %b" % (name.encode(), raw.replace(b"\r\n", b"\r")))
        await ask(target, "GET", "/healthz", b"%b: x" % raw)
        await target.ask(b"%b / HTTP/1.1\r\n\r\n" % raw, 20)
        await target.ask(b"GET / %b\r\n\r\n" % raw, 20)
        handshake = HANDSHAKE_HEADERS.replace(b"dGhlIHNhbXBsZSBub25jZQ==", raw)
        await target.ask(b"GET /ws/OUT HTTP/1.1\r\n%b\r\n" % handshake, 20)
        tokens = [
            token(ALL | {"sub": text}),
            token(ALL, kid=text),
            token({"iss": text, "aud": text, "tenant": text} | ALL),
            token({"wsgw": {"publish": [text], "subscribe": text}}),
            token({"wsgw": {text: ["a"]}}),
            f"{part({'alg': text, 'typ': text, 'crit': [text]})}.{part({'sub': text})}.AAAA",
            f"{part(raw)}.{part(raw)}.{part(raw)}",
        ]
        for shown in tokens:
            await ask(target, "POST", "/publish/mine", b"Authorization: Bearer %b" % shown.encode())
            await ask(target, "GET", f"/sse/chat.1?token={shown}")
        known = b"Authorization: Bearer %b" % token(ALL).encode()
        await ask(target, "POST", f"/publish/chat.{quote(text, safe='')}", known)
        await ask(target, "GET", f"/sse/OUT?token={quote(text, safe='')}")
    assert await ask(target, "POST", "/publish/OUT", b"Authorization: Bearer %b" % token(ALL).encode()) == 202
    gateway.check_log()
    assert gateway.output.count("refused:") > 2, "there was something to tell"


@FORMATS
async def test_services_and_publishers(nats: NatsServer, start_gateway: StartHostile, format: str) -> None:
    """A service that decides, one that answers, who publishes: by headers, payloads and subjects."""
    gateway = started(start_gateway, nats.url, format)
    await gateway.ready()
    target, peer = gateway.target(nats), await Peer.connect(nats.url)
    texts: Iterator[str] = iter(())

    async def respond(message: Msg) -> None:
        text = next(texts, "")
        words = "".join(each for each in text if each not in "\r\n\0")
        match json.loads(message.data or b"0") if message.subject == "auth.names" else message.subject:
            case "log.sum":
                headers = {"Nats-Service-Error": words, "Nats-Service-Error-Code": words or "500"}
                await peer.nats.publish(message.reply, text.encode("utf-8", "replace"), headers=headers)
            case "log.rows":
                headers = {"X-Some": words, "Content-Type": words or "a/b", "Y": words}
                await peer.nats.publish(message.reply, b"x", headers=headers)
            case {"verb": "subscribe"}:
                await message.respond(json.dumps({"allow": False, "info": text, text: text}).encode())
            case _:
                await message.respond(text.encode("utf-8", "replace"))

    for subject in ("log.sum", "log.rows", "auth.names"):
        await peer.nats.subscribe(subject, cb=respond)
    await peer.fence()
    with await target.websocket("/ws/chat.*") as heard, await target.connect_nats() as publisher:
        for number, text in enumerate(TEXTS.values()):
            texts = iter([text] * 4)
            for method, path in (("POST", "/request/sum"), ("POST", "/request/rows"), ("GET", "/sse/asked.{}")):
                assert await ask(target, method, path.format(number)) is not None
            assert await ask(target, "POST", f"/publish/asked.{number}") is not None
            raw = text.encode("utf-8", "replace")
            named = b"chat." + raw.translate(None, b" \t\r\n\0.")
            await send(publisher, b"PUB %b %b 1\r\nx\r\n" % (named, named))
            head = b"NATS/1.0\r\nA\x1b[31m: %b\r\nB: %b\r\n\r\n" % (named, named)
            await send(publisher, b"HPUB %b %d %d\r\n%bx\r\n" % (named, len(head), len(head) + 1, head))
        await send(publisher, b"PUB chat.last 4\r\nlast\r\n")
        assert b"last" in await read_until(heard, b"last")
        await send(heard, frame(1, b"x"))
    await peer.close()
    gateway.check_log(errors=True)  # those about a service that answers so
    assert "connection lost" not in gateway.output, "NATS sent what is no message to the gateway"
    assert "auth.names" in gateway.output, "there was something to tell"


@FORMATS
async def test_an_endpoint(nats: NatsServer, start_gateway: StartHostile, format: str) -> None:
    own = OwnEndpoint()
    await own.start()
    gateway = started(start_gateway, nats.url, format, auth={"delegate": {"url": own.url, "timeout": "2s"}})
    try:
        await gateway.ready()
        target = gateway.target(nats)
        for number, text in enumerate(TEXTS.values()):
            raw = text.encode("utf-8", "replace")
            for respond in (
                b"HTTP/1.1 500 %b\r\nContent-Length: 0\r\n\r\n" % raw,
                b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % raw,
                b"HTTP/1.1 200 OK\r\nX: %b\r\nContent-Encoding: %b\r\nContent-Length: 1\r\n\r\nx" % (raw, raw),
                b"%b\r\n\r\n" % raw,
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(raw), raw),
            ):
                own.respond = respond
                cookie = b"Cookie: a=%d.%d" % (number, len(respond))
                assert await ask(target, "POST", "/publish/OUT", cookie) in (400, 401, 403, 503)
            for body in ({"user": text, text: text}, {"user": "a", "wsgw": {"publish": text}}, text):
                own.say(200, body)
                cookie = b"Cookie: b=%d.%d" % (number, len(own.respond))
                assert await ask(target, "POST", "/publish/OUT", cookie) is not None
        gateway.check_log(errors=True)
        assert "auth.delegate" in gateway.output, "there was something to tell"
    finally:
        await own.close()


def greeting(text: str) -> bytes:
    told = json.loads(INFO[5:]) | dict.fromkeys(("server_name", "version", "server_id", "cluster"), text)
    return b"INFO %b\r\n" % json.dumps(told | {"connect_urls": [text]}).encode()


@FORMATS
async def test_nats_itself(start_gateway: StartHostile, format: str) -> None:
    """One that is not NATS: its greeting, and its errors."""
    texts = [text for text in TEXTS.values() if text.encode("utf-8", "ignore").decode() == text]
    said = asyncio.Event()

    async def err(connection: LiarConnection) -> None:
        words = [text.replace("\r", "").replace("\n", "").encode() for text in texts]
        for each in words:
            await connection.say(b"-ERR '%b'\r\n-ERR 'Permissions Violation for Publish to \"%b\"'\r\n" % (each, each))
        each = words[liar.connections % len(words)]
        await connection.say(b"MSG %b 1 1\r\nx\r\n-ERR 'Authorization %b'\r\n%b\r\n" % (each, each, each))
        said.set()

    async with Liar(greeting("\n".join(texts)), err) as liar:
        gateway = await asyncio.to_thread(started, start_gateway, liar.url, format)
        await asyncio.wait_for(said.wait(), 20)
        await eventually(lambda: liar.connections > 1, "it comes again")
        gateway.check_log(errors=True)
        assert "the server says: " in gateway.output, "there was something to tell"
        assert FORGED not in [line[: len(FORGED)] for line in gateway.output.splitlines()]
