"""Replies to requests as answers over HTTP, with those of their headers that the channel names (``headers``)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from fastapi import Response

from wsgw.fanout.frames import is_utf8
from wsgw.fanout.publication import Headers, Publication

#: Of the headers of one reply, names and values: proxies and clients take heads of 8 to 16 KiB.
MAX_HEADERS_BYTES = 4096

#: What a value may not have in it (RFC 9110 section 5.5). What is no ASCII goes as the UTF-8 that it was.
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TYPE = b"content-type"
#: They say what the body is, and with an error the body is not the reply's.
_OF_THE_BODY = b"content-"
#: What no page may read, whatever is said (Fetch standard, "forbidden response-header name").
_HIDDEN = ("set-cookie", "set-cookie2")


class _Shown(NamedTuple):
    """A channel's headers: ``names`` as responders write them, and as HTTP does; ``exposed`` tells pages of them."""

    names: tuple[tuple[str, bytes], ...]
    exposed: list[tuple[bytes, bytes]]


def answer(reply: Publication, names: tuple[str, ...]) -> Response:
    """The payload as it is, and the headers that are in ``names``."""
    media_type = "text/plain; charset=utf-8" if is_utf8(reply.payload) else "application/octet-stream"
    response = Response(reply.payload, media_type=media_type)
    if names:
        found = _found(reply.headers, names)
        types = [pair for pair in found if pair[0] == _TYPE]
        if types:  # there can be one
            response.raw_headers = [pair for pair in response.raw_headers if pair[0] != _TYPE]
            found = [pair for pair in found if pair[0] != _TYPE] + types[:1]
        response.raw_headers += found + _shown(names).exposed
    return response


def carrying(refusal: Response, headers: Headers, names: tuple[str, ...]) -> Response:
    """``refusal`` with those of the reply's ``headers`` that are in ``names``, but the ones about its payload."""
    if names:
        found = [pair for pair in _found(headers, names) if not pair[0].startswith(_OF_THE_BODY)]
        refusal.raw_headers += found + _shown(names).exposed
    return refusal


def _found(headers: Headers, names: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    """What of ``headers`` an answer carries, a line for each value; without what HTTP has no form for, or no room."""
    left = MAX_HEADERS_BYTES
    found: list[tuple[bytes, bytes]] = []
    for name, sent in _shown(names).names if headers else ():
        for value in headers.get(name, ()):
            raw = value.encode()
            size = len(sent) + len(raw) + len(b": \r\n")
            if size <= left and not _BAD_VALUE.search(value):
                left -= size
                found.append((sent, raw))
    return found


@lru_cache(maxsize=1024)
def _shown(names: tuple[str, ...]) -> _Shown:
    """Made once for each channel."""
    lower = {name: name.lower() for name in names}
    readable = dict.fromkeys(name for name in lower.values() if name not in _HIDDEN)
    exposed = [(b"access-control-expose-headers", ", ".join(readable).encode())] if readable else []
    return _Shown(tuple((name, sent.encode()) for name, sent in lower.items()), exposed)
