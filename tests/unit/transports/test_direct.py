"""What only our protocol class can do, and where it must not differ from uvicorn's own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from helpers.link_server import Application, LinkServer, Recorder
from helpers.metrics import value
from helpers.raw_websocket import RawWebSocket, binary, close, more, ping, pong, serialized, text
from helpers.waiting import arrived, eventually
from wsgw.errors import FLOOD, NO_MEMORY
from wsgw.fanout.frames import MAX_REASON_BYTES, Message, truncated
from wsgw.shares import slices
from wsgw.transports import direct as module
from wsgw.transports.direct import DirectProtocol

Served = Any  # of the conftest


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


async def opened(direct: Served) -> tuple[RawWebSocket, Recorder, DirectProtocol]:
    client, receiver = await direct.open()
    assert isinstance(receiver.link, DirectProtocol)
    return client, receiver, receiver.link


CHUNK = Recorder.messages_at_a_time


class TestSlices:
    """``slow``: what a read brings is worked off a chunk at a time, as if the clock ran out with each."""

    @pytest.fixture(autouse=True)
    def slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)
        monkeypatch.setattr(slices, "LEAST_SECONDS", 0.0)
        monkeypatch.setattr(slices, "TICK_SECONDS", 60.0)  # a machine that stands still for a while spends none

    async def test_a_read_of_many_frames(self, direct: Served) -> None:
        client, receiver, protocol = await opened(direct)
        data = serialized([text(str(number)) for number in range(3 * CHUNK + 1)])
        protocol.data_received(data[:-1])
        assert len(receiver.messages) == CHUNK
        assert not protocol.transport.is_reading()
        assert direct.server.edge.memory.used_bytes == len(data) - 1
        protocol.data_received(data[-1:])  # which a transport may have read before
        for number in (2, 3):
            await asyncio.sleep(0)
            assert len(receiver.messages) == number * CHUNK
            assert not protocol.transport.is_reading()
        await asyncio.sleep(0)
        assert receiver.messages == [Message(True, b"%d" % number) for number in range(3 * CHUNK + 1)]
        assert protocol.transport.is_reading()
        assert direct.server.edge.memory.used_bytes == 0
        await client.send(text("next"))
        await arrived(receiver.messages, 3 * CHUNK + 2)

    async def test_a_chunk_asks_no_clock(self, direct: Served) -> None:
        _, receiver, protocol = await opened(direct)
        protocol.data_received(serialized([text("x")] * CHUNK))
        assert len(receiver.messages) == CHUNK
        assert protocol.transport.is_reading()

    @pytest.mark.parametrize("paused", [False, True])
    async def test_after_a_large_read_others_get_their_turn(self, direct: Served, paused: bool) -> None:
        client, receiver, protocol = await opened(direct)
        is_reading = protocol.transport.is_reading
        protocol.data_received(serialized([binary(bytes(module.LARGE_READ_BYTES // 2))]))
        assert is_reading()
        protocol.data_received(serialized([binary(bytes(2 * module.LARGE_READ_BYTES))]))
        assert not is_reading()
        assert len(receiver.messages) == 2
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
        await arrived(receiver.messages, 3)

    async def test_once_the_tick_is_spent_what_comes_waits_for_its_turn(
        self, direct: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The last byte of a message is as dear as all of it, and small ones of many clients are as one large."""
        _, receiver, protocol = await opened(direct)
        whole = serialized([binary(bytes(module.LARGE_READ_BYTES))])
        protocol.data_received(whole[:100])
        monkeypatch.setattr(slices.Slices, "spent", lambda _: True)
        protocol.data_received(whole[100:-1])
        assert protocol.transport.is_reading(), "there is nothing that could wait"
        protocol.data_received(whole[-1:])
        assert not receiver.messages
        assert not protocol.transport.is_reading()
        assert direct.server.edge.memory.used_bytes >= len(whole)
        await arrived(receiver.messages, 1)
        assert protocol.transport.is_reading()
        protocol.data_received(serialized([text("small")]))
        assert len(receiver.messages) == 1
        await arrived(receiver.messages, 2)
        assert direct.server.edge.memory.used_bytes == 0

    async def test_clients_take_turns(self, direct: Served) -> None:
        heard: list[int] = []
        protocols = []
        for number in range(3):
            _, receiver, protocol = await opened(direct)
            receiver.on_message = lambda message, number=number: heard.append(number)  # type: ignore[misc]
            protocols.append(protocol)
        for protocol in protocols:
            protocol.data_received(serialized([text("x")] * 3 * CHUNK))
        await eventually(lambda: len(heard) == 9 * CHUNK, "all is worked off")
        assert heard[::CHUNK] == [0, 1, 2] * 3

    async def test_a_receiver_that_pauses_gets_no_further_chunk(self, direct: Served) -> None:
        _, receiver, protocol = await opened(direct)
        receiver.on_message = lambda message: protocol.pause_reading()
        protocol.data_received(serialized([text("x")] * 5 * CHUNK))
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(receiver.messages) == CHUNK
        assert direct.server.edge.memory.used_bytes > 0
        protocol.resume_reading()
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(receiver.messages) == 2 * CHUNK  # as it has paused again
        receiver.on_message = lambda message: None
        protocol.resume_reading()
        protocol.resume_reading()
        assert not protocol.transport.is_reading()
        await arrived(receiver.messages, 5 * CHUNK)
        assert protocol.transport.is_reading()
        assert direct.server.edge.memory.used_bytes == 0

    async def test_a_receiver_that_closes_hears_nothing_more(self, direct: Served) -> None:
        client, receiver, protocol = await opened(direct)
        protocol.data_received(serialized([text("x")] * (3 * CHUNK + 1) + [close(4000)]))
        protocol.close(4000)
        assert (await client.receive_close())[0] == 4000
        await client.end()  # the client's answer was among what waited
        await receiver.until("lost")
        assert receiver.events == [("message", True, b"x")] * CHUNK + [("lost", 4000)]

    @pytest.mark.parametrize("how", ["abort", "evict", "lost"])
    async def test_what_waits_ends_with_the_connection(self, direct: Served, how: str) -> None:
        client, receiver, protocol = await opened(direct)
        protocol.data_received(serialized([text("x")] * 3 * CHUNK))
        if how == "lost":
            protocol.transport.abort()
            await receiver.until("lost")
        else:
            getattr(protocol, how)()
            assert len(receiver.messages) == CHUNK
            assert direct.server.edge.memory.used_bytes == 0
        if how == "evict":
            assert await client.receive_close() == (4008, NO_MEMORY.summary)
        await client.end()
        await receiver.until("lost")
        await eventually(lambda: not len(direct.server.edge.slices), "nothing queues")
        assert direct.server.edge.memory.used_bytes == 0

    async def test_what_comes_behind_the_end_takes_its_turn_too(
        self, direct: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is read for a while so that the close is not lost, but not faster than others let it."""
        client, receiver, protocol = await opened(direct)
        protocol.evict()
        protocol.data_received(bytes(100_000))
        assert protocol.transport.is_reading()
        monkeypatch.setattr(slices.Slices, "spent", lambda _: True)
        protocol.data_received(bytes(100_000))
        assert not protocol.transport.is_reading()
        await eventually(protocol.transport.is_reading, "others had their turn")
        assert await client.receive_close() == (4008, NO_MEMORY.summary)
        await client.end()
        assert await receiver.until("lost") == ("lost", 4008)

    async def test_a_violation_after_what_waits(self, direct: Served) -> None:
        client, receiver, protocol = await opened(direct)
        protocol.data_received(serialized([text("x")] * 2 * CHUNK + [more(b"y"), text("late")]))
        assert (await client.receive_close())[0] == 1002
        assert len(receiver.messages) == 2 * CHUNK
        client.close()
        assert await receiver.until("lost") == ("lost", 1002)

    async def test_a_fault_of_ours_ends_it(self, direct: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        _, receiver, protocol = await opened(direct)
        protocol.data_received(serialized([text("x")] * 3 * CHUNK))
        monkeypatch.setattr(DirectProtocol, "_take", None)
        assert await receiver.until("lost") == ("lost", 1006)


async def test_pings_are_answered_to_those_who_read(direct: Served) -> None:
    client, _, protocol = await opened(direct)
    protocol.pause_writing()
    protocol.data_received(serialized([ping(b"1")]))
    protocol.resume_writing()
    protocol.data_received(serialized([ping(b"2")]))
    assert await client.receive() == pong(b"2")


async def test_pings_are_answered_in_their_order_among_messages(direct: Served) -> None:
    client, receiver, protocol = await opened(direct)
    receiver.on_message = lambda message: receiver.write(b"echo " + message.data)
    message = [text("b", fin=False), ping(b"2"), more(b"c"), ping(b"3"), ping(b"4"), text("d")]
    protocol.data_received(serialized([text("a"), ping(b"1"), *message]))
    wanted = [binary(b"echo a"), pong(b"1"), pong(b"2"), binary(b"echo bc"), pong(b"3"), pong(b"4"), binary(b"echo d")]
    assert [await client.receive() for _ in wanted] == wanted


class TestFloods:
    @pytest.mark.parametrize("frame", [ping(b"x"), pong(), more(b"", fin=False)])
    @pytest.mark.parametrize(("each_second", "closed"), [(101, True), (100, False)])
    async def test_frames_that_say_nothing(
        self, direct: Served, monkeypatch: pytest.MonkeyPatch, frame: Frame, each_second: int, closed: bool
    ) -> None:
        client, receiver, protocol = await opened(direct)
        now = [1000.0]
        monkeypatch.setattr(module, "monotonic", lambda: now[0])
        protocol.data_received(serialized([text("x", fin=False)]))
        for _ in range(6 if closed else 60):
            now[0] += 1.0
            protocol.data_received(serialized([frame] * each_second))
            await asyncio.sleep(0)  # a tick has only so much time for all that
        if closed:
            found = await client.receive()
            while found.opcode is Opcode.PONG:
                found = await client.receive()
            assert found == close(1008, FLOOD.summary)
            await client.end()
            assert await receiver.until("lost") == ("lost", 1008)
        else:
            protocol.data_received(serialized([more(b"y")]))
            assert receiver.messages == [Message(True, b"xy")]
        assert value(direct.server.metrics, "wsgw_rejected_total", reason="flood") == closed

    async def test_empty_messages_and_the_empty_ends_of_others_say_something(
        self, direct: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, receiver, protocol = await opened(direct)
        now = [1000.0]
        monkeypatch.setattr(module, "monotonic", lambda: now[0])
        for _ in range(20):
            now[0] += 1.0
            for _ in range(4):
                protocol.data_received(serialized([text(""), text("x", fin=False), more(b"")] * 50))
                await asyncio.sleep(0)
        await arrived(receiver.messages, 20 * 4 * 100)
        assert len(receiver.messages) == 20 * 4 * 100
        assert not protocol.close_sent
