"""The short way through NATS' protocol: messages handed over whole, all else left to the library, for every split."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError

from wsgw.broker.parser import MAX_LINE_BYTES, DirectParser

LINES = [
    b"MSG a.b 1 3\r\nx\r\n\r\n",
    b"MSG a 1 _INBOX.r 0\r\n\r\n",
    b"PING\r\n",
    b"MSG other 2 2\r\nhi\r\n",
    b"HMSG h 1 12 15\r\nNATS/1.0\r\n\r\nabc\r\n",
    b"PONG\r\n",
    b"+OK\r\n",
    b"-ERR 'Permissions Violation for Publish to \"X\"'\r\n",
    b"-ERR 'Slow Consumer'\r\n",
    b'INFO {"a": 1}\r\n',
    b"MSG  a.c\t1  4\r\nMSG \r\n",
]
DIRECT = [(b"a.b", b"x\r\n"), (b"a", b""), (b"h", b"abc"), (b"a.c", b"MSG ")]
LIBRARY = ["ping", (2, b"other", b"hi"), "pong", "X", "slow consumer", {"a": 1}]


class Client:
    """What nats-py's parser asks of its client."""

    def __init__(self) -> None:
        self.told: list[object] = []

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        self.told.append((sid, subject, data))

    async def _process_ping(self) -> None:
        self.told.append("ping")

    async def _process_pong(self) -> None:
        self.told.append("pong")

    async def _process_err(self, text: str) -> None:
        self.told.append(text.strip("'").partition(" for")[0])

    async def _process_info(self, info: object) -> None:
        self.told.append(info)


async def parsed(chunks: list[bytes]) -> tuple[list[tuple[bytes, bytes]], list[object]]:
    client, direct = Client(), list[tuple[bytes, bytes]]()
    parser = DirectParser(client, lambda refusal: client.told.append(refusal.subject))  # type: ignore[arg-type]  # as much of a client as it uses
    parser.direct[b"1"] = lambda subject, payload: direct.append((subject, payload))
    for chunk in chunks:
        await parser.parse(chunk)
    return direct, client.told


@given(st.lists(st.integers(0, sum(map(len, LINES))), max_size=8))
async def test_every_split(cuts: list[int]) -> None:
    stream = b"".join(LINES)
    places = sorted({0, *cuts, len(stream)})
    chunks = [stream[a:b] for a, b in pairwise(places)]
    assert await parsed(chunks) == (DIRECT, LIBRARY)


async def test_byte_by_byte() -> None:
    assert await parsed([bytes([byte]) for byte in b"".join(LINES)]) == (DIRECT, LIBRARY)


@pytest.mark.parametrize("line", [b"MSG a 1 x\r\n", b"MSG \r\n", b"NONSENSE\r\n", b"x" * (MAX_LINE_BYTES + 1)])
async def test_what_is_no_protocol(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        await parsed([line])
