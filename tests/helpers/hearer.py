"""What hears of an answer without end, and what is written to one."""

from __future__ import annotations

from typing import Any

from helpers.waiting import eventually
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.transports.openstream import StreamLink


class Hearer:
    """A ``OneWayReceiver`` that writes down; it raises when it hears what ``failing`` names."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.link: StreamLink
        self.failing = ""

    def writing_paused(self) -> None:
        self._hear("paused")

    def writing_resumed(self) -> None:
        self._hear("resumed")

    def lost(self, code: int) -> None:
        self.events.append(code)

    def write(self, *data: bytes) -> None:
        self.link.write(item(*data))

    async def until(self, *events: Any) -> None:
        """It has heard exactly that."""
        await eventually(lambda: self.events == [*events], f"{self.events} is {events}")

    async def until_lost(self) -> Any:
        """The code by which it is lost."""
        await eventually(lambda: self.events and isinstance(self.events[-1], int), f"lost, in {self.events}")
        return self.events[-1]

    def _hear(self, name: str) -> None:
        self.events.append(name)
        if name == self.failing:
            raise RuntimeError("a fault in a receiver")


def item(*data: bytes) -> Encoded:
    return Encoded(*[Message(True, one) for one in data])
