"""From where on a client wants a durable channel, as its request says it: ``after``, ``last``, ``since``."""

from __future__ import annotations

from collections.abc import Mapping

from wsgw.channels.position import parse
from wsgw.channels.start import NOW, Start
from wsgw.config.settings import MOST_REPLAYED
from wsgw.config.values import seconds
from wsgw.errors import BAD_REQUEST, GatewayError

#: Longest that anybody looks back, in seconds.
MOST_SINCE_SECONDS = 86400.0 * 366
_MOST_DIGITS = len(str(MOST_REPLAYED))


def start_of(query: Mapping[str, str], after: str | None) -> Start:
    """What ``query`` says, where ``after`` (a position, as the client gives it back) is None; raises GatewayError.

    What is no position that is known here is one that nothing can be found behind: the client is told of a gap.
    """
    if after is not None:
        return Start(after=parse(after) or {})
    if (last := query.get("last")) is not None:
        digits = last.lstrip("0")
        known = last.isascii() and last.isdecimal() and len(digits) <= _MOST_DIGITS  # Python refuses thousands
        if not known or int(digits or "0") > MOST_REPLAYED:
            raise GatewayError(BAD_REQUEST, f"last={last[:40]!r} is not a number up to {MOST_REPLAYED}")
        return Start(last=int(digits or "0"))
    if (since := query.get("since")) is not None:
        try:
            back = seconds(since)
        except ValueError:
            back = 0.0
        if not 0 < back <= MOST_SINCE_SECONDS:
            raise GatewayError(BAD_REQUEST, f"since={since[:40]!r} is not a time such as 60, 60s or 1h")
        return Start(since_seconds=back)
    return NOW
