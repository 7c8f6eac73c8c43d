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
from wsgw.protocols.websocket.clientframes import CONTINUATION, LARGE_FRAME_BYTES, OBJECT_BYTES, ClientFrames, Control

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

    def take_over(self, splitter: ClientFrames) -> None:
        self.protocol.current_size = splitter.fragments_bytes


def by_library(chunks: Iterable[bytes]) -> Heard:
    listener = Listener()
    for chunk in chunks:
        listener.feed(chunk)
    return listener.result()


def by_splitter(chunks: Iterable[bytes], most: int) -> Heard:
    listener = Listener()
    splitter = ClientFrames(LIMIT)
    ending = False
    for chunk in chunks:
        if ending:
            if not listener.ended:
                listener.feed(chunk)
            continue
        items = splitter.feed(chunk, most)
        while True:
            assert len(items) <= most
            for item in items:
                assert not ending, "something comes after the bytes"
                if isinstance(item, bytes):
                    ending = True
                    listener.take_over(splitter)
                    listener.feed(item)
                elif isinstance(item, Message):
                    listener.heard.append(item)
                elif item.opcode != CONTINUATION:
                    listener.heard.append((Opcode(item.opcode).name, item.data))
            if ending or not splitter.unread:
                break
            items = splitter.feed(b"", most)
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
        assert by_splitter(chunks, rng.choice([1, 2, 100])) == expected, chunks
        closes.add(None if expected[1] is None else expected[1][0])
    assert {None, 1002, 1005, 1009} <= closes


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=12), max_size=12), st.integers(1, 4))
def test_any_bytes(chunks: Sequence[bytes], most: int) -> None:
    chunks = [chunk for chunk in chunks if chunk]
    assert by_splitter(chunks, most) == by_library(chunks)


def test_simple_frames_do_not_reach_the_library() -> None:
    frames = [Frame(Opcode.TEXT, b"a"), Frame(Opcode.BINARY, b"x" * 200)]
    stream = b"".join(frame.serialize(mask=True) for frame in frames)
    messages = [Message(True, b"a"), Message(False, b"x" * 200)]
    assert ClientFrames(LIMIT).feed(stream, 10) == messages
    splitter = ClientFrames(LIMIT)
    assert [item for byte in stream for item in splitter.feed(bytes([byte]), 1)] == messages


@pytest.mark.parametrize("size", [LARGE_FRAME_BYTES, LARGE_FRAME_BYTES + 1, 2**16])
def test_behind_a_large_frame_there_are_others_turns(size: int) -> None:
    frames = ClientFrames(2**20)
    stream = b"".join(Frame(Opcode.BINARY, bytes(n)).serialize(mask=True, extensions=[]) for n in (1, size, 1, 1))
    large = size > LARGE_FRAME_BYTES
    assert len(frames.feed(stream, 16)) == (2 if large else 4)
    assert frames.unread is large
    assert len(frames.feed(b"", 16)) == (2 if large else 0)


def fragments(*parts: bytes) -> bytes:
    """A message of text in ``parts``."""
    opcodes = [Opcode.TEXT, *[Opcode.CONT] * (len(parts) - 1)]
    frames = [Frame(opcode, part, fin=False) for opcode, part in zip(opcodes, parts, strict=True)]
    frames[-1].fin = True
    return b"".join(frame.serialize(mask=True) for frame in frames)


def test_empty_fragments_are_told_as_they_are_endless_for_nothing() -> None:
    told = ClientFrames(LIMIT).feed(fragments(b"", b"a", b"", b"", b"b", b""), 10)
    assert told == [*[Control(CONTINUATION, b"")] * 3, Message(True, b"ab")]


def test_a_fragment_may_be_as_long_as_a_message() -> None:
    for parts in ((b"x" * LIMIT, b""), (b"", b"x" * LIMIT)):
        assert ClientFrames(LIMIT).feed(fragments(*parts), 10)[-1] == Message(True, b"x" * LIMIT)


def test_what_is_kept_is_counted() -> None:
    splitter = ClientFrames(LIMIT)
    stream = fragments(b"x" * 100, b"y" * 100, b"z")
    first, rest = stream[:106], stream[106:]
    assert splitter.feed(first[:50], 10) == []
    assert splitter.kept_bytes == 50
    assert splitter.feed(first[50:], 10) == []
    assert splitter.kept_bytes == OBJECT_BYTES + 100
    assert splitter.feed(rest[:10], 10) == []
    assert splitter.kept_bytes == OBJECT_BYTES + 110
    assert splitter.feed(rest[10:], 10) == [Message(True, b"x" * 100 + b"y" * 100 + b"z")]
    assert splitter.kept_bytes == 0
    two = b"".join(Frame(Opcode.TEXT, b"a").serialize(mask=True) for _ in range(2))
    assert splitter.feed(two, 1) == [Message(True, b"a")]
    assert splitter.kept_bytes == len(two), "what is not looked at yet"
    assert splitter.feed(b"", 1) == [Message(True, b"a")]
    assert splitter.kept_bytes == 0


#: With a first argument "without" as on a platform for which the library has no C extension.
UNMASK = """
import sys
if sys.argv[1] == "without":
    sys.modules["websockets.speedups"] = None
from wsgw.protocols.websocket import clientframes
print(type(clientframes.apply_mask).__name__)
print(clientframes.ClientFrames(100).feed(b"\\x81\\x85\\x01\\x02\\x03\\x04igohn\\x82\\x80\\x01\\x02\\x03\\x04", 10))
"""


@pytest.mark.parametrize(("speedups", "kind"), [("with", "builtin_function_or_method"), ("without", "function")])
def test_the_c_extension_is_used_but_not_needed(speedups: str, kind: str) -> None:
    ran = subprocess.run([sys.executable, "-c", UNMASK, speedups], capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    messages = [Message(True, b"hello"), Message(False, b"")]
    assert ran.stdout.splitlines() == [kind, repr(messages)]
