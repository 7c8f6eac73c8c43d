"""A client's WebSocket frames."""

from __future__ import annotations

import random

from websockets.frames import Frame, Opcode

from fuzz.target import Target, cut, plain
from wsgw.fanout.frames import Message
from wsgw.protocols.websocket.clientframes import ClientFrames, Control

LIMIT = 300

Taken = tuple[list[Message | Control], bytes | None]


def take(pieces: list[bytes], most: int) -> Taken:
    """Messages and control frames, and from where on the rest is for a full parser (None: nothing is)."""
    splitter = ClientFrames(LIMIT)
    found: list[Message | Control] = []
    ending: bytes | None = None
    for piece in pieces:
        if ending is not None:
            ending += piece
            continue
        items = splitter.feed(piece, most)
        while True:
            for item in items:
                if isinstance(item, bytes):
                    ending = item
                else:
                    assert len(item.data) <= LIMIT
                    found.append(item)
            assert splitter.kept_bytes >= 0
            if ending is not None or not splitter.unread:
                break
            items = splitter.feed(b"", most)
    return found, ending


def frames(data: bytes) -> None:
    whole = take([data], 100)
    assert take(cut(data), 2) == whole


def _seed(*frames: Frame) -> bytes:
    random.seed(1)
    return b"".join(frame.serialize(mask=True) for frame in frames)


TARGETS = (
    Target(
        "frames",
        plain(frames),
        (
            _seed(Frame(Opcode.TEXT, b"hello"), Frame(Opcode.PING, b"x"), Frame(Opcode.BINARY, bytes(200))),
            _seed(Frame(Opcode.TEXT, b"a", False), Frame(Opcode.PONG, b""), Frame(Opcode.CONT, b"b")),
            _seed(Frame(Opcode.BINARY, bytes(126)), Frame(Opcode.CLOSE, b"\x03\xe8bye")),
        ),
        (
            *(b"\x81\x80\0\0\0\0", b"\x82\xfe\0\x7e", b"\x82\xff\0\0\0\0\0\0\0\x01", b"\x01\x80\0\0\0\0", b"\x80\x80"),
            *(b"\x89\x80\0\0\0\0", b"\x8a\x81", b"\x88\x82\0\0\0\0\x03\xe8", b"\xff\xff\xff\xff\xff\xff\xff\xff"),
        ),
    ),
)
