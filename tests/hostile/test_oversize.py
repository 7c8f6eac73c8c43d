"""Larger than may be, each thing by itself, and bombs: refused as the docs say, what is as large as may be is taken."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from typing import Any

import pytest
from websockets.frames import Opcode

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.raw import RawClient, frame
from helpers.waiting import arrived
from hostile.form import MIB
from hostile.sockets import HANDSHAKE_HEADERS, SOCKETIO_PATH, Target, read_until, send
from hostile.target import HostileGateway
from hostile.watch import Watch

#: What NATS takes at most, unless configured.
MAX_PAYLOAD = MIB
#: What one of these may add to the gateway's memory: a few times the largest that is taken.
PEAK_BYTES = 64 * MIB


def get(target: bytes, *lines: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b\r\n" % (target, b"".join(lines))


def post(target: bytes, *lines: bytes, body: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b\r\n%b" % (target, b"".join(lines), body)


def chunked(*chunks: bytes, extension: bytes = b"") -> bytes:
    parts = [b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in (*chunks, b"")]
    return post(b"/publish/OUT", b"Transfer-Encoding: chunked\r\n", body=b"".join(parts))


def of_length(length: int, body: bytes = b"") -> bytes:
    return post(b"/publish/OUT", b"Content-Length: %d\r\n" % length, body=body)


def names(count: int) -> bytes:
    return b"&".join(b"channel=chat.%d" % number for number in range(count))


#: A request, and the status that it is answered with.
HTTP: dict[str, tuple[bytes, int]] = {
    "a path of 4 KiB": (get(b"/" + b"a" * 4095), 404),
    "a longer path": (get(b"/" + b"a" * 4096), 414),
    "a query of 16 KiB": (get(b"/healthz?" + b"a" * 16 * 1024), 200),
    "a longer query": (get(b"/healthz?" + b"a" * (16 * 1024 + 1)), 414),
    "101 fields of a query": (get(b"/sse/IN?" + b"a=b&" * 101), 400),
    "a request line of 70 KB": (get(b"/healthz?" + b"a" * 70_000), 414),
    "a header of 60 KB": (get(b"/healthz", b"X: %b\r\n" % (b"a" * 60_000)), 200),
    "a header of 70 KB": (get(b"/healthz", b"X: %b\r\n" % (b"a" * 70_000)), 431),
    "70 KB of headers": (get(b"/healthz", b"X: %b\r\n" % (b"a" * 1000) * 70), 431),
    "100 headers": (get(b"/healthz", b"X: a\r\n" * 98), 200),
    "101 headers": (get(b"/healthz", b"X: a\r\n" * 99), 431),
    "101 trailers": (chunked(b"x")[:-2] + b"X: a\r\n" * 101 + b"\r\n", 431),
    "a payload of max_payload": (of_length(MAX_PAYLOAD, bytes(MAX_PAYLOAD)), 202),
    "a larger payload": (of_length(MAX_PAYLOAD + 1, bytes(MAX_PAYLOAD + 1)), 413),
    "a length of 18 digits": (of_length(10**17), 413),
    "a length of 30 digits": (of_length(10**29), 400),
    "chunks of max_payload": (chunked(bytes(MAX_PAYLOAD - 1), b"x"), 202),
    "chunks of more": (chunked(bytes(MAX_PAYLOAD), b"x"), 413),
    "a chunk's line of 2 KiB": (chunked(b"x", extension=b";" + b"a" * 2048), 400),
    "a chunk of an exabyte": (
        post(b"/publish/OUT", b"Transfer-Encoding: chunked\r\n", body=b"f" * 15 + b"\r\n" + bytes(MAX_PAYLOAD + 1)),
        413,
    ),
    "a chunk's size of 40 digits": (
        post(b"/publish/OUT", b"Transfer-Encoding: chunked\r\n", body=b"f" * 40 + b"\r\nx"),
        400,
    ),
    "a channel's name of 2 KiB": (post(b"/publish/chat." + b"a" * 2048, b"Content-Length: 0\r\n"), 404),
    "65 channels of a stream": (get(b"/sse?" + names(65)), 400),
    "a sid of 3 KiB": (get(b"/socket.io/?EIO=4&transport=polling&sid=" + b"a" * 3072), 400),
    "a polling body of 7 MiB": (b"", 413),
    "100 subprotocols": (
        b"GET /ws/OUT HTTP/1.1\r\n%bSec-WebSocket-Protocol: %b\r\n\r\n" % (HANDSHAKE_HEADERS, b",".join([b"a"] * 100)),
        400,
    ),
}


@pytest.mark.parametrize("what", HTTP)
async def test_requests(target: Target, gateway: HostileGateway, what: str) -> None:
    request, status = HTTP[what]
    if not request:
        path = (await target.polling()).encode()
        request = post(path, b"Content-Length: %d\r\n" % (7 * MIB), body=bytes(7 * MIB))
    watch = Watch(gateway)
    watch.forget_peak()
    before = watch.resident_bytes()
    assert await target.ask(request) == status
    assert watch.peak_bytes() - before < PEAK_BYTES


def announcing(size: int) -> bytes:
    """The head of a frame of that many bytes, and no more."""
    return b"\x82\xff" + size.to_bytes(8, "big") + b"mask" + b"x"


FRAMES: dict[str, tuple[bytes, int]] = {
    "a message of more than max_payload": (announcing(MAX_PAYLOAD + 1), 1009),
    "a message of an exabyte": (announcing(2**60), 1009),
    "a length with its first bit": (announcing(2**63 + 1), 1009),
    "fragments of more": (
        frame(Opcode.BINARY, bytes(MAX_PAYLOAD), fin=False) + frame(Opcode.CONT, b"x", fin=False),
        1009,
    ),
    "fragments of a byte, a million of them and more": (
        frame(Opcode.BINARY, b"x", fin=False) + frame(Opcode.CONT, b"x", fin=False) * MAX_PAYLOAD,
        1009,
    ),
    "a ping of 126 bytes": (frame(Opcode.PING, bytes(126)), 1002),
    "a ping of a mebibyte": (frame(Opcode.PING, bytes(MIB)), 1002),
    "a ping in fragments": (frame(Opcode.PING, b"x", fin=False), 1002),
    "a close with 124 bytes of reason": (frame(Opcode.CLOSE, (1000).to_bytes(2, "big") + bytes(124)), 1002),
}


@pytest.mark.parametrize("what", FRAMES)
async def test_frames(gateway: HostileGateway, what: str) -> None:
    data, code = FRAMES[what]
    await _ends(gateway, "/ws/OUT", data, code)


async def _ends(gateway: HostileGateway, path: str, data: bytes, code: int, *, connect: bool = False) -> None:
    watch = Watch(gateway)
    client = await RawClient.open(gateway, path)
    try:
        if connect:
            await client.say_connect()
        watch.forget_peak()
        before = watch.resident_bytes()
        with suppress(ConnectionError):  # it did not wait for the end
            await client.send_bytes(data)
        assert await client.closed() == code
        assert watch.peak_bytes() - before < PEAK_BYTES
    finally:
        client.close()


def event(text: str) -> bytes:
    return frame(Opcode.TEXT, text.encode())


PACKETS: dict[str, tuple[bytes, int]] = {
    "a packet of 7 MiB": (event("42" + "x" * 7 * MIB), 1009),
    "11 attachments": (
        event('4511-["OUT",' + ",".join(f'{{"_placeholder":true,"num":{n}}}' for n in range(11)) + "]"),
        1002,
    ),
    "attachments of 40 digits": (event("45" + "9" * 40 + '-["OUT",{"_placeholder":true,"num":0}]'), 1002),
    "an attachment of 7 MiB": (event('451-["OUT",{"_placeholder":true,"num":0}]') + frame(2, bytes(7 * MIB)), 1009),
    "an ack's id of 17 digits": (event("42" + "1" * 17 + '["OUT","x"]'), 1002),
    "a namespace of 300 characters": (event("40/" + "a" * 300 + ","), 1002),
    "an auth object of 70 KB": (event('40/a,{"token":"' + "a" * 70_000 + '"}'), 1002),
}


@pytest.mark.parametrize("what", PACKETS)
async def test_packets(gateway: HostileGateway, what: str) -> None:
    data, code = PACKETS[what]
    await _ends(gateway, SOCKETIO_PATH, data, code, connect=True)


#: Events that are refused, and the session goes on.
EVENTS = {
    "a payload that is too large": (f'["OUT","{"x" * (MAX_PAYLOAD + 1)}"]', b"too_large"),
    "a name of 2 KiB": (f'["chat.{"a" * 2048}","x"]', b"unknown_channel"),
    "2,000 arrays in each other": (f'["OUT",{"[" * 2000}{"]" * 2000}]', b"bad_request"),
    "100,000 arrays in each other": (f'["OUT",{"[" * 100_000}{"]" * 100_000}]', b"bad_request"),
    "20 arguments": ('["OUT"' + ',"x"' * 20 + "]", b"bad_request"),
    "a number of 400,000 digits": (f'["OUT",{"9" * 400_000}]', b""),
}


@pytest.mark.parametrize("what", EVENTS)
async def test_events(target: Target, what: str) -> None:
    text, error = EVENTS[what]
    with await target.socketio() as made:
        await send(made, event(f"427{text}"))
        assert error in await read_until(made, b"437[", b"]")
        await send(made, event('428["OUT","x"]'))
        assert b"438[true]" in await read_until(made, b"438[true]")


# -- bombs: nothing that a client sends is ever inflated

OFFERS = [
    b"permessage-deflate",
    b"permessage-deflate; client_max_window_bits; server_no_context_takeover",
    b"x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=8, permessage-bzip2",
]


@pytest.mark.parametrize("offer", OFFERS)
async def test_compression_is_not_agreed_to(target: Target, offer: bytes) -> None:
    with await target.connect() as made:
        lines = HANDSHAKE_HEADERS + b"Sec-WebSocket-Extensions: %b\r\n" % offer
        await send(made, b"GET /ws/OUT HTTP/1.1\r\n%b\r\n" % lines)
        answer = await read_until(made, b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"extensions" not in answer.lower()


@pytest.mark.parametrize(("path", "connect"), [("/ws/OUT", False), (SOCKETIO_PATH, True)])
async def test_a_compressed_frame_is_refused(gateway: HostileGateway, path: str, connect: bool) -> None:
    bomb = zlib.compress(bytes(64 * MIB), 9)[2:-4]
    await _ends(gateway, path, frame(Opcode.BINARY, bomb, reserved=4), 1002, connect=connect)


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"gzip, gzip"])
async def test_a_compressed_body_is_its_bytes(
    target: Target, gateway: HostileGateway, nats: NatsServer, coding: bytes
) -> None:
    """A coding is between client and responder: it says nothing to the gateway."""
    bomb = gzip.compress(bytes(64 * MIB), 9)
    watch = Watch(gateway)
    peer = await Peer.connect(nats.url)
    got: list[Any] = await peer.listen("OUT")
    watch.forget_peak()
    before = watch.resident_bytes()
    head = (b"Content-Encoding: %b\r\n" % coding, b"Content-Length: %d\r\n" % len(bomb))
    assert await target.ask(post(b"/publish/OUT", *head, body=bomb)) == 202
    await arrived(got, 1)
    await peer.close()
    assert got == [bomb]
    assert watch.peak_bytes() - before < 16 * MIB


async def test_a_transfer_coding_is_refused(target: Target) -> None:
    for coding in (b"gzip, chunked", b"deflate", b"gzip"):
        request = post(b"/publish/OUT", b"Transfer-Encoding: %b\r\n" % coding, body=b"1\r\nx\r\n0\r\n\r\n")
        assert await target.ask(request) in (400, 501)
