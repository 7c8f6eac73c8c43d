"""What our protocol class keeps of a client's messages counts, and is given back."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import pytest

from helpers.fanout import batch
from helpers.link_server import Recorder
from helpers.raw_websocket import RawWebSocket, binary, more, ping, serialized, text
from helpers.waiting import arrived, eventually
from wsgw.channels.channel import Channel, Direction
from wsgw.errors import NO_MEMORY
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.transports.direct import DirectProtocol

Served = Any  # of the conftest


async def opened(direct: Served) -> tuple[RawWebSocket, Recorder, DirectProtocol]:
    client, receiver = await direct.open()
    assert isinstance(receiver.link, DirectProtocol)
    return client, receiver, receiver.link


CHUNK = Recorder.messages_at_a_time


class TestMemory:
    async def test_what_is_not_complete_is_counted(self, direct: Served) -> None:
        _, receiver, protocol = await opened(direct)
        memory = direct.server.edge.memory
        whole = serialized([binary(bytes(100_000))])
        protocol.data_received(whole[:50_000])
        assert memory.used_bytes == protocol.held_bytes() == 50_000
        protocol.data_received(whole[50_000:60_000])
        assert memory.used_bytes == 60_000
        protocol.data_received(whole[60_000:])
        assert memory.used_bytes == 0
        protocol.data_received(serialized([binary(bytes(5000), fin=False)]))
        protocol.data_received(serialized([more(bytes(5000), fin=False), ping()]))
        assert 10_000 <= memory.used_bytes < 10_100
        protocol.data_received(serialized([more(b"")]))
        assert memory.used_bytes == 0
        assert [len(message.data) for message in receiver.messages] == [100_000, 10_000]

    async def test_tiny_fragments_cost_no_more_than_their_bytes(self, direct: Served) -> None:
        direct.application.max_message_bytes = 10**6
        _, receiver, protocol = await opened(direct)
        tracemalloc.start()
        try:
            protocol.data_received(serialized([binary(b"", fin=False)]))
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(1000):
                protocol.data_received(serialized([more(b"x", fin=False)] * CHUNK))
                await asyncio.sleep(0)  # a tick has only so much time for all that
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert after - before < 3 * 1000 * CHUNK
        protocol.data_received(serialized([more(b"")]))
        assert receiver.messages == [Message(False, b"x" * 1000 * CHUNK)]

    async def test_a_close_that_does_not_come_to_an_end(self, direct: Served) -> None:
        client, receiver, protocol = await opened(direct)
        memory = direct.server.edge.memory
        protocol.data_received(b"\xc1\xfe\xff\xff\0\0\0\0" + bytes(5000))  # no frame at all, which the library reads
        assert memory.used_bytes >= 5000
        protocol.evict()
        assert memory.used_bytes == len(protocol.conn.reader.buffer) == 0
        client.close()
        await receiver.until("lost")

    async def test_who_keeps_most_may_be_ended(self, direct: Served) -> None:
        client, receiver, protocol = await opened(direct)
        _, other_receiver, other_protocol = await opened(direct)
        memory = direct.server.edge.memory
        protocol.data_received(serialized([binary(bytes(100_000))])[:-1])
        other_protocol.data_received(serialized([binary(bytes(10_000))])[:-1])
        memory.limit_bytes = 50_000
        memory.add(0)
        assert await client.receive_close() == (4008, NO_MEMORY.summary)
        await client.end()
        assert await receiver.until("lost") == ("lost", 4008)
        other_protocol.data_received(b"x")
        await arrived(other_receiver.messages, 1)
        assert memory.used_bytes == 0

    @pytest.mark.parametrize("how", ["close", "violation", "loss"])
    async def test_nothing_is_counted_of_who_ended(self, direct: Served, how: str) -> None:
        client, receiver, protocol = await opened(direct)
        memory = direct.server.edge.memory
        await client.send(binary(bytes(5000), fin=False))
        await eventually(lambda: memory.used_bytes > 5000, "it is kept")
        if how == "close":
            protocol.close(1000)
            await client.send_bytes(b"\x80")  # the beginning of another frame
            await client.receive_close()
        elif how == "violation":
            await client.send(text("x"))
            assert (await client.receive_close())[0] == 1002
        client.close()
        await receiver.until("lost")
        assert memory.used_bytes == 0


async def test_a_client_that_pings_and_does_not_read_gets_no_pongs(direct: Served) -> None:
    _, receiver = await direct.open(receive_buffer_bytes=4096)
    protocol = receiver.link
    assert isinstance(protocol, DirectProtocol)
    while "paused" not in receiver.names():
        receiver.write(b"x" * 50_000)
        await asyncio.sleep(0)
    written = protocol.transport.get_write_buffer_size()
    protocol.data_received(serialized([ping(b"y" * 125)] * 50 + [text("z")]))
    assert receiver.messages == [Message(True, b"z")]
    assert protocol.transport.get_write_buffer_size() == written


async def test_nothing_is_written_behind_the_close_after_a_violation(direct: Served) -> None:
    client, receiver = await direct.open()
    await client.send(more(b"x"))
    assert (await client.receive_close())[0] == 1002
    receiver.write("late")
    receiver.link.write_batch(batch(Channel("IN", Direction.INBOUND), Encoded(Message(True, b"late"))))
    read = client.received_bytes
    await client.end()
    assert client.received_bytes == read
