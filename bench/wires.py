"""What a client of each system says and hears inside WebSocket frames."""

from __future__ import annotations

import json
from collections.abc import Generator

from bench.frames import BINARY, TEXT

#: Yields what to send (maybe nothing) and is given one frame's content for it; returns when deliveries may come.
Greeting = Generator[bytes, bytes, None]

FIRST_ID = 1_000_000


class Wire:
    """Plain WebSocket, one channel per connection, a frame is a payload: wsgw's ``/ws/`` and the FastAPI bridge."""

    opcode = TEXT
    #: Within TLS; see ``tls``.
    secure = False
    #: Every delivery is one frame of its own, so deliveries can be counted by bytes alone.
    fixed = True
    #: Where not fixed: bytes between two deliveries that share a frame.
    separator = 0
    #: The server's heartbeat as it stands in a frame, and its answer; empty where WebSocket pings are the heartbeat.
    heartbeat, heartbeat_answer = b"", b""

    def path(self, channel: str) -> str:
        """The request target."""
        return f"/ws/{channel}"

    def greet(self, channel: str, subscribe: bool) -> Greeting:
        """The conversation between the upgrade and the first delivery, with a subscription to ``channel`` if asked."""
        yield from ()

    def delivery(self, channel: str, payload: bytes) -> bytes:
        """A delivery's content, for its size."""
        return payload

    def publish(self, channel: str, payload: bytes, number: int | None) -> bytes:
        """A frame's content that publishes; with ``number`` it asks for an ack, which is ``ack(number)``."""
        return payload

    def ack(self, number: int) -> bytes:
        """The content of an ack; numbers have a fixed width."""
        raise NotImplementedError

    def beats(self, frame: bytes) -> int:
        """Heartbeats in a frame."""
        return int(frame == self.heartbeat)

    def messages(self, stream: bytearray, frame: bytes) -> list[bytes]:
        """The payloads and acks that ``frame`` completes; ``stream`` is the connection's, kept between calls."""
        return [frame]


class SocketIO(Wire):
    """Socket.IO 5 over Engine.IO 4, websocket transport from the start."""

    heartbeat, heartbeat_answer = b"2", b"3"

    def path(self, channel: str) -> str:
        return "/socket.io/?EIO=4&transport=websocket"

    def greet(self, channel: str, subscribe: bool) -> Greeting:
        opened = yield b""
        if not opened.startswith(b"0{"):
            raise ValueError(f"no Engine.IO handshake: {opened!r}")
        answer = yield b"40"
        if not answer.startswith(b"40"):
            raise ValueError(f"no Socket.IO connection: {answer!r}")

    def delivery(self, channel: str, payload: bytes) -> bytes:
        return f"42{json.dumps([channel, payload.decode()], separators=(',', ':'))}".encode()

    def publish(self, channel: str, payload: bytes, number: int | None) -> bytes:
        id = "" if number is None else str(FIRST_ID + number)
        return f"42{id}{json.dumps([channel, payload.decode()], separators=(',', ':'))}".encode()

    def ack(self, number: int) -> bytes:
        return b"43%d[true]" % (FIRST_ID + number)

    def messages(self, stream: bytearray, frame: bytes) -> list[bytes]:
        if frame.startswith(b"42"):
            return [json.loads(frame[2:])[1].encode()]
        return [] if frame == self.heartbeat else [frame]


#: Of a durable channel's stream: all that follow have as many digits.
FIRST_SEQUENCE = 1_000_000_000


class ServerSentEvents(Wire):
    """wsgw's ``/sse/``: no WebSocket but an answer in chunks, each of any number of events; nothing is sent."""

    fixed = False
    #: The server's heartbeat, a chunk of its own.
    comment = b":\n\n"
    #: What each event begins with, and the stream itself, behind what says ``retry``.
    head = b""

    def path(self, channel: str) -> str:
        return f"/sse/{channel}"

    def delivery(self, channel: str, payload: bytes) -> bytes:
        return b"data: %b\n\n" % payload


class DurableEvents(ServerSentEvents):
    """The same of a durable channel: a place first, and an id with each event, here always of one length."""

    head = b"id: "

    def delivery(self, channel: str, payload: bytes) -> bytes:
        return self.head + b"1.%b-%d\n" % (b"0" * 10, FIRST_SEQUENCE) + super().delivery(channel, payload)


class Nats(Wire):
    """The NATS protocol over nats-server's WebSocket listener. A frame holds any part of the stream."""

    opcode = BINARY
    fixed = False
    heartbeat, heartbeat_answer = b"PING\r\n", b"PONG\r\n"

    def path(self, channel: str) -> str:
        return "/"

    def greet(self, channel: str, subscribe: bool) -> Greeting:
        heard = yield b""
        interest = b"SUB %s 1\r\n" % channel.encode() if subscribe else b""
        heard += yield b'CONNECT {"verbose":false,"pedantic":false,"protocol":1}\r\n' + interest + b"PING\r\n"
        while b"PONG\r\n" not in heard:
            heard += yield b""

    def delivery(self, channel: str, payload: bytes) -> bytes:
        return b"MSG %s 1 %d\r\n%s\r\n" % (channel.encode(), len(payload), payload)

    def publish(self, channel: str, payload: bytes, number: int | None) -> bytes:
        return b"PUB %s %d\r\n%s\r\n" % (channel.encode(), len(payload), payload)

    def beats(self, frame: bytes) -> int:
        return frame.count(self.heartbeat)

    def messages(self, stream: bytearray, frame: bytes) -> list[bytes]:
        stream += frame
        found = []
        while (end := stream.find(b"\r\n")) >= 0:
            if not stream.startswith(b"MSG "):
                del stream[: end + 2]  # PING, answered by who counts heartbeats
                continue
            size = int(stream[:end].rpartition(b" ")[2])
            if len(stream) < end + size + 4:
                break
            found.append(bytes(stream[end + 2 : end + 2 + size]))
            del stream[: end + size + 4]
        return found


class Centrifugo(Wire):
    """Centrifugo's bidirectional JSON protocol; replies and pushes that share a frame are lines."""

    fixed = False
    separator = 1
    heartbeat, heartbeat_answer = b"{}", b"{}"

    def path(self, channel: str) -> str:
        return "/connection/websocket"

    def greet(self, channel: str, subscribe: bool) -> Greeting:
        interest = b'\n{"id":2,"subscribe":{"channel":"%s"}}' % channel.encode() if subscribe else b""
        heard = yield b'{"id":1,"connect":{}}' + interest
        while subscribe and b'"id":2' not in heard:
            heard += yield b""
        if b'"error"' in heard:
            raise ValueError(f"refused: {heard!r}")

    def delivery(self, channel: str, payload: bytes) -> bytes:
        name = channel.encode()
        return b'{"push":{"channel":"%s","pub":{"data":%s,"channel":"%s"}}}' % (name, payload, name)

    def publish(self, channel: str, payload: bytes, number: int | None) -> bytes:
        id = FIRST_ID + (number or 0)
        return b'{"id":%d,"publish":{"channel":"%s","data":%s}}' % (id, channel.encode(), payload)

    def ack(self, number: int) -> bytes:
        return b'{"id":%d,"publish":{}}' % (FIRST_ID + number)

    def beats(self, frame: bytes) -> int:
        return frame.split(b"\n").count(self.heartbeat)

    def messages(self, stream: bytearray, frame: bytes) -> list[bytes]:
        found = []
        for line in frame.split(b"\n"):
            if line.startswith(b'{"push"'):
                found.append(line.partition(b'"data":')[2].partition(b',"channel":')[0])
            elif line != self.heartbeat:
                found.append(line)
        return found
