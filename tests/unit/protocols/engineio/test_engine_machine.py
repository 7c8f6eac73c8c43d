"""The Engine.IO session's state machine: whatever comes in whatever order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from helpers.engine_shell import TIMING, Recorder, text
from wsgw.protocols.engineio.engine import Engine, State
from wsgw.protocols.engineio.packets import RequestRefused, decode_payload


class Machine(RuleBasedStateMachine):
    """Whatever comes in whatever order: closed once, gone once and last, one answer for each poll in flight."""

    def __init__(self) -> None:
        super().__init__()
        self.port = Recorder()
        self.now = 0.0
        self.engine = Engine(self.port, TIMING, websocket=False, now=0.0)
        self.websocket = False

    def attempt(self, call: Callable[[], object]) -> None:
        with contextlib.suppress(RequestRefused):
            call()

    @rule()
    def poll(self) -> None:
        self.attempt(lambda: self.engine.poll(self.now))

    @rule(empty=st.booleans())
    def answer(self, empty: bool) -> None:
        if self.engine.polled:
            self.engine.poll_answered(empty=empty)

    @rule()
    def lose_poll(self) -> None:
        self.engine.poll_lost()

    @rule()
    def post_started(self) -> None:
        self.attempt(lambda: self.engine.post_started(self.now))

    @rule(body=st.sampled_from([b"4a", b"3", b"1", b"6", b"x", b"4a\x1e4b"]))
    def post(self, body: bytes) -> None:
        self.attempt(lambda: self.engine.post_received(decode_payload(body)))

    @rule()
    def answer_post(self) -> None:
        self.engine.post_answered()

    @rule()
    def hold(self) -> None:
        self.engine.hold()

    @rule()
    def release(self) -> None:
        self.engine.release(self.now)

    @rule()
    def open(self) -> None:
        self.websocket = self.engine.websocket_opened(self.now) or self.websocket

    @rule(data=st.sampled_from(["2probe", "5", "5x", "6", "4a", "bYQ", "3", "1", "x"]))
    def receive(self, data: str) -> None:
        if self.websocket:
            self.engine.websocket_received(text(data))

    @rule()
    def lose(self) -> None:
        if self.websocket:
            self.websocket = False
            self.engine.websocket_lost(1006)

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.engine.tick(self.now)

    @rule()
    def close(self) -> None:
        self.engine.close(1001, self.now)

    @invariant()
    def calls_make_sense(self) -> None:
        names = [call[0] for call in self.port.calls]
        assert names.count("closed") <= 1
        assert names.count("switch") <= 1
        assert (names[-1:] == ["gone"]) is (self.engine.state is State.GONE) is ("gone" in names)
        assert self.engine.state in (State.GONE, State.LINGERING) or "closed" not in names
        assert "closed" not in names or "message" not in names[names.index("closed") :]
        if self.engine.state is State.GONE:
            assert not self.engine.polled
        else:
            assert self.engine.deadline < self.now + 46


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
