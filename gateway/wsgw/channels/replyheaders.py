"""Which headers of a reply an answer over HTTP can carry, by their names."""

from __future__ import annotations

import re

#: RFC 9110 section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: What the HTTP server says itself: of the connection, of how the answer is framed, of when and by whom it was sent
#: (RFC 9110 sections 7.6.1 and 6.6, RFC 9112 section 6).
_OWN = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "te", "trailer", "transfer-encoding", "upgrade"}
)
#: Of proxies; and what pages of other origins may do, which is the gateway's to decide.
_OWN_PREFIXES = ("access-control-", "proxy-")


def reply_header_problem(name: str) -> str | None:
    """Why a header ``name`` of replies cannot be one of the answer, or None."""
    if not _TOKEN.fullmatch(name):
        return "is no name of an HTTP header"
    lower = name.lower()
    if lower in _OWN or lower.startswith(_OWN_PREFIXES):
        return "is a header that the gateway's HTTP server says itself; a reply's cannot stand in its place"
    return None
