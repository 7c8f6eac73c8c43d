"""Events of clients that do not wait for the answer to their CONNECT."""

from __future__ import annotations

import pytest

from helpers.socket_carrier import Carrier, Recorder
from wsgw.protocols.socketio.arguments import MAX_ARGUMENTS, Json
from wsgw.protocols.socketio.earlyevents import MAX_BYTES, MAX_EVENTS
from wsgw.protocols.socketio.namespace import ConnectRefused


class TestEarlyEvents:
    """A client need not wait for the answer to its CONNECT."""

    @pytest.fixture
    def port(self) -> Carrier:
        port = Carrier()
        port.accepting = False
        port.sockets.message_received("0")
        return port

    def test_they_come_in_order_behind_the_answer(self, port: Carrier) -> None:
        port.sockets.message_received('27["a",1]')
        port.sockets.message_received('51-["b",{"_placeholder":true,"num":0}]')
        port.sockets.message_received(b"\xff")
        port.sockets.message_received("31[]")
        port.sockets.message_received('2["c"]')
        assert port.sent() == []
        socket = port.accept()
        port.sockets.message_received('2["d"]')
        handler = port.handlers["/"]
        assert handler.calls == [("connected",), ("a", Json("1")), ("b", b"\xff"), ("c",), ("d",)]
        assert handler.acks[0] is not None
        handler.acks[0](Json("true"))
        assert port.sent() == [f'40{{"sid":"{socket.sid}"}}', "437[true]"]
        assert port.ended == []

    def test_they_are_dropped_when_it_is_a_refusal(self, port: Carrier) -> None:
        port.sockets.message_received('27["a"]')
        port.sockets.refuse(port.connecting[0][0], ConnectRefused("no"))
        port.sockets.message_received('28["sent before the client knew"]')
        assert port.sent() == ['44{"message":"no"}']
        port.sockets.message_received("0")
        port.accept()
        assert port.handlers["/"].calls == [("connected",)]
        assert port.ended == []

    def test_a_disconnect_cancels_them(self, port: Carrier) -> None:
        for packet in ('2["a"]', "1", '2["b"]', "0", '2["c"]'):
            port.sockets.message_received(packet)
        port.accept()
        assert port.handlers["/"].calls == [("connected",), ("c",)]
        assert port.ended == []

    def test_a_connection_that_ends_drops_them(self, port: Carrier) -> None:
        port.sockets.message_received('2["a"]')
        port.sockets.closed(1006)
        late = Recorder()
        port.sockets.accept(port.connecting[0][0], late)
        assert late.calls == [("disconnected", 1006)]
        port.sockets.refuse(port.connecting[0][0], ConnectRefused("late"))
        assert port.sent() == []

    def test_none_comes_behind_the_end(self, port: Carrier) -> None:
        for packet in ('2["a"]', '2["b"]'):
            port.sockets.message_received(packet)
        handler = Recorder()
        handler.failure = ZeroDivisionError()
        port.sockets.accept(port.connecting[0][0], handler)
        assert handler.calls == [("connected",), ("disconnected", 1011)]
        assert port.ended == [("fail", 1011)]

    def test_other_namespaces_do_not_wait(self, port: Carrier) -> None:
        port.sockets.message_received('2["a"]')
        port.accepting = True
        port.sockets.message_received("0/b")
        port.sockets.message_received('2/b,["b"]')
        assert port.handlers["/b"].calls == [("connected",), ("b",)]

    def test_they_are_bounded_in_number(self, port: Carrier) -> None:
        for _ in range(MAX_EVENTS):
            port.sockets.message_received('2["a"]')
        assert port.ended == []
        port.sockets.message_received('2["a"]')
        assert port.ended == [("fail", 1002)]

    @pytest.mark.parametrize("text", ["x", "ä", "\U0001f600"])
    def test_they_are_bounded_in_bytes(self, port: Carrier, text: str) -> None:
        argument = text * ((MAX_BYTES // 2 - 300) // len(text.encode()))
        for _ in range(2):
            port.sockets.message_received(f'2["a","{argument}"]')
        assert port.ended == []
        port.sockets.message_received('51-["a",{"_placeholder":true,"num":0}]')
        port.sockets.message_received(b"x" * 500)
        assert port.ended == [("fail", 1002)]

    def test_many_arguments_count(self, port: Carrier) -> None:
        """Each is an object, whatever its length."""
        for _ in range(MAX_EVENTS - 1):
            port.sockets.message_received('2["a"' + ",1" * (MAX_ARGUMENTS - 1) + "]")
        assert port.ended == [("fail", 1002)]

    def test_they_count(self, port: Carrier) -> None:
        for _ in range(2):
            port.sockets.message_received('2["a","' + "x" * 500 + '"]')
        assert 1000 < port.kept_bytes < 2000
        port.accept()
        assert port.kept_bytes == 0
        for end in ("1", None):
            for packet in ("1", "0", '2["a"]'):
                port.accepting = False
                port.sockets.message_received(packet)
            assert port.kept_bytes > 0
            port.sockets.closed(1006) if end is None else port.sockets.message_received(end)
            assert port.kept_bytes == 0

    def test_without_connect_none_is_taken(self) -> None:
        port = Carrier()
        port.sockets.message_received('2["a"]')
        assert port.ended == [("fail", 1002)]
