"""The splitter against the ``websockets`` library: same messages, same errors, same close codes, for every split."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol, State

from wsgw.fanout.frames import Message
from wsgw.protocols.websocket.clientframes import ClientFrames

LIMIT = 300
#: Byte streams of the long random run; WSGW_FUZZ_STREAMS sets more.
STREAMS = int(os.environ.get("WSGW_FUZZ_STREAMS", "4000"))

Heard = tuple[list[Message | tuple[str, bytes]], tuple[int, str] | None]


class Listener:
    """A library parser, and what it was heard to say."""

    def __init__(self) -> None:
        self.protocol = Protocol(SERVER, state=State.OPEN, max_size=LIMIT)
        self.heard: list[Message | tuple[str, bytes]] = []
        self._message = Message(False, b"")

    @property
    def ended(self) -> bool:
        return self.protocol.parser_exc is not None or self.protocol.close_rcvd is not None

    def feed(self, data: bytes) -> None:
        self.protocol.receive_data(data)
        for frame in self.protocol.events_received():
            assert isinstance(frame, Frame)
            data = bytes(frame.data)
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                self._message = Message(frame.opcode is Opcode.TEXT, data)
            elif frame.opcode is Opcode.CONT:
                self._message = Message(self._message.text, self._message.data + data)
            else:
                self.heard.append((frame.opcode.name, data))
                continue
            if frame.fin:
                self.heard.append(self._message)

    def result(self) -> Heard:
        close = self.protocol.close_sent
        return self.heard, None if close is None else (int(close.code), close.reason)


def by_library(chunks: Iterable[bytes]) -> Heard:
    listener = Listener()
    for chunk in chunks:
        listener.feed(chunk)
    return listener.result()


def by_splitter(chunks: Iterable[bytes]) -> Heard:
    listener = Listener()
    splitter = ClientFrames(LIMIT)
    for chunk in chunks:
        for item in [] if listener.ended else splitter.feed(chunk):
            if isinstance(item, bytes):
                listener.feed(item)
                if listener.ended:
                    break
            else:
                listener.heard.append(item)
    return listener.result()


def raw_frame(rng: random.Random) -> bytes:
    """A frame that is right more often than not, in every way a header can be written."""
    kind = rng.random()
    opcode, fin = rng.choice([1, 2]), 1
    if 0.5 < kind < 0.7:
        opcode, fin = rng.choice([0, 1, 2]), rng.choice([0, 1])
    elif 0.7 < kind < 0.9:
        opcode = rng.choice([9, 10])
    elif 0.9 < kind < 0.93:
        opcode = 8
    elif kind > 0.93:
        opcode, fin = rng.randrange(16), rng.choice([0, 1])
    size = rng.choice([0, 1, 5, 125, 126, 130, 299, 300, 301]) if rng.random() < 0.3 else rng.randrange(20)
    if opcode >= 8 and rng.random() < 0.9:
        size = min(size, rng.choice([0, 2, 2, 10, 125]))
    body = rng.randbytes(size)
    if opcode == 8 and size >= 2:
        body = rng.choice([1000, 1001, 3000, 4999, 1005, 999]).to_bytes(2, "big") + body[2:]
    first = (fin << 7) | opcode | (rng.choice([0x40, 0x10]) if rng.random() < 0.02 else 0)
    masked = 0x80 if rng.random() > 0.01 else 0
    mask = rng.randbytes(4) if masked else b""
    style = rng.random()
    if size < 126 and style < 0.95:
        head = bytes([first, size | masked])
    elif style < 0.98:
        head = bytes([first, 126 | masked]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, 127 | masked]) + size.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[i % 4] if mask else byte for i, byte in enumerate(body))


def cut(stream: bytes, rng: random.Random) -> list[bytes]:
    longest = rng.choice([1, 3, 40, len(stream) + 1])
    chunks = []
    while stream:
        size = rng.randrange(1, longest + 1)
        chunks.append(stream[:size])
        stream = stream[size:]
    return chunks


@pytest.mark.parametrize("part", range(4))
def test_random_streams(part: int) -> None:
    rng = random.Random(f"{part} of {STREAMS}")
    closes = set()
    for _ in range(STREAMS // 4):
        stream = b"".join(raw_frame(rng) for _ in range(rng.randrange(1, 12)))
        if rng.random() < 0.1:
            stream = stream[: rng.randrange(len(stream) + 1)]
        chunks = cut(stream, rng)
        expected = by_library(chunks)
        assert by_splitter(chunks) == expected, chunks
        closes.add(None if expected[1] is None else expected[1][0])
    assert {None, 1002, 1005, 1009} <= closes


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=12), max_size=12))
def test_any_bytes(chunks: Sequence[bytes]) -> None:
    chunks = [chunk for chunk in chunks if chunk]
    assert by_splitter(chunks) == by_library(chunks)


def test_simple_frames_do_not_reach_the_library() -> None:
    frames = [Frame(Opcode.TEXT, b"a"), Frame(Opcode.BINARY, b"x" * 200)]
    stream = b"".join(frame.serialize(mask=True) for frame in frames)
    messages = [Message(True, b"a"), Message(False, b"x" * 200)]
    assert ClientFrames(LIMIT).feed(stream) == messages
    splitter = ClientFrames(LIMIT)
    assert [item for byte in stream for item in splitter.feed(bytes([byte]))] == messages


#: With a first argument "without" as on a platform for which the library has no C extension.
UNMASK = """
import sys
if sys.argv[1] == "without":
    sys.modules["websockets.speedups"] = None
from wsgw.protocols.websocket import clientframes
print(type(clientframes.apply_mask).__name__)
print(clientframes.ClientFrames(100).feed(b"\\x81\\x85\\x01\\x02\\x03\\x04igohn\\x82\\x80\\x01\\x02\\x03\\x04"))
"""


@pytest.mark.parametrize(("speedups", "kind"), [("with", "builtin_function_or_method"), ("without", "function")])
def test_the_c_extension_is_used_but_not_needed(speedups: str, kind: str) -> None:
    ran = subprocess.run([sys.executable, "-c", UNMASK, speedups], capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    messages = [Message(True, b"hello"), Message(False, b"")]
    assert ran.stdout.splitlines() == [kind, repr(messages)]
