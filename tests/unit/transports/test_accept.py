"""What the contract of ``Link`` and ``Receiver`` promises, on both ways from a WebSocket to a link."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from uvicorn.protocols.utils import ClientDisconnected
from websockets.frames import Opcode

from helpers.fanout import batch
from helpers.raw_websocket import binary, close, more, ping, pong, serialized, text
from helpers.waiting import arrived, eventually
from wsgw.channels.channel import Channel, Direction
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.transports import asgi, closing
from wsgw.transports.accept import refuse
from wsgw.transports.asgi import AsgiLink
from wsgw.transports.direct import DirectProtocol

Served = Any  # of the conftest


async def test_the_best_way_is_taken(served: Served) -> None:
    _, receiver = await served.open()
    assert isinstance(receiver.link, DirectProtocol if served.direct else AsgiLink)


async def test_messages_both_ways(served: Served) -> None:
    client, receiver = await served.open()
    await client.send(text("é"), binary(b"\xff"), text(""), binary(b""))
    await arrived(receiver.messages, 4)
    assert receiver.messages == [
        Message(True, "é".encode()),
        Message(False, b"\xff"),
        Message(True, b""),
        Message(False, b""),
    ]
    receiver.write("é", b"\xff", "")
    channel = Channel("IN", Direction.INBOUND)
    receiver.link.write_batch(batch(channel, Encoded(Message(True, b"a")), Encoded(Message(False, b"b"))))
    frames = [await client.receive() for _ in range(5)]
    assert frames == [text("é"), binary(b"\xff"), text(""), text("a"), binary(b"b")]


async def test_a_burst_keeps_its_order(served: Served) -> None:
    client, receiver = await served.open()
    await client.send(*[text(str(number)) for number in range(2000)])
    await arrived(receiver.messages, 2000)
    assert receiver.messages == [Message(True, b"%d" % number) for number in range(2000)]


async def test_pings_are_answered(served: Served) -> None:
    client, receiver = await served.open()
    await client.send(ping(b"abc"))
    assert await client.receive() == pong(b"abc")
    await client.send(pong(b"unasked"), text("x"))
    await arrived(receiver.messages, 1)
    assert receiver.names() == ["message"]


async def test_fragments_make_one_message(served: Served) -> None:
    client, receiver = await served.open()
    cut = "aé".encode()
    await client.send(text(cut[:2], fin=False), ping(b"between"))
    assert await client.receive() == pong(b"between")
    await client.send(more(cut[2:], fin=False), more(b"", fin=False), more(b"z"), binary(b"\xff", fin=False))
    await client.send(more(b"\xfe"), text("next"))
    await arrived(receiver.messages, 3)
    assert receiver.messages == [Message(True, cut + b"z"), Message(False, b"\xff\xfe"), Message(True, b"next")]


async def test_any_cut_of_the_bytes(served: Served) -> None:
    client, receiver = await served.open()
    data = serialized([text("a" * 130), ping(b"x"), binary(b"b", fin=False), more(b"c"), text("d")])
    for byte in data:
        await client.send_bytes(bytes([byte]))
    await arrived(receiver.messages, 3)
    assert [message.data for message in receiver.messages] == [b"a" * 130, b"bc", b"d"]


async def test_messages_sent_before_the_accept_come_first(served: Served) -> None:
    served.application.may_accept.clear()
    client = await served.client()
    await served.application.asked.wait()
    for number in range(3):
        await client.send(text(f"early {number}"))
        await asyncio.sleep(0.01)
    served.application.may_accept.set()
    await client.send(text("late"))
    receiver = await served.application.receiver()
    await arrived(receiver.messages, 4)
    assert [message.data for message in receiver.messages] == [b"early 0", b"early 1", b"early 2", b"late"]


async def test_what_is_written_at_once_comes_behind_the_handshake(served: Served) -> None:
    served.application.opened = lambda receiver: receiver.write("hello")
    client, _ = await served.open()
    assert await client.receive() == text("hello")


async def test_the_client_goes_before_the_accept(served: Served) -> None:
    served.application.may_accept.clear()
    client = await served.client()
    await served.application.asked.wait()
    client.close()
    await eventually(lambda: not served.server.uvicorn.server_state.connections, "the loss is noticed")
    served.application.may_accept.set()
    await eventually(lambda: served.application.failures, "the application hears of it")
    assert [type(failure) for failure in served.application.failures] == [ClientDisconnected]  # an OSError
    assert served.application.receivers == []


async def test_the_client_closes(served: Served) -> None:
    client, receiver = await served.open()
    await client.send(text("x"), close(4321, "bye"))
    assert (await client.receive_close())[0] == 4321
    await client.end()
    await receiver.until("lost")
    assert receiver.events[:2] == [("message", True, b"x"), ("close", 4321, "bye")]
    assert receiver.names().count("lost") == 1


async def test_the_client_closes_without_a_code(served: Served) -> None:
    client, receiver = await served.open()
    await client.send(close(None))
    assert (await client.receive_close())[0] == 1005
    await receiver.until("lost")
    assert receiver.events[0] == ("close", 1005, "")


async def test_the_server_closes(served: Served) -> None:
    client, receiver = await served.open()
    receiver.write("last")
    receiver.link.close(4008, "too slow")
    receiver.link.close(1000)
    receiver.write("too late")
    assert await client.receive() == text("last")
    assert await client.receive_close() == (4008, "too slow")
    await client.send(text("crossing"), close(4008))
    await client.end()
    assert await receiver.until("lost") == ("lost", 4008)
    assert receiver.names() == ["lost"]


async def test_long_reasons_are_cut(served: Served) -> None:
    client, receiver = await served.open()
    receiver.link.close(4000, "xé" * 100)
    assert await client.receive_close() == (4000, "xé" * 41)


async def test_a_client_that_does_not_answer_the_close_is_dropped(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (asgi, closing):
        monkeypatch.setattr(module, "CLOSE_TIMEOUT_SECONDS", 0.1)
    client, receiver = await served.open()
    receiver.link.close(4008)
    assert await receiver.until("lost") == ("lost", 4008)
    assert (await client.receive_close())[0] == 4008


async def test_the_client_is_gone(served: Served) -> None:
    client, receiver = await served.open()
    client.close()
    await receiver.until("lost")
    assert receiver.names()[-1] == "lost"
    assert receiver.names().count("lost") == 1


async def test_abort(served: Served) -> None:
    client, receiver = await served.open()
    receiver.link.abort()
    receiver.link.abort()
    assert await receiver.until("lost") == ("lost", 1006)
    await client.end()


async def test_calls_after_the_end_do_nothing(served: Served) -> None:
    client, receiver = await served.open()
    client.close()
    await receiver.until("lost")
    receiver.write("x")
    for _ in range(2):
        receiver.link.close(1000)
        receiver.link.pause_reading()
        receiver.link.resume_reading()
        receiver.link.stop_keepalive()
        receiver.link.abort()
    await asyncio.sleep(0.02)
    assert receiver.names().count("lost") == 1
    assert receiver.names()[-1] == "lost"


async def test_limits_of_a_message(served: Served) -> None:
    served.application.max_message_bytes = 1000
    client, receiver = await served.open()
    await client.send(text("x" * 1000), binary(b"x" * 600, fin=False), more(b"x" * 400))
    await arrived(receiver.messages, 2)
    await client.send(binary(b"x" * 600, fin=False), more(b"x" * 401))
    assert (await client.receive_close())[0] == 1009
    await client.send(close(1009))
    assert await receiver.until("lost") == ("lost", 1009)
    assert len(receiver.messages) == 2


async def test_a_client_that_reads_slowly_pauses_the_writing(served: Served) -> None:
    client, receiver = await served.open(receive_buffer_bytes=4096)
    size = 0
    while "paused" not in receiver.names():
        receiver.write(b"x" * 50_000)
        size += 50_000
        await asyncio.sleep(0)
    assert receiver.link.buffered_bytes() > 0
    assert receiver.names() == ["paused"]
    got = 0
    while got < size:
        got += len((await client.receive()).data)
    await receiver.until("resumed")
    assert receiver.names() == ["paused", "resumed"]
    receiver.write("more")
    assert await client.receive() == text("more")


async def test_a_client_that_reads_nothing_cannot_hold_the_close_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (asgi, closing):
        monkeypatch.setattr(module, "CLOSE_TIMEOUT_SECONDS", 0.2)
    client, receiver = await served.open(receive_buffer_bytes=4096)
    while "paused" not in receiver.names():
        receiver.write(b"x" * 50_000)
        await asyncio.sleep(0)
    receiver.link.close(4008)
    assert await receiver.until("lost") == ("lost", 4008)
    client.close()


async def test_reading_can_be_paused(served: Served) -> None:
    client, receiver = await served.open()

    def pause(message: Message) -> None:
        receiver.link.pause_reading()
        receiver.link.pause_reading()

    receiver.on_message = pause
    payload = b"x" * 100_000
    sending = asyncio.get_running_loop().create_task(client.send(*[binary(payload) for _ in range(300)]))
    await arrived(receiver.messages, 1)
    receiver.on_message = lambda message: None
    await asyncio.sleep(0.05)
    assert not sending.done()  # 30 MB are more than what the system holds
    assert len(receiver.messages) < 100
    receiver.link.resume_reading()
    receiver.link.resume_reading()
    await arrived(receiver.messages, 300)
    await sending
    assert {len(message.data) for message in receiver.messages} == {100_000}


async def test_keepalive(served: Served) -> None:
    served.options = {"ws_ping_interval": 0.05, "ws_ping_timeout": 1000.0}
    client, receiver = await served.open()
    for _ in range(3):
        frame = await client.receive()
        assert frame.opcode is Opcode.PING
        await client.send(pong(bytes(frame.data)))
    assert receiver.events == []
    # and now no answer any more
    assert (await client.receive()).opcode is Opcode.PING
    (protocol,) = served.server.uvicorn.server_state.connections
    protocol.pong_timer.cancel()
    protocol.keepalive_timeout()  # what the timer calls
    assert await client.receive_close() == (1011, "keepalive ping timeout")
    client.close()
    # ASGI's server has closed by itself, and says so as if the client had, without a code
    assert await receiver.until("lost") == ("lost", 1011 if served.direct else 1005)


async def test_refusal_is_an_http_response(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    class Refusing:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await refuse(scope, send, 503, b'{"error":1}')

    served.application = Refusing()
    client = await served.client()
    response = await client.shake_hands()
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/json"
    assert response.body == b'{"error":1}'
    await client.end()
    if served.direct:
        assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_refusal_where_asgi_has_no_responses() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await refuse({"extensions": {}}, send, 503, b"")
    assert sent == [{"type": "websocket.close", "code": 1008}]


#: Ways to break RFC 6455.
VIOLATIONS: tuple[tuple[str, bytes, int], ...] = (
    ("bad UTF-8", serialized([text(b"\xff")]), 1007),
    ("bad UTF-8 in fragments", serialized([text(b"\xc3", fin=False), more(b"x")]), 1007),
    ("unmasked", text("x").serialize(mask=False), 1002),
    ("continuation of nothing", serialized([more(b"x")]), 1002),
    ("a message inside a message", serialized([text("x", fin=False), text("y")]), 1002),
    ("reserved bit", b"\xc1\x80\0\0\0\0", 1002),
    ("reserved opcode", b"\x83\x80\0\0\0\0", 1002),
    ("fragmented ping", b"\x09\x80\0\0\0\0", 1002),
    ("long ping", b"\x89\xfe\x00\x7e\0\0\0\0" + bytes(126), 1002),
    ("close with one byte", b"\x88\x81\0\0\0\0x", 1002),
    ("close with a code nobody may send", b"\x88\x82\0\0\0\0\x03\xee", 1002),
    ("close with a reason that is not UTF-8", b"\x88\x83\0\0\0\0\x03\xe8\xff", 1007),
    ("close in a message", serialized([text("x", fin=False), close(1000)]), 1002),
)


@pytest.mark.parametrize(("what", "data", "code"), VIOLATIONS, ids=[case[0] for case in VIOLATIONS])
async def test_violations(served: Served, what: str, data: bytes, code: int) -> None:
    client, receiver = await served.open()
    await client.send_bytes(serialized([text("good"), binary(b"too")]) + data + serialized([text("never")]))
    assert (await client.receive_close())[0] == code
    client.close()
    await receiver.until("lost")
    if served.direct:
        assert receiver.messages == [Message(True, b"good"), Message(False, b"too")]
        assert receiver.events[-1] == ("lost", code)
    assert Message(True, b"never") not in receiver.messages
    assert receiver.names().count("lost") == 1
