"""A port for the Engine.IO state machine that writes down what it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from wsgw.fanout.frames import Message
from wsgw.protocols.engineio.engine import Engine, Timing
from wsgw.protocols.engineio.packets import RequestRefused, decode_payload
from wsgw.protocols.longtext import Content

TIMING = Timing(ping_interval=25.0, ping_timeout=20.0, probe_timeout=10.0, linger=5.0)


def text(data: str) -> Message:
    return Message(True, data.encode())


PROBE, UPGRADE = text("2probe"), text("5")


class Recorder:
    """A port that writes down what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.on_message: Callable[[], None] = lambda: None

    def message_received(self, data: Content) -> None:
        self.calls.append(("message", data))
        self.on_message()

    def needless(self) -> None:
        self.calls.append(("needless",))

    def send(self, packet: Message) -> None:
        self.calls.append(("send", packet))

    def answer_poll(self, packet: Message | None) -> None:
        self.calls.append(("answer", packet))

    def reply_to_probe(self) -> None:
        self.calls.append(("reply",))

    def switch(self) -> None:
        self.calls.append(("switch",))

    def drop_probe(self, code: int) -> None:
        self.calls.append(("drop", code))

    def closed(self, code: int) -> None:
        self.calls.append(("closed", code))

    def gone(self, code: int) -> None:
        self.calls.append(("gone", code))

    def take(self) -> list[tuple[Any, ...]]:
        calls, self.calls = self.calls, []
        return calls


def ended(code: int) -> list[tuple[Any, ...]]:
    """The last calls of a session that ends with ``code``."""
    return [("closed", code), ("gone", code)]


def refusal_of(call: Callable[[], object]) -> object:
    """Why the request that ``call`` brings is refused."""
    with pytest.raises(RequestRefused) as caught:
        call()
    return caught.value.error


def post(engine: Engine, body: bytes) -> None:
    """The body of the POST in flight, whole, and its answer."""
    packets = decode_payload(body)
    while engine.post_received(packets):
        pass
    engine.post_answered()
