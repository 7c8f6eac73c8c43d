"""The parts of a stream that claims lead to: each has an identity of its own, as if it were a stream of its own.

So a position that a client was told in one part says nothing in another one, nor does that of the whole stream.
"""

from __future__ import annotations

from wsgw.channels.position import part
from wsgw.channels.template import Template

#: Parts whose identities are kept.
MAX_PARTS = 4096


class Parts:
    """Those that ``template`` makes; without one there are none, and what is all of the stream is its own."""

    __slots__ = ("_found", "_template")

    def __init__(self, template: Template | None) -> None:
        self._template = template
        self._found: dict[tuple[str, ...], str] = {}

    def identity_of(self, identity: str, subject: str) -> str:
        """Of the part that ``subject`` is in, or is, of the stream of that ``identity``."""
        template = self._template
        if template is None:
            return identity
        key = identity, *template.values_in(subject)
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= MAX_PARTS:
                self._found.clear()
            found = self._found[key] = part(*key)
        return found
