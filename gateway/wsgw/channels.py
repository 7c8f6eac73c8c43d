"""Channels: the configured, client-visible names, their directions, and how names match NATS subjects.

Subjects follow NATS' rules: tokens separated by ``.``; in patterns ``*`` stands for one token and
a last ``>`` for one or more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from wsgw.errors import TOO_LARGE, UNKNOWN_CHANNEL, WRONG_DIRECTION, GatewayError

#: Event names that Socket.IO keeps for itself, and the prefix of the gateway's own events.
RESERVED_EVENTS = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)
RESERVED_PREFIX = "wsgw:"
MAX_SUBJECT_BYTES = 1024


class Direction(StrEnum):
    """Seen from the client: inbound is NATS to client, outbound is client to NATS, request is asked and answered."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    BOTH = "both"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Channel:
    """One configured channel. A name with wildcards needs a ``subject`` with the same ones in the same order."""

    name: str
    direction: Direction
    subject: str = ""
    slow_consumer: str = "drop_oldest"
    outbox_messages: int = 16_384
    outbox_bytes: int = 4 * 1024 * 1024
    timeout_seconds: float = 2.0

    def __post_init__(self) -> None:
        if not self.subject:
            object.__setattr__(self, "subject", self.name)

    @property
    def is_pattern(self) -> bool:
        """True when clients join or publish to names that match ``name``, false when they use ``name`` itself."""
        return is_pattern(self.name)

    @property
    def delivers(self) -> bool:
        """True when clients may subscribe."""
        return self.direction in (Direction.INBOUND, Direction.BOTH)

    @property
    def accepts(self) -> bool:
        """True when clients may publish."""
        return self.direction in (Direction.OUTBOUND, Direction.BOTH)

    def subject_of(self, name: str) -> str:
        """The NATS subject of ``name``, which is this channel's name or matches it as a pattern."""
        if name == self.name:
            return self.subject
        return _refill(self.name, name, self.subject)

    def name_of(self, subject: str) -> str:
        """The client's name of ``subject``, the inverse of :meth:`subject_of`."""
        if subject == self.subject or not self.is_pattern:
            return self.name
        return _refill(self.subject, subject, self.name)


def is_pattern(name: str) -> bool:
    """Whether ``name`` has a wildcard token."""
    return any(token in ("*", ">") for token in name.split("."))


def matches(pattern: str, subject: str) -> bool:
    """Whether ``subject`` (without wildcards) matches ``pattern``, by NATS' rules."""
    wanted, given = pattern.split("."), subject.split(".")
    for i, token in enumerate(wanted):
        if token == ">":
            return len(given) > i
        if i >= len(given) or token not in ("*", given[i]):
            return False
    return len(wanted) == len(given)


def subject_problem(subject: str, *, wildcards: bool) -> str | None:
    """Why ``subject`` is not a subject that NATS delivers, or None. nats-py and the server do not tell all of these."""
    if not subject:
        return "is empty"
    if len(subject.encode("utf-8", "surrogatepass")) > MAX_SUBJECT_BYTES:
        return f"is longer than {MAX_SUBJECT_BYTES} bytes"
    for ch in subject:
        if ch.isspace() or not ch.isprintable():
            return f"has a blank or control character ({ch!r})"
    tokens = subject.split(".")
    for i, token in enumerate(tokens):
        if not token:
            return "has an empty token (a dot at an end, or two in a row)"
        if token in ("*", ">"):
            if not wildcards:
                return f"has the wildcard {token!r}; a concrete name is needed"
            if token == ">" and i != len(tokens) - 1:
                return "has '>' before its last token"
        elif "*" in token or ">" in token:
            return f"has a wildcard inside the token {token!r}; wildcards are whole tokens"
    return None


def channel_problem(channel: Channel) -> tuple[str, str] | None:
    """Why ``channel`` cannot be configured: the key (name or subject) to change and the reason; None when it can."""
    for what, value in (("name", channel.name), ("subject", channel.subject)):
        problem = subject_problem(value, wildcards=True)
        if problem:
            return what, f"{what} {value!r} {problem}"
    if channel.name in RESERVED_EVENTS:
        return "name", f"name {channel.name!r} is a reserved Socket.IO event"
    if channel.name.startswith(RESERVED_PREFIX):
        reason = f"begins with {RESERVED_PREFIX!r}, which is kept for the gateway's own events"
        return "name", f"name {channel.name!r} {reason}"
    problem = _subject_refusal(channel)
    return None if problem is None else ("subject", f"subject {channel.subject!r} {problem}")


def _subject_refusal(channel: Channel) -> str | None:
    if channel.is_pattern and _wildcards(channel.name) != _wildcards(channel.subject):
        return f"needs the same wildcards in the same order as the name {channel.name!r}"
    if channel.accepts or channel.direction is Direction.REQUEST:
        first = channel.subject.split(".")[0]
        if first in ("*", ">"):
            return (
                "begins with a wildcard: clients could publish to NATS' own subjects "
                "($SYS, $JS, _INBOX); begin it with a fixed token"
            )
        if first.startswith("$") or first == "_INBOX":
            return "is one of NATS' own; clients may not publish to it"
        if not channel.is_pattern and is_pattern(channel.subject):
            return "has wildcards, but a message needs one subject to go to"
    return None


class ChannelTable:
    """All configured channels; finds the one a client means: the exact name first, then patterns as configured."""

    def __init__(self, channels: Iterable[Channel]) -> None:
        self._by_name = {channel.name: channel for channel in channels}
        self._patterns = [channel for channel in self._by_name.values() if channel.is_pattern]

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._by_name.values())

    def inbound(self) -> list[Channel]:
        """The channels that clients may subscribe to, in configured order."""
        return [channel for channel in self._by_name.values() if channel.delivers]

    def find(self, name: str, *directions: Direction) -> Channel:
        """The channel that ``name`` means, of one of ``directions``.

        Raises GatewayError: unknown_channel, or wrong_direction where only other directions fit. A name with
        wildcards is found only when it is a configured name.
        """
        other: Channel | None = None
        for channel in self.candidates(name):
            if channel.direction in directions:
                return channel
            other = other or channel
        if other is None:
            raise GatewayError(UNKNOWN_CHANNEL, f"there is no channel {name!r}")
        raise GatewayError(
            WRONG_DIRECTION,
            f"channel {name!r} is {other.direction}; {' or '.join(directions)} is needed here",
        )

    def candidates(self, name: str) -> Iterator[Channel]:
        """Every channel that ``name`` could mean, the likeliest first."""
        exact = self._by_name.get(name)
        if exact is not None:
            yield exact
        if subject_problem(name, wildcards=False) is None:
            for channel in self._patterns:
                if matches(channel.name, name):
                    yield channel


def subscribable(table: ChannelTable, name: str) -> Channel:
    """The channel to subscribe to under ``name``; raises GatewayError."""
    return table.find(name, Direction.INBOUND, Direction.BOTH)


def publishable(table: ChannelTable, name: str) -> tuple[Channel, str]:
    """The channel and NATS subject of a message to ``name``; raises GatewayError."""
    channel = table.find(name, Direction.OUTBOUND, Direction.BOTH)
    return channel, _concrete(channel, name)


def requestable(table: ChannelTable, name: str) -> tuple[Channel, str]:
    """The channel and NATS subject of a request to ``name``; raises GatewayError."""
    channel = table.find(name, Direction.REQUEST)
    return channel, _concrete(channel, name)


def too_large(size_bytes: int, max_payload_bytes: int) -> GatewayError:
    """The error of a payload over NATS' ``max_payload``."""
    return GatewayError(TOO_LARGE, f"the payload has {size_bytes} bytes, NATS takes at most {max_payload_bytes}")


def _concrete(channel: Channel, name: str) -> str:
    if channel.is_pattern and name == channel.name:
        raise GatewayError(UNKNOWN_CHANNEL, f"{name!r} is a pattern; a concrete name is needed to send to")
    return channel.subject_of(name)


def _wildcards(subject: str) -> list[str]:
    return [token for token in subject.split(".") if token in ("*", ">")]


def _refill(pattern: str, subject: str, target: str) -> str:
    """``target`` with its wildcards filled by what those of ``pattern`` match in ``subject``."""
    given = subject.split(".")
    found: list[list[str]] = []
    for i, token in enumerate(pattern.split(".")):
        if token == "*":
            found.append([given[i]])
        elif token == ">":
            found.append(given[i:])
    out: list[str] = []
    for token in target.split("."):
        out.extend(found.pop(0) if token in ("*", ">") else [token])
    return ".".join(out)
