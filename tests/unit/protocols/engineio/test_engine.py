"""The Engine.IO session's state machine, without I/O and with a clock of the test's own."""

from __future__ import annotations

import tracemalloc

import pytest

from helpers.engine_shell import PROBE, UPGRADE, Recorder, ended, post, refusal_of, text
from wsgw.fanout.frames import Message
from wsgw.protocols.engineio.engine import LARGE_PACKET_CHARS, MAX_PACKETS_AT_ONCE, Engine, Timing
from wsgw.protocols.engineio.packets import (
    BAD_REQUEST,
    CLOSE_PACKET,
    NOOP_PACKET,
    PING_PACKET,
    UNKNOWN_SID,
    decode_payload,
)
from wsgw.protocols.longtext import LONG_TEXT_BYTES, LongText

#: OPEN, UPGRADE and NOOP of a session that is open: clients send some of them late, or for nothing.
NEEDLESS = [b"0", b'0{"sid":"x"}', b"5", b"5abc", b"6", b"6abc"]


class TestPolling:
    def test_a_post_is_read_whole_and_in_order(self, polling: Engine, port: Recorder) -> None:
        polling.post_started(100.0)
        post(polling, b"\x1e".join([b"4%d" % i for i in range(1000)] + [b"bAQ=="]))
        assert port.take() == [("message", str(i)) for i in range(1000)] + [("message", b"\x01")]
        polling.post_started(100.0)  # and the next may come

    def test_a_post_of_many_packets_is_taken_in_parts(self, polling: Engine, port: Recorder) -> None:
        packets = decode_payload(b"\x1e".join([b"4%d" % i for i in range(2 * MAX_PACKETS_AT_ONCE + 1)]))
        polling.post_started(100.0)
        for _ in range(2):
            assert polling.post_received(packets)
            assert len(port.take()) == MAX_PACKETS_AT_ONCE
        assert not polling.post_received(packets)
        assert port.take() == [("message", str(2 * MAX_PACKETS_AT_ONCE))]
        assert refusal_of(lambda: polling.post_started(100.0)) is BAD_REQUEST  # not answered yet

    def test_a_large_packet_is_the_last_of_a_part(self, polling: Engine, port: Recorder) -> None:
        packets = decode_payload(b"4a\x1e4" + b"b" * (LARGE_PACKET_CHARS + 1) + b"\x1e4" + b"d" * LARGE_PACKET_CHARS)
        polling.post_started(100.0)
        assert polling.post_received(packets)
        assert len(port.take()) == 2
        assert not polling.post_received(packets)
        assert len(port.take()) == 1

    def test_the_session_may_end_between_the_parts_of_a_post(self, polling: Engine, port: Recorder) -> None:
        packets = decode_payload(b"\x1e".join([b"4a"] * 2 * MAX_PACKETS_AT_ONCE))
        polling.post_started(100.0)
        assert polling.post_received(packets)
        polling.fail(1006)
        port.take()
        assert refusal_of(lambda: polling.post_received(packets)) is UNKNOWN_SID
        assert port.take() == []

    @pytest.mark.parametrize("packet", [b"abc", b"2", b"2probe", b"2abc", b""])
    def test_a_wrong_packet_ends_the_session_after_those_before_it(
        self, polling: Engine, port: Recorder, packet: bytes
    ) -> None:
        polling.post_started(100.0)
        assert refusal_of(lambda: post(polling, b"4a\x1e" + packet + b"\x1e4b")) is BAD_REQUEST
        assert port.take() == [("message", "a"), *ended(1002)]
        assert refusal_of(lambda: polling.poll(100.0)) is UNKNOWN_SID
        assert refusal_of(lambda: polling.post_started(100.0)) is UNKNOWN_SID

    @pytest.mark.parametrize("packet", NEEDLESS)
    def test_a_needless_packet_is_told(self, polling: Engine, port: Recorder, packet: bytes) -> None:
        polling.post_started(100.0)
        post(polling, b"4a\x1e" + packet + b"\x1e4b")
        assert port.take() == [("message", "a"), ("needless",), ("message", "b")]

    def test_a_second_poll_ends_the_session(self, polling: Engine, port: Recorder) -> None:
        assert polling.poll(100.0) is None
        assert refusal_of(lambda: polling.poll(100.0)) is BAD_REQUEST
        assert port.take() == [("answer", CLOSE_PACKET), *ended(1002)]

    def test_polls_follow_one_another(self, polling: Engine, port: Recorder) -> None:
        for _ in range(3):
            assert polling.poll(100.0) is None
            polling.poll_answered(empty=True)
        assert port.take() == []

    def test_a_lost_poll_ends_the_session(self, polling: Engine, port: Recorder) -> None:
        polling.poll_lost()  # none is in flight
        assert port.take() == []
        polling.poll(100.0)
        polling.poll_lost()
        assert port.take() == ended(1006)

    def test_a_second_post_ends_the_session(self, polling: Engine, port: Recorder) -> None:
        polling.post_started(100.0)
        assert refusal_of(lambda: polling.post_started(100.0)) is BAD_REQUEST
        assert port.take() == ended(1002)
        assert refusal_of(lambda: post(polling, b"4late")) is UNKNOWN_SID
        assert port.take() == []

    def test_a_failed_post_ends_the_session(self, polling: Engine, port: Recorder) -> None:
        polling.poll(100.0)
        polling.post_started(100.0)
        polling.post_failed(1009)
        assert port.take() == [("answer", CLOSE_PACKET), *ended(1009)]

    def test_the_client_closes(self, polling: Engine, port: Recorder) -> None:
        polling.poll(100.0)
        polling.post_started(100.0)
        post(polling, b"1\x1e4after")
        assert port.take() == [("answer", NOOP_PACKET), *ended(1000)]


class TestWebSocket:
    def test_messages(self, websocket: Engine, port: Recorder) -> None:
        websocket.websocket_received(text("4a"))
        websocket.websocket_received(Message(False, b"\x00"))
        assert port.take() == [("message", "a"), ("message", b"\x00")]

    @pytest.mark.parametrize("data", ["abc", "", "2", "2probe", "2abc"])
    def test_a_wrong_packet_ends_the_session(self, websocket: Engine, port: Recorder, data: str) -> None:
        websocket.websocket_received(text(data))
        websocket.websocket_received(text("4late"))
        assert port.take() == ended(1002)

    @pytest.mark.parametrize("data", NEEDLESS)
    def test_a_needless_packet_is_told(self, websocket: Engine, port: Recorder, data: bytes) -> None:
        websocket.websocket_received(Message(True, data))
        websocket.websocket_received(text("4a"))
        assert port.take() == [("needless",), ("message", "a")]

    def test_a_pong_is_needless_where_no_ping_waits_for_it(self, websocket: Engine, port: Recorder) -> None:
        websocket.websocket_received(text("3"))
        assert port.take() == [("needless",)]
        websocket.tick(125.0)
        websocket.websocket_received(text("3"))
        websocket.websocket_received(text("3"))
        assert port.take() == [("send", PING_PACKET), ("needless",)]

    def test_binary_as_text(self, websocket: Engine, port: Recorder) -> None:
        websocket.websocket_received(text("bAQI="))
        assert port.take() == [("message", b"\1\2")]

    def test_the_client_closes(self, websocket: Engine, port: Recorder) -> None:
        websocket.websocket_received(text("1"))
        assert port.take() == ended(1000)

    def test_it_is_lost(self, websocket: Engine, port: Recorder) -> None:
        websocket.websocket_lost(1006)
        websocket.websocket_lost(1006)
        assert port.take() == ended(1006)

    def test_the_server_closes(self, websocket: Engine, port: Recorder) -> None:
        websocket.close(1001, 100.0)
        websocket.close(1000, 100.0)
        assert port.take() == ended(1001)

    def test_no_poll_and_no_second_websocket(self, websocket: Engine) -> None:
        assert refusal_of(lambda: websocket.poll(100.0)) is BAD_REQUEST
        assert not websocket.websocket_opened(100.0)


class TestHeartbeat:
    def test_pings_go_on_while_pongs_come(self, websocket: Engine, port: Recorder) -> None:
        for due in (125.0, 150.0, 175.0):
            assert websocket.deadline == due
            websocket.tick(due - 0.1)
            assert port.take() == []
            websocket.tick(due)
            websocket.tick(due)
            assert port.take() == [("send", PING_PACKET)]
            assert websocket.deadline == due + 20.0
            websocket.websocket_received(text("3"))
            websocket.tick(due + 20.0)
            assert port.take() == []

    def test_a_ping_timeout_longer_than_the_interval(self, port: Recorder) -> None:
        engine = Engine(port, Timing(ping_interval=1.0, ping_timeout=20.0), websocket=True, now=100.0)
        engine.tick(101.0)
        engine.websocket_received(text("3"))
        assert engine.deadline == 102.0
        engine.tick(102.0)
        engine.tick(103.0)
        assert port.take() == [("send", PING_PACKET)] * 2
        assert engine.deadline == 122.0
        engine.tick(122.0)
        assert port.take() == ended(1006)

    def test_no_pong_in_time_ends_the_session(self, websocket: Engine, port: Recorder) -> None:
        websocket.tick(125.0)
        port.take()
        websocket.tick(144.9)
        assert port.take() == []
        websocket.tick(145.0)
        assert port.take() == ended(1006)

    def test_a_process_that_was_late_itself_leaves_the_client_time(self, websocket: Engine, port: Recorder) -> None:
        websocket.tick(160.0)
        assert port.take() == [("send", PING_PACKET)]
        assert websocket.deadline == 170.0

    def test_a_late_poll_finds_the_session_over(self, polling: Engine, port: Recorder) -> None:
        polling.tick(125.0)
        assert refusal_of(lambda: polling.poll(145.0)) is UNKNOWN_SID
        assert port.take() == [("send", PING_PACKET), *ended(1006)]

    def test_a_pong_by_post(self, polling: Engine, port: Recorder) -> None:
        polling.tick(125.0)
        polling.post_started(126.0)
        post(polling, b"3")
        polling.tick(149.0)
        assert port.take() == [("send", PING_PACKET)]


class TestHold:
    def test_a_client_that_is_held_back_owes_no_pong(self, websocket: Engine, port: Recorder) -> None:
        websocket.tick(125.0)
        websocket.hold()
        for now in (145.0, 160.0, 250.0):
            websocket.tick(now)
            assert websocket.deadline > now
        assert ("gone", 1006) not in port.take()
        websocket.release(300.0)
        websocket.tick(309.9)
        assert port.take() == []
        websocket.tick(310.0)
        assert port.take() == ended(1006)

    def test_nor_an_upgrade_while_its_post_waits(self, polling: Engine, port: Recorder) -> None:
        polling.websocket_opened(100.0)
        polling.post_started(100.0)
        polling.post_received(decode_payload(b"4a"))
        assert port.take() == [("message", "a")]
        polling.websocket_received(PROBE)
        polling.hold()
        polling.tick(111.0)
        polling.release(119.0)
        polling.websocket_received(UPGRADE)
        assert port.take() == [("reply",), ("switch",)]

    def test_but_it_does_once_that_is_answered(self, polling: Engine, port: Recorder) -> None:
        polling.websocket_opened(100.0)
        polling.websocket_received(PROBE)
        polling.hold()
        polling.tick(109.9)
        assert port.take() == [("reply",)]
        polling.tick(110.0)
        assert port.take() == [("drop", 1002)]

    def test_lingering_ends_all_the_same(self, polling: Engine, port: Recorder) -> None:
        polling.post_started(100.0)
        polling.hold()
        polling.close(1001, 100.0)
        polling.tick(105.0)
        assert port.take() == [("closed", 1001), ("gone", 1006)]

    def test_nothing_is_owed_after_it(self, websocket: Engine, port: Recorder) -> None:
        websocket.hold()
        websocket.release(101.0)
        assert websocket.deadline == 125.0


class TestClose:
    def test_a_poll_in_flight_is_answered_with_what_waits_and_the_close(self, polling: Engine, port: Recorder) -> None:
        polling.poll(100.0)
        polling.close(1001, 100.0)
        assert port.take() == [("closed", 1001), ("answer", None)]
        polling.poll_answered(empty=True)
        assert [call[0] for call in port.take()] == ["gone"]

    def test_between_two_polls_it_lingers(self, polling: Engine, port: Recorder) -> None:
        polling.close(1001, 100.0)
        assert port.take() == [("closed", 1001)]
        assert polling.deadline == 105.0
        assert refusal_of(lambda: polling.post_started(101.0)) is BAD_REQUEST
        assert not polling.websocket_opened(101.0)
        assert polling.poll(101.0) is None
        polling.poll_answered(empty=False)
        assert port.take() == []
        assert polling.poll(101.0) is None
        polling.poll_answered(empty=True)
        assert [call[0] for call in port.take()] == ["gone"]
        assert refusal_of(lambda: polling.poll(101.0)) is UNKNOWN_SID

    def test_lingering_ends(self, polling: Engine, port: Recorder) -> None:
        polling.close(1001, 100.0)
        polling.tick(104.9)
        polling.tick(105.0)
        polling.tick(106.0)
        assert port.take() == [("closed", 1001), ("gone", 1006)]

    def test_failing_ends_lingering(self, polling: Engine, port: Recorder) -> None:
        polling.close(1001, 100.0)
        polling.fail(1006)
        polling.fail(1006)
        assert port.take() == [("closed", 1001), ("gone", 1006)]

    @pytest.mark.parametrize("end", ["close", "fail"])
    def test_the_rest_of_a_post_is_not_read_after_a_close(self, polling: Engine, port: Recorder, end: str) -> None:
        port.on_message = lambda: polling.close(4010, 100.0) if end == "close" else polling.fail(4010)
        polling.post_started(100.0)
        post(polling, b"4a\x1e4b\x1eabc")
        assert port.take()[:2] == [("message", "a"), ("closed", 4010)]


def test_a_long_text_is_not_decoded(websocket: Engine, port: Recorder) -> None:
    data = b"4" + "😀".encode() + b"x" * LONG_TEXT_BYTES
    tracemalloc.start()
    try:
        websocket.websocket_received(Message(True, data))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    ((_, long),) = port.take()
    assert isinstance(long, LongText)
    assert (long.data, long.at) == (data, 1)
    assert peak < len(data) / 10
