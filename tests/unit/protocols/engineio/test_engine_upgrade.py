"""The Engine.IO session's state machine: from polling to a WebSocket."""

from __future__ import annotations

import pytest

from helpers.engine_shell import PROBE, UPGRADE, Recorder, ended, post, refusal_of, text
from wsgw.fanout.frames import Message
from wsgw.protocols.engineio.engine import MAX_PACKETS_AT_ONCE, MAX_PROBES, Engine, State
from wsgw.protocols.engineio.packets import BAD_REQUEST, NOOP_PACKET, UNKNOWN_SID, decode_payload


class TestUpgrade:
    def probe(self, polling: Engine) -> None:
        assert polling.websocket_opened(100.0)
        polling.websocket_received(PROBE)

    def test_upgrade(self, polling: Engine, port: Recorder) -> None:
        assert polling.poll(100.0) is None
        self.probe(polling)
        assert port.take() == [("answer", NOOP_PACKET), ("reply",)]
        assert polling.poll(100.0) == NOOP_PACKET
        assert not polling.polled
        polling.websocket_received(UPGRADE)
        polling.websocket_received(text("4hi"))
        assert port.take() == [("switch",), ("message", "hi")]
        assert refusal_of(lambda: polling.poll(100.0)) is BAD_REQUEST
        assert refusal_of(lambda: polling.post_started(100.0)) is BAD_REQUEST
        assert not polling.websocket_opened(100.0)
        polling.tick(115.0)  # the probe's time is over and does not matter
        assert port.take() == []

    def test_only_one_probe_at_a_time(self, polling: Engine) -> None:
        assert polling.websocket_opened(100.0)
        assert not polling.websocket_opened(100.0)

    def test_posts_go_on_during_the_probe(self, polling: Engine, port: Recorder) -> None:
        self.probe(polling)
        port.take()
        polling.post_started(100.0)
        post(polling, b"4a")
        polling.websocket_received(UPGRADE)
        assert port.take() == [("message", "a"), ("switch",)]

    def test_no_upgrade_past_a_post_in_flight(self, polling: Engine, port: Recorder) -> None:
        self.probe(polling)
        polling.post_started(100.0)
        port.take()
        polling.websocket_received(UPGRADE)
        assert port.take() == [("drop", 1002), *ended(1002)]
        assert refusal_of(lambda: post(polling, b"4late")) is UNKNOWN_SID

    def test_an_upgrade_while_only_the_answer_of_a_post_is_outstanding(self, polling: Engine, port: Recorder) -> None:
        """As while the client is held back: all that it posted has been taken."""
        self.probe(polling)
        polling.post_started(100.0)
        assert not polling.post_received(decode_payload(b"4a"))
        port.take()
        polling.websocket_received(UPGRADE)
        polling.websocket_received(text("4b"))
        polling.post_answered()
        assert port.take() == [("switch",), ("message", "b")]

    def test_no_upgrade_past_a_post_that_is_taken_in_parts(self, polling: Engine, port: Recorder) -> None:
        self.probe(polling)
        polling.post_started(100.0)
        assert polling.post_received(decode_payload(b"\x1e".join([b"4a"] * (MAX_PACKETS_AT_ONCE + 1))))
        port.take()
        polling.websocket_received(UPGRADE)
        assert port.take() == [("drop", 1002), *ended(1002)]

    def test_no_upgrade_past_the_next_post(self, polling: Engine, port: Recorder) -> None:
        self.probe(polling)
        polling.post_started(100.0)
        post(polling, b"4a")
        polling.post_started(100.0)
        port.take()
        polling.websocket_received(UPGRADE)
        assert port.take() == [("drop", 1002), *ended(1002)]

    @pytest.mark.parametrize("data", ["5", "52", "5abc"])
    @pytest.mark.parametrize("probed", [True, False])
    def test_any_upgrade_packet_upgrades(self, polling: Engine, port: Recorder, data: str, probed: bool) -> None:
        polling.websocket_opened(100.0)
        if probed:
            polling.websocket_received(PROBE)
        port.take()
        polling.websocket_received(text(data))
        assert port.take() == [("switch",)]
        assert polling.state is State.WEBSOCKET

    def test_an_upgrade_without_a_probe_answers_the_poll_in_flight(self, polling: Engine, port: Recorder) -> None:
        assert polling.poll(100.0) is None
        polling.websocket_opened(100.0)
        polling.websocket_received(UPGRADE)
        assert port.take() == [("answer", NOOP_PACKET), ("switch",)]
        assert not polling.polled

    def test_probes_are_answered_as_often_as_they_come_within_bounds(self, polling: Engine, port: Recorder) -> None:
        polling.websocket_opened(100.0)
        for _ in range(MAX_PROBES):
            polling.websocket_received(PROBE)
        assert port.take() == [("reply",)] * MAX_PROBES
        polling.websocket_received(PROBE)
        assert port.take() == [("drop", 1002)]
        assert polling.websocket_opened(100.0)
        polling.websocket_received(PROBE)
        assert port.take() == [("reply",)]

    @pytest.mark.parametrize(
        "message", [text("4x"), text("2"), text("2probex"), text("6"), text("?"), Message(False, b"2probe")]
    )
    def test_a_wrong_probe_leaves_the_session_on_polling(
        self, polling: Engine, port: Recorder, message: Message
    ) -> None:
        polling.websocket_opened(100.0)
        polling.websocket_received(message)
        assert port.take() == [("drop", 1002)]
        assert polling.poll(100.0) is None
        assert polling.websocket_opened(100.0)

    @pytest.mark.parametrize("message", [text("4x"), text("3probe"), text("6")])
    def test_only_the_upgrade_follows_the_probe(self, polling: Engine, port: Recorder, message: Message) -> None:
        self.probe(polling)
        port.take()
        polling.websocket_received(message)
        assert port.take() == [("drop", 1002)]
        assert polling.state is State.POLLING

    def test_a_probe_that_does_not_finish_in_time(self, polling: Engine, port: Recorder) -> None:
        self.probe(polling)
        port.take()
        assert polling.deadline == 110.0
        polling.tick(110.0)
        assert port.take() == [("drop", 1002)]
        assert polling.poll(110.0) is None
        assert polling.deadline == 125.0

    def test_a_lost_probe_leaves_the_session_on_polling(self, polling: Engine, port: Recorder) -> None:
        self.probe(polling)
        port.take()
        polling.websocket_lost(1006)
        assert port.take() == []
        assert polling.poll(100.0) is None

    def test_a_close_ends_the_probe(self, polling: Engine, port: Recorder) -> None:
        self.probe(polling)
        port.take()
        polling.close(1001, 100.0)
        assert port.take() == [("drop", 1001), ("closed", 1001)]
        polling.websocket_lost(1006)
        assert port.take() == []
