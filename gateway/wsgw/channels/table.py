"""All configured channels, and which of them a client means by a name: the most specific one, everywhere.

A name that clients subscribe to and a name that they send to are found apart: ``chat.lobby`` may bring messages as one
of ``chat.*`` and take them as a channel of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wsgw.channels.channel import Channel
from wsgw.channels.subjects import matches, overlap, specificity, subject_problem
from wsgw.errors import TOO_LARGE, UNKNOWN_CHANNEL, WRONG_DIRECTION, GatewayError


class ChannelTable:
    """See the module. ``channels`` have different names."""

    def __init__(self, channels: Iterable[Channel]) -> None:
        self._by_name = {channel.name: channel for channel in channels}
        patterns = [channel for channel in self._by_name.values() if channel.is_pattern]
        self._patterns = sorted(patterns, key=lambda channel: specificity(channel.name))

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._by_name.values())

    def inbound(self) -> list[Channel]:
        """The channels that clients may subscribe to, in configured order."""
        return [channel for channel in self._by_name.values() if channel.delivers]

    def meant_by(self, name: str) -> Iterator[Channel]:
        """Every channel that ``name`` is, or matches, the most specific first.

        A name with wildcards means only the channel of that very name.
        """
        exact = self._by_name.get(name)
        if exact is not None:
            yield exact
        if subject_problem(name, wildcards=False) is None:
            for channel in self._patterns:
                if matches(channel.name, name):
                    yield channel

    def to_subscribe(self, name: str) -> Channel:
        """The channel that a subscription to ``name`` is one to.

        Raises GatewayError: unknown_channel, or wrong_direction where ``name`` means only channels that bring nothing.
        """
        other: Channel | None = None
        for channel in self.meant_by(name):
            if channel.delivers:
                return channel
            other = other or channel
        raise _not_found(name, other, "inbound or both")

    def to_send(self, name: str) -> tuple[Channel, str]:
        """The channel that a message or request to ``name`` goes to, and the NATS subject of it.

        Raises GatewayError: unknown_channel, also for a pattern itself, or wrong_direction where ``name`` means only
        channels that take nothing.
        """
        other: Channel | None = None
        for channel in self.meant_by(name):
            if channel.accepts or channel.answers:
                if channel.is_pattern and name == channel.name:
                    raise GatewayError(UNKNOWN_CHANNEL, f"{name!r} is a pattern; a concrete name is needed to send to")
                return channel, channel.subject_of(name)
            other = other or channel
        raise _not_found(name, other, "outbound or both or request")

    def to_publish(self, name: str) -> tuple[Channel, str]:
        """As ``to_send``; a request channel is of the wrong direction."""
        channel, subject = self.to_send(name)
        if not channel.accepts:
            raise _not_found(name, channel, "outbound or both")
        return channel, subject

    def to_ask(self, name: str) -> tuple[Channel, str]:
        """As ``to_send``; only a request channel is of the right direction."""
        channel, subject = self.to_send(name)
        if not channel.answers:
            raise _not_found(name, channel, "request")
        return channel, subject

    def hiding(self) -> Iterator[tuple[Channel, Channel]]:
        """Pairs of channels that share names, of which the second gets none: they are the first's.

        Only subscribing or sending to both can be in question; a pair is told once.
        """
        for other in self._patterns:  # of two that share a name, the less specific one has a wildcard
            for channel in self._by_name.values():
                alike = (channel.delivers and other.delivers) or (_takes(channel) and _takes(other))
                if alike and overlap(channel.name, other.name) and _before(channel, other):
                    yield channel, other


def too_large(size_bytes: int, max_payload_bytes: int) -> GatewayError:
    """The error of a payload over NATS' ``max_payload``."""
    return GatewayError(TOO_LARGE, f"the payload has {size_bytes} bytes, NATS takes at most {max_payload_bytes}")


def _takes(channel: Channel) -> bool:
    return channel.accepts or channel.answers


def _not_found(name: str, other: Channel | None, needed: str) -> GatewayError:
    if other is None:
        return GatewayError(UNKNOWN_CHANNEL, f"there is no channel {name!r}")
    return GatewayError(WRONG_DIRECTION, f"channel {name!r} is {other.direction}; {needed} is needed here")


def _before(one: Channel, other: Channel) -> bool:
    return specificity(one.name) < specificity(other.name)
