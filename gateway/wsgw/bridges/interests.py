"""What the sessions of one pattern channel want of NATS: its table of names."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterator

from wsgw.bridges.base import OnRefused
from wsgw.broker.subscription import NatsSubscription
from wsgw.channels.channel import Channel
from wsgw.errors import TOO_MANY_SUBJECTS, GatewayError

log = logging.getLogger("wsgw.bridge")


class Interest:
    """One name that sessions joined, or left a short while ago."""

    __slots__ = ("_waiting", "sessions", "subscription")

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] | None = []  # None when nobody need wait any more
        self.sessions: dict[OnRefused, None] = {}  # in order; whoever leaves may be any of very many
        self.subscription: NatsSubscription | None = None

    def settle(self) -> None:
        """Let the sessions go on; harmless when repeated."""
        waiting, self._waiting = self._waiting, None
        for ready in waiting or ():
            if not ready.done():
                ready.set_result(None)

    def ready(self) -> asyncio.Future[None] | None:
        """What a session has to wait for, which is its own to cancel; None after ``settle``."""
        if self._waiting is None:
            return None
        # not one for all, behind a shield each: that is three times the cost
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(ready)
        return ready


#: The share of ``max_subjects`` in use at which the log warns, and that below which it may warn again.
WARN_SHARE, CALM_SHARE = 0.8, 0.7


class Interests:
    """At most ``max_subjects`` concrete names, beside the pattern itself.

    Joining, leaving and the questions asked at each of them cost the same however many names there are.
    """

    def __init__(self, channel: Channel, max_subjects: int) -> None:
        self._channel = channel
        self._max_subjects = max_subjects
        self._warned = False
        self._names: dict[str, Interest] = {}
        #: since when, the longest idle first; a plain dict finds its first slowly when many before it are gone
        self._idle: OrderedDict[str, float] = OrderedDict()
        self._missing: dict[str, Interest] = {}
        #: subscriptions that no name wants any more; whoever ends one takes it out
        self.orphans: list[NatsSubscription] = []

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Interest]:
        return iter(self._names.values())

    def __getitem__(self, name: str) -> Interest:
        return self._names[name]

    def get(self, name: str) -> Interest | None:
        """The interest in ``name``, idle or not."""
        return self._names.get(name)

    @property
    def in_pattern(self) -> Interest | None:
        """The interest in the pattern itself."""
        return self._names.get(self._channel.name)

    @property
    def in_use(self) -> int:
        """Concrete names that sessions are subscribed to; the others make room when it is needed."""
        pattern = self._channel.name
        return len(self._names) - len(self._idle) - (pattern in self._names and pattern not in self._idle)

    @property
    def any_idle(self) -> bool:
        """Whether there are names to be dropped some time."""
        return bool(self._idle)

    def names(self) -> set[str]:
        """All, and the pattern's."""
        return set(self._names)

    def subscribed(self) -> set[str]:
        """The concrete names with a subscription of their own."""
        return {name for name, interest in self._names.items() if interest.subscription is not None}

    def missing(self) -> list[tuple[str, Interest]]:
        """The concrete names without one."""
        return list(self._missing.items())

    def add(self, name: str) -> Interest:
        """A new name, in place of the longest idle one if need be; raises GatewayError (too_many_subjects)."""
        if name != self._channel.name:
            self._make_room()
        interest = self._names[name] = Interest()
        if name != self._channel.name:
            self._missing[name] = interest
        return interest

    def enter(self, name: str, refused: OnRefused) -> None:
        """A session, which has a ``refused`` of its own, joins a name that is there."""
        self._names[name].sessions[refused] = None
        self._idle.pop(name, None)
        if not self._warned and self.in_use >= WARN_SHARE * self._max_subjects:
            self._warned = True
            about = self._channel.name, self.in_use, self._max_subjects
            log.warning("channel %s: %d of at most %d names are in use (max_subjects)", *about)

    def leave(self, name: str, refused: OnRefused, now: float) -> bool:
        """Undo ``enter``; whether the name became idle."""
        interest = self._names.get(name)
        if interest is None or refused not in interest.sessions:
            return False
        del interest.sessions[refused]
        if interest.sessions:
            return False
        interest.sessions = {}  # the old one keeps its size while the name lingers
        self._idle[name] = now
        self._warned = self._warned and self.in_use >= CALM_SHARE * self._max_subjects
        return True

    def attach(self, name: str, interest: Interest, subscription: NatsSubscription) -> bool:
        """``subscription`` is there for ``interest``; false, and it is an orphan, when the name is gone meanwhile."""
        if self._names.get(name) is not interest:
            self.orphans.append(subscription)
            return False
        interest.subscription = subscription
        self._missing.pop(name, None)
        return True

    def remove(self, name: str, interest: Interest) -> None:
        """Forget the name, if it still is ``interest``; sessions go uninformed."""
        if self._names.get(name) is interest:
            del self._names[name]
            self._idle.pop(name, None)
            self._missing.pop(name, None)
            self._orphan(interest)

    def drop_idle(self, before: float, at_most: int) -> bool:
        """Forget the names that are idle since ``before`` or longer, ``at_most`` so many; whether there may be more."""
        for _ in range(at_most):
            if not self._idle:
                return False
            name, since = next(iter(self._idle.items()))
            if since > before:
                return False
            self._drop(name)
        return True

    def detach_all(self) -> None:
        """No concrete name has its own subscription any more; all are missing."""
        for name in self.subscribed():
            self._missing[name] = self._names[name]
            self._orphan(self._names[name])

    # -- inside

    def _make_room(self) -> None:
        if len(self._names) - (self.in_pattern is not None) < self._max_subjects:
            return
        for name in self._idle:
            if name != self._channel.name:
                self._drop(name)
                return
        raise GatewayError(
            TOO_MANY_SUBJECTS, f"channel {self._channel.name!r} has its {self._max_subjects} subjects in use"
        )

    def _drop(self, name: str) -> None:
        interest = self._names[name]
        self.remove(name, interest)
        interest.settle()  # who left may still wait

    def _orphan(self, interest: Interest) -> None:
        if interest.subscription is not None:
            self.orphans.append(interest.subscription)
            interest.subscription = None
