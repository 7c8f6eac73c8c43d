"""What NATS says when it refuses a subject."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: The subject is written as Go's %q (go.dev/pkg/fmt): quotes and backslashes in it are escaped.
_LINE = re.compile(
    r"""-ERR\s+'(permissions\ violation\ for\ (publish|subscription)\ to\ "((?:[^"\\]|\\.)*)".*)'\s*""",
    re.IGNORECASE | re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:x(..)|u(.{4})|U(.{8})|(.))")
_CONTROLS = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))


@dataclass(frozen=True, slots=True)
class PermissionViolation:
    """A permissions violation: of a publish, else of a subscription; ``said`` are the server's words."""

    of_publish: bool
    subject: str
    said: str

    @classmethod
    def parse(cls, line: bytes) -> PermissionViolation | None:
        """The refusal in an ``-ERR`` line of the server; None when it is about something else."""
        found = _LINE.fullmatch(line.decode(errors="replace"))
        if found is None:
            return None
        said, verb, quoted = found.groups()
        return cls(verb.lower() == "publish", _ESCAPE.sub(_unescaped, quoted), said)


def _unescaped(escape: re.Match[str]) -> str:
    number = escape[1] or escape[2] or escape[3]
    try:
        return chr(int(number, 16)) if number else _CONTROLS.get(escape[4], escape[4])
    except (ValueError, OverflowError):
        return escape[0]  # no Go program writes it
