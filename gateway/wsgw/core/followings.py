"""A session's part in durable channels: from where on it wants them, and the followings of those it listens to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from wsgw.bridges.durable import DurableBridge
from wsgw.bridges.following import Following
from wsgw.bridges.place import Place
from wsgw.channels.start import NOW, Start
from wsgw.fanout.sender import Sender


class Followings:
    """``told(name, place)`` hears where the client stands in the stream of a name."""

    __slots__ = ("_followings", "_starts", "_told")

    def __init__(self, told: Callable[[str, Place], None]) -> None:
        self._told: Callable[[str, Place], None] | None = told
        self._starts: dict[str, Start] = {}
        self._followings: dict[str, Following] = {}

    def want(self, name: str, start: Start) -> None:
        """``name`` will be followed, from there on."""
        self._starts[name] = start

    def begin(self, durable: DurableBridge, name: str, key: str, sender: Sender) -> None:
        """Follow ``name``, by its ``key``."""
        told = self._told
        if told is not None:
            following = durable.follow(key, sender, self._starts.pop(name, NOW), partial(told, name))
            self._followings[name] = following
            if self._told is None:  # it was too much for the client, which is gone
                self.leave(name)

    def leave(self, name: str) -> None:
        """Undo ``want`` and ``begin``."""
        self._starts.pop(name, None)
        following = self._followings.pop(name, None)
        if following is not None:
            following.end()

    def close(self) -> None:
        """Leave all, for good."""
        self._told = None
        for name in [*self._followings]:
            self.leave(name)
