"""What small files have that settings name: keys, secrets, certificates."""

from __future__ import annotations

import os
import re
import stat

#: A key in PEM form, a JWT, an nkey, base64, a long word: what some write where a file is to be named that has it.
_SECRET = re.compile(r"-----|[\0-\x1f+]|\AeyJ|=\Z|\A[^/.]{12,}\Z")


class UnreadableError(ValueError):
    """Why a file cannot be read; the text shows nothing of it, and does not name it."""


def content_of(path: str, most_bytes: int, *, again: bool = False) -> bytes:
    """All bytes of the file at ``path``; raises UnreadableError, also where there are more than ``most_bytes``.

    ``again``: it is read while the gateway runs, too. Then it has to be a regular file, for who opens a pipe waits
    until somebody writes to it. What is read at the start only may be one (``<(…)`` of a shell).
    """

    try:
        with open(path, "rb", opener=_open_at_once if again else None) as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(most_bytes + 1) if regular or not again else b""
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from None
    except ValueError:  # a NUL in it
        raise UnreadableError("not a path") from None
    if again and not regular:
        raise UnreadableError("is no regular file")
    if len(content) > most_bytes:
        raise UnreadableError(f"is larger than {most_bytes} bytes")
    return content


def shown(path: str) -> str:
    """``path`` in an error, unless it is none but what should be in the file."""
    return "what is here is not shown, for it may be a secret, and a file is expected" if _SECRET.search(path) else path


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
