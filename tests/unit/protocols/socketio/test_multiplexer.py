"""Multiplexer, namespaces and acks above an Engine.IO session, without I/O."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.fanout import batch
from helpers.socket_carrier import Carrier, Recorder
from wsgw.channels.channel import Channel, Direction
from wsgw.fanout import outbox
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.protocols.socketio.arguments import Json
from wsgw.protocols.socketio.namespace import ConnectRefused
from wsgw.protocols.socketio.socket import Socket


@pytest.fixture
def port() -> Carrier:
    return Carrier()


@pytest.fixture
def socket(port: Carrier) -> Socket:
    port.sockets.message_received("0")
    port.sent()
    return port.connecting[-1][0]


def test_connect(port: Carrier) -> None:
    assert not port.was_accepted
    port.sockets.message_received('0{"token":1.0}')
    socket, auth = port.connecting[0]
    assert auth == Json('{"token":1.0}')
    assert port.sent() == [f'40{{"sid":"{socket.sid}"}}']
    assert port.handlers["/"].calls == [("connected",)]
    assert port.was_accepted
    port.sockets.message_received("0/b")
    assert port.connecting[1][1] is None
    assert port.connecting[1][0].sid != socket.sid


def test_what_is_sent_when_connected_comes_behind_the_answer(port: Carrier) -> None:
    port.accepting = False
    port.sockets.message_received("0")
    socket = port.connecting[0][0]

    class Greeter(Recorder):
        def connected(self) -> None:
            socket.sender.send(Encoded(Message(True, b'42["hello"]')))

    port.sockets.accept(socket, Greeter())
    assert port.sent() == [f'40{{"sid":"{socket.sid}"}}', '42["hello"]']


def test_unknown_namespace(port: Carrier, socket: Socket) -> None:
    port.sockets.message_received("0/foo,")
    assert port.sent() == ['44/foo,{"message":"Invalid namespace"}']
    port.sockets.message_received('2["x"]')
    assert port.handlers["/"].calls[-1] == ("x",)
    assert port.ended == []


def test_refused_connect(port: Carrier) -> None:
    port.accepting = False
    port.sockets.message_received("0")
    port.sockets.refuse(port.connecting[0][0], ConnectRefused("no", Json('{"code":1}')))
    assert port.sent() == ['44{"message":"no","data":{"code":1}}']
    assert not port.was_accepted
    port.sockets.message_received("0")
    assert len(port.connecting) == 2


@pytest.mark.parametrize(
    "data",
    ['2["x"]', '2/b,["x"]', '2/nowhere,["x"]', "31[]", "3", "abc", '2["connect"]', b"x", "0null", "0/b,x"],
)
def test_wrong_packets_end_the_connection(port: Carrier, data: str | bytes) -> None:
    port.sockets.message_received(data)
    assert port.ended == [("fail", 1002)]


def test_attachments_that_are_due_count(port: Carrier, socket: Socket) -> None:
    text = '52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
    for _ in range(2):
        port.owing.clear()
        port.sockets.message_received(text)
        assert (port.owing, port.kept_bytes) == ([True], port.sockets._decoder.kept_bytes)
        assert port.kept_bytes > len(text)
        port.sockets.message_received(bytes(100))
        assert (port.owing, port.kept_bytes) == ([True], port.sockets._decoder.kept_bytes)
        assert port.kept_bytes > len(text) + 100
        port.sockets.message_received(b"")
        assert (port.owing, port.kept_bytes) == ([True, False], 0)
    port.sockets.message_received('2["a"]')
    assert port.owing == [True, False]


def test_to_connect_again_and_again_is_needless(port: Carrier, socket: Socket) -> None:
    port.sockets.message_received("0/b")
    assert port.needless_packets == 0
    for _ in range(3):
        port.sockets.message_received("1")
        port.sockets.message_received("0")
    assert port.needless_packets == 3
    port.sockets.message_received("0/foo")
    assert port.needless_packets == 4
    socket.needless(9)  # it is gone
    port.connecting[-1][0].needless(9)
    assert port.needless_packets == 13


def test_events_of_a_namespace_that_the_client_has_left(port: Carrier, socket: Socket) -> None:
    for packet in ("1", '2["x"]', '21["x"]', "30[]", "1"):
        port.sockets.message_received(packet)
    assert port.handlers["/"].calls == [("connected",), ("disconnected", 1000)]
    assert port.ended == []


def test_what_answers_nothing_and_what_has_ended_already_is_needless(port: Carrier, socket: Socket) -> None:
    port.sockets.message_received("30[]")
    assert port.needless_packets == 1
    for packet in ("1", "1", "30[]", '2["x"]'):
        port.sockets.message_received(packet)
    assert port.needless_packets == 3
    assert port.ended == []


def test_a_client_is_accepted_once(port: Carrier, socket: Socket) -> None:
    for packet in ("0/b", "1", "0"):
        port.sockets.message_received(packet)
    assert port.was_accepted == 1


@pytest.mark.parametrize("packet", ["0/{},", "0/{}", '2/{},["x"]', "1/{},"])
def test_a_namespace_has_a_name_of_some_length(port: Carrier, packet: str) -> None:
    port.sockets.message_received(packet.format("x" * 1000))
    assert port.ended == [("fail", 1002)]
    assert port.sent() == []


def test_a_second_connect_ends_the_connection(port: Carrier, socket: Socket) -> None:
    port.sockets.message_received("0")
    assert port.ended == [("fail", 1002)]
    assert port.handlers["/"].calls[-1] == ("disconnected", 1002)


def test_events_and_their_acks(port: Carrier, socket: Socket) -> None:
    port.sockets.message_received('2["x","a",1.0]')
    port.sockets.message_received('27["y"]')
    port.sockets.message_received('51-8["z",{"_placeholder":true,"num":0}]')
    port.sockets.message_received(b"\xff")
    handler = port.handlers["/"]
    assert handler.calls[1:] == [("x", "a", Json("1.0")), ("y",), ("z", b"\xff")]
    first, second, third = handler.acks
    assert first is None
    assert second is not None
    assert third is not None
    third(b"\x01")
    second(Json("true"))
    second(Json("false"))
    assert port.sent() == ['461-8[{"_placeholder":true,"num":0}]', b"\x01", "437[true]"]
    port.sockets.message_received("1")
    port.sockets.message_received("0")
    port.sent()
    handler.acks[1](Json("true"))  # type: ignore[misc]
    third("late")
    assert port.sent() == []


def test_acks_of_the_client_answer_nothing(port: Carrier, socket: Socket) -> None:
    port.sockets.message_received('31["second",2]')
    port.sockets.message_received('61-2[{"_placeholder":true,"num":0}]')
    port.sockets.message_received(b"\x01")
    port.sockets.message_received('2["x"]')
    assert port.handlers["/"].calls == [("connected",), ("x",)]
    assert port.ended == []


def test_a_client_that_takes_nothing_is_closed(port: Carrier, socket: Socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MAX_CONTROL_ITEMS", 1)
    for id in range(2):
        assert port.ended == []
        port.sockets.message_received(f'2{id}["x"]')
        ack = port.handlers["/"].acks[-1]
        assert ack is not None
        ack(Json("true"))
    assert port.ended == [("fail", 4008)]
    assert port.handlers["/"].calls[-1] == ("disconnected", 4008)


def test_the_client_leaves_a_namespace(port: Carrier, socket: Socket) -> None:
    port.sockets.message_received("0/b")
    port.sockets.message_received("1/b")
    port.sent()
    assert port.handlers["/b"].calls == [("connected",), ("disconnected", 1000)]
    port.sockets.message_received('2["x"]')
    assert port.handlers["/"].calls == [("connected",), ("x",)]
    port.sockets.message_received("0/b")
    assert len(port.sent()) == 1
    assert port.ended == []


def test_a_client_is_held_back_while_any_of_its_sockets_does(port: Carrier, socket: Socket) -> None:
    port.sockets.message_received("0/b")
    other = port.connecting[-1][0]
    socket.release()
    for held in (socket, socket, other):
        held.hold()
        assert port.held
    socket.release()
    assert port.held
    other.release()
    assert not port.held


def test_a_socket_that_is_gone_holds_nothing_back(port: Carrier, socket: Socket) -> None:
    socket.hold()
    port.sockets.message_received("1")
    assert not port.held
    socket.hold()
    assert not port.held


def test_the_client_leaves_while_connecting(port: Carrier) -> None:
    port.accepting = False
    port.sockets.message_received("0")
    port.sockets.message_received("1")
    assert port.given_up == [port.connecting[0][0]]
    late = Recorder()
    port.sockets.accept(port.connecting[0][0], late)
    assert late.calls == [("disconnected", 1006)]
    assert port.sent() == []


def test_close_ends_every_namespace_once(port: Carrier, socket: Socket) -> None:
    port.sockets.message_received("0/b")
    socket.close(1001)
    socket.close(1001)
    port.sockets.closed(1006)
    assert port.ended == [("close", 1001)]
    for handler in port.handlers.values():
        assert handler.calls == [("connected",), ("disconnected", 1001)]


def test_abort_drops_the_connection_once(port: Carrier, socket: Socket) -> None:
    port.sockets.message_received("0/b")
    socket.abort()
    socket.abort()
    assert port.ended == [("fail", 1006)]
    for handler in port.handlers.values():
        assert handler.calls == [("connected",), ("disconnected", 1006)]


def test_a_failing_handler_ends_its_connection(port: Carrier, socket: Socket, caplog: pytest.LogCaptureFixture) -> None:
    port.handlers["/"].failure = ZeroDivisionError()
    port.sockets.message_received('2["x"]')
    assert port.ended == [("fail", 1011)]
    assert port.handlers["/"].calls[-1] == ("disconnected", 1011)
    assert "ZeroDivisionError" in caplog.text


def test_the_sender_is_the_connections(port: Carrier, socket: Socket) -> None:
    channel = Channel("IN", Direction.INBOUND)
    socket.sender.offer(batch(channel, Encoded(Message(True, b'42["IN","x"]'))))
    assert port.sent() == ['42["IN","x"]']


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=5),
            st.sampled_from(
                ["0", "1", '2["x"]', '21["x",1]', "30[]", "0/b", "1/b", '51-["x",{"_placeholder":true,"num":0}]']
            ),
            st.from_regex(r"[0-6]([0-9]-)?(/b,)?[0-9]?[\[{].*", fullmatch=True),
        )
    )
)
def test_whatever_a_client_sends_nothing_raises(messages: list[str | bytes]) -> None:
    port = Carrier()
    for message in messages:
        port.sockets.message_received(message)
        if port.ended:
            break
    assert port.ended in ([], [("fail", 1002)])


def test_a_client_whose_connect_is_one_packet_too_many(port: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to it ends the connection, and what has ended is not connected."""
    monkeypatch.setattr(outbox, "MAX_CONTROL_ITEMS", 1)
    port.accepting = False
    port.sockets.message_received("0/unknown")
    port.sockets.message_received("0")
    port.accept()
    assert port.ended == [("fail", 4008)]
    assert port.handlers["/"].calls == [("disconnected", 4008)]
