"""What only our protocol class can do, and where it must not differ from uvicorn's own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from helpers.link_server import Application, LinkServer
from helpers.raw_websocket import RawWebSocket, binary, close, more, serialized, text
from helpers.waiting import arrived, eventually
from wsgw.fanout.frames import MAX_REASON_BYTES, truncated
from wsgw.transports import direct as module
from wsgw.transports.direct import DirectProtocol

Served = Any  # of the conftest


class TestBeforeTheAccept:
    async def held(self, direct: Served, data: bytes) -> RawWebSocket:
        """A client that sent ``data`` before it was accepted, as the base class sees it."""
        direct.application.may_accept.clear()
        client: RawWebSocket = await direct.client()
        await direct.application.asked.wait()
        await client.send_bytes(data)
        connections = direct.server.uvicorn.server_state.connections
        await eventually(
            lambda: all(
                protocol.queue.qsize() or protocol.frames or protocol.close_sent
                for protocol in connections
                if isinstance(protocol, DirectProtocol)
            ),
            "the server has read it",
        )
        direct.application.may_accept.set()
        return client

    async def test_a_fragment_is_completed_after(self, direct: Served) -> None:
        client = await self.held(direct, serialized([text("early "), text("a", fin=False)]))
        await client.send(more(b"b"), text("c"))
        receiver = await direct.application.receiver()
        await arrived(receiver.messages, 3)
        assert [message.data for message in receiver.messages] == [b"early ", b"ab", b"c"]

    async def test_a_message_and_a_close(self, direct: Served) -> None:
        client = await self.held(direct, serialized([text("x"), close(1000)]))
        await client.end()
        await eventually(lambda: direct.application.failures or direct.application.receivers, "the end")
        for receiver in direct.application.receivers:
            assert (await receiver.until("lost"))[0] == "lost"

    async def test_a_violation(self, direct: Served) -> None:
        client = await self.held(direct, serialized([text("x"), more(b"y")]))
        await client.end()
        await eventually(lambda: direct.application.failures or direct.application.receivers, "the end")
        for receiver in direct.application.receivers:
            await receiver.until("lost")


@pytest.mark.parametrize("reason", ["", "x" * 123, "x" * 124, "é" * 100, "x" + "😀" * 50])
def test_truncated(reason: str) -> None:
    cut = truncated(reason)
    assert reason.startswith(cut)
    assert MAX_REASON_BYTES - 3 <= len(cut.encode()) <= MAX_REASON_BYTES or cut == reason


# valid UTF-8 only: at wrong text uvicorn's own class fails itself
payloads = st.text("aé", max_size=4).map(str.encode) | st.just(b"x" * 200)
frames = st.builds(
    Frame,
    st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.CONT, Opcode.PING, Opcode.PONG]),
    payloads,
    st.booleans(),
)
scripts = st.lists(frames, max_size=12)


def valid(script: list[Frame]) -> list[bytes]:
    """The script as bytes, control frames mended so that only messages and their fragments can be wrong."""
    return [
        Frame(frame.opcode, frame.data[:125], True).serialize(mask=True)
        if frame.opcode in (Opcode.PING, Opcode.PONG)
        else frame.serialize(mask=True)
        for frame in script
    ]


async def heard(direct: bool, sends: list[bytes]) -> tuple[list[Any], list[tuple[Opcode, bytes]]]:
    """Messages that the receiver hears, and pongs and close code that the client gets."""
    application = Application()
    server = LinkServer(application, direct=direct, ws_ping_interval=None)
    await server.start()
    client = RawWebSocket(server.port)
    try:
        await client.connect()
        await client.shake_hands()
        receiver = await application.receiver()
        for data in sends:
            await client.send_bytes(data)
        got = []
        while True:
            frame = await client.receive()
            got.append((frame.opcode, bytes(frame.data[:2] if frame.opcode is Opcode.CLOSE else frame.data)))
            if frame.opcode is Opcode.CLOSE:
                break
        client.close()
        await receiver.until("lost")
        return receiver.messages, got
    finally:
        client.close()
        await server.stop()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scripts, st.booleans())
@example([Frame(Opcode.PING, b"")], True)
def test_both_ways_hear_the_same(script: list[Frame], in_one_piece: bool) -> None:
    sends = [*valid(script), serialized([close(1000)])]
    if in_one_piece:
        sends = [b"".join(sends)]
    fast, slow = asyncio.run(heard(True, sends)), asyncio.run(heard(False, sends))
    assert fast[1] == slow[1]
    # the base class forgets messages that came in one piece with a violation; ours delivers them
    assert fast[0][: len(slow[0])] == slow[0]
    if fast[1][-1][1] == (1000).to_bytes(2, "big"):
        assert fast[0] == slow[0]


@pytest.mark.parametrize("paused", [False, True])
async def test_after_a_large_read_others_get_their_turn(direct: Served, paused: bool) -> None:
    client, receiver = await direct.open()
    protocol = receiver.link
    assert isinstance(protocol, DirectProtocol)
    is_reading = protocol.transport.is_reading
    protocol.data_received(serialized([binary(bytes(module.LARGE_READ_BYTES // 2))]))
    assert is_reading()
    protocol.data_received(serialized([binary(bytes(1000))] * 100))
    assert not is_reading()
    assert len(receiver.messages) == 101
    if paused:
        protocol.pause_reading()
    protocol.resume_reading()
    assert not is_reading()
    if paused:
        protocol.pause_reading()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert is_reading() is not paused
    protocol.resume_reading()
    await client.send(text("still here"))
    await arrived(receiver.messages, 102)
