"""Connection state recovery: what a client that comes back says of what it has, and what it is given for that.

Source: Socket.IO's documentation, "Connection state recovery", and socket.io-client from 4.6 on (``socket.ts``). The
answer to a CONNECT has a ``pid``; from then on the client takes the last argument of every event, where it is a string,
for its ``offset``, and sends both with its next CONNECT. It has recovered if the answer has the same ``pid``.

No gateway keeps anything of a client that is away: pid and offset say all there is to say. Both are as trustworthy as
the client is. An offset is a position (``channels.position``), and behind it the names that the client has joined, or
left, since it connected. A pid is a random name, and the offset that the client began with.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson

from wsgw.channels.position import MAX_LENGTH, parse
from wsgw.protocols.socketio.arguments import Json

#: Of the names in an offset, as written there.
MAX_NAMES_LENGTH = 1024
_MAX_TEXT = MAX_LENGTH + MAX_NAMES_LENGTH + 64
#: Of an auth with more, what else is in it is not ours, nothing is looked at: where its client stood is not known.
_MAX_AUTH_CHARS = 65_536


class Returning(NamedTuple):
    """A client that comes back behind ``after``; names ``joined`` and ``left`` since it connected first."""

    pid: str
    after: Mapping[str, int]
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def returning(auth: Json | None) -> Returning | None:
    """What the payload of a CONNECT says; None where the client has never been here.

    What cannot be understood, for it may be of a later version, is a client that nothing is known of.
    """
    if auth is None:
        return None
    if len(auth.raw) > _MAX_AUTH_CHARS:
        return Returning("", {}) if '"pid"' in auth.raw else None
    try:
        said = orjson.loads(auth.raw)
    except orjson.JSONDecodeError:
        return None
    pid = said.get("pid") if isinstance(said, dict) else None
    if not isinstance(pid, str) or not pid:
        return None
    unknown = Returning(pid[:_MAX_TEXT], {})
    begun = _offset(pid, pid.partition("~")[2])
    offset = said.get("offset")
    if begun is None or not offset:  # it has got no event yet
        return begun or unknown
    seen = _offset(pid, offset) if isinstance(offset, str) and len(offset) <= _MAX_TEXT else None
    if seen is None:
        return unknown
    # an offset may be of before the pid: then that is where it begun
    return seen._replace(after={mark: max(at, begun.after.get(mark, 0)) for mark, at in seen.after.items()})


def new_pid(offset: str) -> str:
    """For a client that begins at ``offset``."""
    return f"{secrets.token_urlsafe(9)}~{offset}"


def names_text(joined: Iterable[str], left: Iterable[str]) -> str:
    """What is said in an offset behind the position; empty where there is nothing."""
    names = [list(joined), list(left)]
    return "~" + urlsafe_b64encode(orjson.dumps(names)).decode().rstrip("=") if any(names) else ""


def _offset(pid: str, text: str) -> Returning | None:
    position, _, names = text.partition("~")
    after = parse(position)
    if after is None:
        return None
    if not names:
        return Returning(pid, after)
    if len(names) >= MAX_NAMES_LENGTH:  # and a tilde
        return None
    try:
        joined, left = orjson.loads(urlsafe_b64decode(names + "=" * (-len(names) % 4)))
        if not all(isinstance(name, str) for name in [*joined, *left]):
            return None
        return Returning(pid, after, tuple(dict.fromkeys(joined)), tuple(dict.fromkeys(left)))
    except (ValueError, TypeError):
        return None
