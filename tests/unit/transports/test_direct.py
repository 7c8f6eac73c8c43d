"""What only our protocol class can do, and where it must not differ from uvicorn's own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from helpers.link_server import Application, LinkServer
from helpers.raw_websocket import RawWebSocket, binary, close, more, ping, pong, serialized, text
from helpers.waiting import arrived, eventually
from wsgw.fanout.frames import MAX_REASON_BYTES, truncated
from wsgw.transports import direct as module
from wsgw.transports.direct import DirectProtocol

Served = Any  # of the conftest


class TestClosingHandshake:
    @pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1013, "NATS is away"), (4503, "no"), (1000, "é" * 100)])
    async def test_held_back_until_the_receiver_answers(self, direct: Served, code: int, reason: str) -> None:
        client, receiver = await direct.open()
        receiver.answers = False
        await client.send(text("x"), close(1000, "done"))
        assert await receiver.until("close") == ("close", 1000, "done")
        await asyncio.sleep(0.02)
        receiver.link.close(code, reason)
        assert await client.receive_close() == (code, truncated(reason))  # an echo would have come first
        await client.end()
        assert await receiver.until("lost") == ("lost", code)

    @pytest.mark.parametrize("at_once", [False, True])
    async def test_a_ping_before_the_close_is_answered(self, direct: Served, at_once: bool) -> None:
        client, receiver = await direct.open()
        receiver.answers = at_once
        await client.send(ping(b"p"), close(1000))
        assert await client.receive() == pong(b"p")
        receiver.link.close(1000)
        assert (await client.receive_close())[0] == 1000

    async def test_what_was_written_before_the_answer_comes_before_it(self, direct: Served) -> None:
        client, receiver = await direct.open()
        receiver.answers = False
        await client.send(close(1000))
        await receiver.until("close")
        receiver.write("last")
        receiver.link.close(1000)
        assert await client.receive() == text("last")
        assert (await client.receive_close())[0] == 1000

    async def test_nothing_is_heard_after_the_clients_close(self, direct: Served) -> None:
        client, receiver = await direct.open()
        receiver.answers = False
        await client.send(close(1000), text("late"), ping(b"late"))
        await receiver.until("close")
        await client.send(text("later"))
        receiver.link.close(1000)
        assert (await client.receive_close())[0] == 1000
        await receiver.until("lost")
        assert receiver.messages == []

    async def test_the_client_does_not_wait_for_the_answer(self, direct: Served) -> None:
        client, receiver = await direct.open()
        receiver.answers = False
        await client.send(close(1000))
        await receiver.until("close")
        client.close()
        assert await receiver.until("lost") == ("lost", 1006)
        receiver.link.close(1000)

    async def test_both_close_at_once(self, direct: Served) -> None:
        client, receiver = await direct.open()
        receiver.link.close(4001, "mine")
        await client.send(close(4002, "yours"))
        assert await client.receive_close() == (4001, "mine")
        await client.end()
        assert await receiver.until("lost") == ("lost", 4001)

    async def test_the_answer_to_a_client_that_does_not_read(
        self, direct: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "CLOSE_TIMEOUT_SECONDS", 0.2)
        client, receiver = await direct.open(receive_buffer_bytes=4096)
        receiver.answers = False
        while "paused" not in receiver.names():
            receiver.write(b"x" * 50_000)
            await asyncio.sleep(0)
        await client.send(close(1000))
        await receiver.until("close")
        receiver.link.close(1000)
        assert await receiver.until("lost") == ("lost", 1000)


class TestServerStop:
    async def test_clients_get_1001(self, direct: Served) -> None:
        client, receiver = await direct.open()
        stopping = asyncio.get_running_loop().create_task(direct.server.stop())
        assert (await client.receive_close())[0] == 1001
        await client.send(close(1001))
        await stopping
        assert receiver.events == [("lost", 1001)]

    async def test_one_that_waits_for_its_accept_is_refused(self, direct: Served) -> None:
        direct.application.may_accept.clear()
        client = await direct.client()
        await direct.application.asked.wait()
        stopping = asyncio.get_running_loop().create_task(direct.server.stop())
        assert (await client.shake_hands()).status_code == 500
        direct.application.may_accept.set()
        await stopping


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
