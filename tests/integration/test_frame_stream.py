"""A client's bytes may be cut anywhere on their way: what NATS gets is the same."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.frames import Close, Opcode

from helpers.gateway import GatewayProcess
from helpers.peer import Peer
from helpers.raw import OpenRaw, frame
from helpers.waiting import arrived

fast = settings(
    max_examples=60,
    deadline=None,
    # what the fixtures give is shared by all examples on purpose
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Stream(NamedTuple):
    """The frames of one client as bytes; the messages in them, and the pings' data."""

    data: bytes
    messages: list[bytes]
    pings: list[bytes]


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Messages of 0 to 70,000 bytes, in one frame or in fragments with pings between, and a close at the end."""
    data, messages, pings = bytearray(), [], []
    for _ in range(draw(st.integers(0, 8))):
        is_text = draw(st.booleans())
        payload = draw(st.text(max_size=40)).encode() if is_text else draw(st.binary(max_size=40))
        payload *= draw(st.sampled_from([1, 1, 1, 4, 400, 1700]))
        messages.append(payload)
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        bounds = list(pairwise([0, *cuts, len(payload)]))
        for number, (start, end) in enumerate(bounds):
            opcode = Opcode.CONT if number else Opcode.TEXT if is_text else Opcode.BINARY
            data += frame(opcode, payload[start:end], fin=number == len(bounds) - 1)
            if draw(st.booleans()):
                pings.append(draw(st.binary(max_size=125)))
                data += frame(Opcode.PING, pings[-1])
    data += frame(Opcode.CLOSE, Close(1000, "").serialize())
    return Stream(bytes(data), messages, pings)


@given(stream=streams(), cuts=st.lists(st.floats(0, 1), max_size=12))
@fast
async def test_any_cut_of_a_stream(
    gateway: GatewayProcess, peer: Peer, raw: OpenRaw, stream: Stream, cuts: list[float]
) -> None:
    heard = await peer.listen("OUT")
    places = sorted({int(cut * len(stream.data)) for cut in cuts})
    client = await raw(gateway, "/ws/OUT")
    sending = asyncio.create_task(
        client.send_parts(*(stream.data[start:end] for start, end in pairwise([0, *places, len(stream.data)])))
    )
    pongs = []
    while (answer := await client.receive()).opcode is Opcode.PONG:
        pongs.append(bytes(answer.data))
    await sending
    assert answer.opcode is Opcode.CLOSE
    assert Close.parse(bytes(answer.data)).code == 1000
    assert pongs == stream.pings
    await arrived(heard, len(stream.messages))
    assert heard == stream.messages
    client.close()


@given(junk=st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=4))
@fast
async def test_any_junk(gateway: GatewayProcess, raw: OpenRaw, junk: list[bytes]) -> None:
    """Whatever it is, the connection ends or waits for more, and the gateway goes on."""
    for path in ("/ws/OUT2", "/socket.io/?EIO=4&transport=websocket&channels=IN2"):
        client = await raw(gateway, path)
        with suppress(ConnectionError):  # the gateway may hang up before the last byte
            await client.send_parts(*junk)
        client.close()
    assert gateway.readiness()[0] == 200
