"""All configured channels, and which of them a client means by a name: the most specific one, everywhere.

A name that clients subscribe to and a name that they send to are found apart: ``chat.lobby`` may bring messages as one
of ``chat.*`` and take them as a channel of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wsgw.channels.channel import USES, Channel, Direction, Use
from wsgw.channels.subjects import MAX_SUBJECT_BYTES, matches, overlap, specificity, subject_problem
from wsgw.errors import TOO_LARGE, UNKNOWN_CHANNEL, WRONG_DIRECTION, GatewayError

#: Of a name in a message.
MAX_SHOWN_CHARS = 256

#: The directions that are for a use, in words.
_NEEDED = {use: " or ".join(direction for direction in Direction if use in USES[direction]) for use in Use}


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

    def find(self, name: str, use: Use) -> Channel:
        """The channel that ``name`` belongs to: the most specific one that brings (SUBSCRIBE), or takes, messages.

        To PUBLISH and to REQUEST are looked at together, so that a message is never taken for a request of a channel
        that is hidden: what is found may be for the other of the two. Raises GatewayError: unknown_channel, or
        wrong_direction where ``name`` means other channels only.
        """
        other: Channel | None = None
        for channel in self.meant_by(name):
            if channel.delivers if use is Use.SUBSCRIBE else channel.takes:
                return channel
            other = other or channel
        if other is None:
            raise GatewayError(UNKNOWN_CHANNEL, f"there is no channel {shown(name)}{_too_long(name)}")
        raise wrong_direction(name, other, use)

    def find_to_send(self, name: str, use: Use = Use.PUBLISH) -> tuple[Channel, str]:
        """The channel that what is sent to ``name`` goes to, and the NATS subject; raises as ``find``, which see.

        The subject is empty where claims have to fill it. A pattern itself is no place to send to: unknown_channel.
        """
        channel = self.find(name, use)
        if channel.is_pattern and name == channel.name:
            raise GatewayError(UNKNOWN_CHANNEL, f"{name!r} is a pattern; a concrete name is needed to send to")
        return channel, channel.subject_of(name) if channel.template is None else ""

    def hiding(self) -> Iterator[tuple[Channel, Channel, bool, bool]]:
        """Pairs of channels that share names which are the first's, and not the second's.

        With them whether that is so for who subscribes, and for who sends; one of both at least.
        """
        for other in self._patterns:  # of two that share a name, the less specific one has a wildcard
            for channel in self._by_name.values():
                both_deliver, both_take = channel.delivers and other.delivers, channel.takes and other.takes
                if (both_deliver or both_take) and overlap(channel.name, other.name) and _before(channel, other):
                    yield channel, other, both_deliver, both_take


def shown(name: str) -> str:
    """A ``name`` that clients said, for an answer to them: as it is, but not for ever."""
    return repr(name) if len(name) <= MAX_SHOWN_CHARS else repr(name[:MAX_SHOWN_CHARS] + "...")


def wrong_direction(name: str, channel: Channel, use: Use) -> GatewayError:
    """The error of a ``name`` that belongs to ``channel``, which is not for ``use``."""
    return GatewayError(WRONG_DIRECTION, f"channel {shown(name)} is {channel.direction}; {_NEEDED[use]} is needed here")


def too_large(size_bytes: int, max_payload_bytes: int) -> GatewayError:
    """The error of a payload over NATS' ``max_payload``."""
    return GatewayError(TOO_LARGE, f"the payload has {size_bytes} bytes, NATS takes at most {max_payload_bytes}")


def _too_long(name: str) -> str:
    """Why there is none, where that is so: a pattern that it matches would seem to be missing."""
    size = len(name.encode("utf-8", "surrogatepass"))
    return f": the name has {size} bytes, at most {MAX_SUBJECT_BYTES} are possible" if size > MAX_SUBJECT_BYTES else ""


def _before(one: Channel, other: Channel) -> bool:
    return specificity(one.name) < specificity(other.name)
