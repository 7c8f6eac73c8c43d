"""Bad input to a gateway that runs: a clear error for who sent it, nothing published, nobody else disturbed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
from websockets.frames import Close, Opcode

from helpers.client import Client
from helpers.client_socketio import SocketIOTransport, error_of
from helpers.client_websocket import WebSocketTransport
from helpers.gateway import GatewayProcess
from helpers.peer import Peer
from helpers.polling import open_polling
from helpers.raw import OpenRaw, frame
from helpers.waiting import arrived

SOCKETIO = "/socket.io/?EIO=4&transport=websocket&channels=IN"


@pytest.fixture(autouse=True)
async def others(
    gateway: GatewayProcess, peer: Peer, websocket: WebSocketTransport, socketio: SocketIOTransport
) -> AsyncIterator[None]:
    """Two clients that are there all the time, and a listener on NATS that must not hear the test's ``stray``."""
    heard = await peer.listen("OUT")
    clients: list[Client] = [await websocket.open(gateway, "IN"), await socketio.open(gateway, "IN")]
    await peer.publish("IN", "before")
    yield
    await peer.publish("IN", "after")
    for client in clients:
        await arrived(client.received, 2)
        assert client.received == [("IN", "before"), ("IN", "after")]
        assert client.connected
        await client.send("OUT", "good")
    await arrived(heard, 2)
    assert not [payload for payload in heard if b"stray" in payload]


def part(data: bytes, opcode: Opcode = Opcode.CONT) -> bytes:
    return frame(opcode, data, fin=False)


BROKEN_FRAMES = {
    "invalid UTF-8": ([frame(Opcode.TEXT, b"stray \xff")], 1007),
    "invalid UTF-8 at the end": ([frame(Opcode.TEXT, b"stray \xc3")], 1007),
    "a surrogate in UTF-8": ([frame(Opcode.TEXT, b"stray \xed\xa0\x80")], 1007),
    "invalid UTF-8 in fragments": ([part(b"stray \xe2", Opcode.TEXT), part(b"\x82"), frame(Opcode.CONT, b"x")], 1007),
    "not masked": ([frame(Opcode.TEXT, b"stray", masked=False)], 1002),
    "a reserved bit": ([frame(Opcode.TEXT, b"stray", reserved=4)], 1002),
    "an unknown opcode": ([frame(3, b"stray")], 1002),
    "a continuation of nothing": ([frame(Opcode.CONT, b"stray")], 1002),
    "a message within a message": ([part(b"stray", Opcode.TEXT), frame(Opcode.TEXT, b"stray")], 1002),
    "a fragmented ping": ([part(b"", Opcode.PING)], 1002),
    "a long ping": ([frame(Opcode.PING, bytes(126))], 1002),
    "a close code that may not be sent": ([frame(Opcode.CLOSE, (1005).to_bytes(2, "big"))], 1002),
    "half a close code": ([frame(Opcode.CLOSE, b"\x03")], 1002),
    "2 MiB": ([frame(Opcode.BINARY, b"stray" + bytes(2 * 1024 * 1024))], 1009),
    "2 MiB in fragments": ([part(b"stray", Opcode.BINARY), *[part(bytes(1024 * 1024))] * 2], 1009),
    "an exabyte, announced": ([bytes((0x82, 0xFF)) + (1 << 60).to_bytes(8, "big") + bytes(4)], 1009),
}


@pytest.mark.parametrize("name", BROKEN_FRAMES)
async def test_broken_frames(gateway: GatewayProcess, raw: OpenRaw, name: str) -> None:
    frames, code = BROKEN_FRAMES[name]
    client = await raw(gateway, "/ws/OUT")
    sending = asyncio.create_task(client.send_parts(*frames))
    assert await client.closed() == code
    await asyncio.gather(sending, return_exceptions=True)  # the gateway may have hung up before the last byte


@pytest.mark.parametrize("name", [name for name in BROKEN_FRAMES if "2 MiB" not in name])
async def test_broken_frames_of_socketio(gateway: GatewayProcess, raw: OpenRaw, name: str) -> None:
    frames, code = BROKEN_FRAMES[name]
    client = await raw(gateway, SOCKETIO)
    await client.say_connect()
    sending = asyncio.create_task(client.send_parts(*frames))
    assert await client.closed() == code
    await asyncio.gather(sending, return_exceptions=True)


NO_PACKETS = [
    "",
    "stray",
    "9",
    "4",
    "4stray",
    "47",
    "42",
    "42stray",
    '42["OUT","stray"',
    '42{"OUT":"stray"}',
    "42[]",
    '42["connect","stray"]',
    '42["disconnect","stray"]',
    '42/foo,["OUT","stray"]',
    '42["OUT",NaN]',
    '451-["OUT",{"_placeholder":true,"num":1}]',
    '45["OUT","stray"]',
    '4599-["OUT"]',
    "40",  # a second CONNECT
    "2",  # a ping, which only the server sends in Engine.IO 4
    "b!!!",
]


@pytest.mark.parametrize("packet", NO_PACKETS)
async def test_socketio_packets_that_are_none(gateway: GatewayProcess, raw: OpenRaw, packet: str) -> None:
    client = await raw(gateway, SOCKETIO)
    await client.say_connect()
    with suppress(ConnectionError):  # the gateway may hang up before the last byte
        await client.send_parts(frame(Opcode.TEXT, packet.encode()), frame(Opcode.TEXT, b'42["OUT","stray"]'))
    assert await client.closed() in (1002, 1007)


@pytest.mark.parametrize("packet", [packet for packet in NO_PACKETS if packet])
async def test_polled_packets_that_are_none(gateway: GatewayProcess, packet: str) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        url = await open_polling(http, gateway, "IN")
        await http.post(url, content=f'{packet}\x1e42["OUT","stray"]'.encode())
        answer = await http.get(url)
        while answer.is_success and not answer.text.endswith("1"):
            answer = await http.get(url)
        answer = await http.get(url)
        assert (answer.status_code, answer.json()) == (400, {"code": 1, "message": "Session ID unknown"})


async def test_an_event_before_connect(gateway: GatewayProcess, raw: OpenRaw) -> None:
    client = await raw(gateway, SOCKETIO)
    await client.send_parts(frame(Opcode.TEXT, b'42["OUT","stray"]'))
    assert await client.closed() == 1002


@pytest.mark.parametrize(
    ("query", "method", "code", "message"),
    [
        ("EIO=3&transport=polling", "GET", 5, "Unsupported protocol version"),
        ("EIO=4&transport=polling&sid=nobody", "GET", 1, "Session ID unknown"),
        ("EIO=4&transport=carrier-pigeon", "GET", 0, "Transport unknown"),
        ("EIO=4&transport=polling", "POST", 2, "Bad handshake method"),
        ("EIO=4&transport=websocket", "GET", 3, "Bad request"),
    ],
)
async def test_bad_handshakes(gateway: GatewayProcess, query: str, method: str, code: int, message: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.request(method, f"{gateway.url}/socket.io/?{query}")
    assert (answer.status_code, answer.json()) == (400, {"code": code, "message": message})


@pytest.mark.parametrize(
    "arguments",
    [(), ("stray", "stray"), ("stray", 1, b"x"), ({"stray": b"binary inside"},), ([b"stray"],)],
    ids=["none", "two", "three", "binary in an object", "binary in an array"],
)
async def test_arguments_that_are_no_payload(
    gateway: GatewayProcess, socketio: SocketIOTransport, arguments: tuple[object, ...]
) -> None:
    client = await socketio.open(gateway, "IN")
    assert error_of(await (await client.emit("OUT", *arguments))) == "bad_request"
    assert error_of(await (await client.emit("OUT", "good"))) is None


async def test_a_packet_beyond_all_limits(gateway: GatewayProcess, raw: OpenRaw) -> None:
    """More than six times max_payload and 1 KiB: that connection is closed, whatever the packet holds."""
    client = await raw(gateway, SOCKETIO)
    await client.say_connect()
    size = 6 * 1024 * 1024 + 1025
    sending = asyncio.create_task(client.send_parts(frame(Opcode.TEXT, b'42["OUT","stray'.ljust(size, b"x"))))
    assert await client.closed() == 1009
    await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize(
    ("path", "payload", "status", "code"),
    [
        ("/publish/NOWHERE", b"stray", 404, "unknown_channel"),
        ("/publish/chat.*", b"stray", 404, "unknown_channel"),
        ("/publish/IN", b"stray", 405, "wrong_direction"),
        ("/publish/sum", b"stray", 405, "wrong_direction"),
        ("/publish/OUT", b"stray" + bytes(1024 * 1024), 413, "too_large"),
        ("/publish/OUT", b"stray" + bytes(20 * 1024 * 1024), 413, "too_large"),
        ("/request/OUT", b"stray", 405, "wrong_direction"),
        ("/request/sum", b"stray" + bytes(1024 * 1024), 413, "too_large"),
        ("/request/NOWHERE", b"stray", 404, "unknown_channel"),
    ],
)
async def test_http(gateway: GatewayProcess, path: str, payload: bytes, status: int, code: str) -> None:
    assert await gateway.post(path, payload) == (status, code)


async def test_http_that_is_none(gateway: GatewayProcess) -> None:
    for junk in (
        bytes.fromhex("1603010200010001fc0303"),
        b"stray\r\n\r\n",
        b"GET / HTTP/1.1\r\nbroken\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(junk)
        writer.write_eof()
        async with asyncio.timeout(30):
            answer = await reader.read()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_sends_no_connect(
    gateway: GatewayProcess, raw: OpenRaw, peer: Peer, websocket: WebSocketTransport
) -> None:
    """It gets the open packet and no publication: what comes next is the answer to its CONNECT."""
    client = await raw(gateway, SOCKETIO + "2")
    opening = await client.receive()
    assert json.loads(bytes(opening.data)[1:])["pingInterval"] == 25000
    beside = await websocket.open(gateway, "IN2")
    await peer.publish("IN2", "for those who are connected")
    await arrived(beside.received, 1)
    await client.send_bytes(frame(Opcode.TEXT, b"40"))
    assert bytes((await client.receive()).data).startswith(b"40{")
    await peer.publish("IN2", "for both")
    assert bytes((await client.receive()).data) == b'42["IN2","for both"]'


async def test_close_reasons_are_told(gateway: GatewayProcess, raw: OpenRaw) -> None:
    client = await raw(gateway, "/ws/NOWHERE")
    closing = await client.receive()
    assert closing.opcode is Opcode.CLOSE
    close = Close.parse(bytes(closing.data))
    assert close.code == 4504
    assert "NOWHERE" in close.reason
