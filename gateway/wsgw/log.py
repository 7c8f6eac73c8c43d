"""Log lines in the two formats of the original tools, on standard output.

plain: ``2026-03-08T09:16:06.373Z [wsgw@VERSION] info: MESSAGE``
json:  ``{"label":"wsgw@VERSION","level":"info","message":"MESSAGE","timestamp":"…"}``

A message may hold whatever clients and NATS sent. It makes no lines but those of tracebacks, which are indented, and no
terminal does anything but show it. Not so in the commands that show payloads by their log, as the originals do.
"""

from __future__ import annotations

import logging
import os
import re
import select
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO

import orjson

from wsgw import __version__

VERBOSE = 15
SILLY = 5

#: The original tools' level names, most important first, and their numbers in the logging module.
LEVELS: dict[str, int] = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "verbose": VERBOSE,
    "debug": logging.DEBUG,
    "silly": SILLY,
}
FORMATS: tuple[str, ...] = ("plainText", "json")

#: The most characters of a message, and of a line of a traceback; and of a traceback, whose end says the most.
MOST_CHARACTERS, MOST_TRACE_CHARACTERS = 8192, 65_536
#: What ``say_at_once`` writes at most: a pipe that takes anything takes that (POSIX: PIPE_BUF).
MOST_BYTES_AT_ONCE = 4096
INDENT = "    "

#: Control characters (C0, DEL, C1), line and paragraph separators, what turns the direction of writing, and halves of
#: surrogate pairs, which no stream can encode.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
#: Those that are as they are in the JSON that orjson writes.
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_COLOURS = {"error": 31, "warn": 33, "info": 32, "verbose": 36, "debug": 34, "silly": 35}


def level_name(number: int) -> str:
    """The name of the most important of the tools' levels that is not above ``number``."""
    for name, value in LEVELS.items():
        if number >= value:
            return name
    return "silly"


def timestamp(seconds: float) -> str:
    """``seconds`` since the epoch as UTC with milliseconds, ``2026-03-08T09:16:06.373Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def escaped(text: str) -> str:
    """``text`` in one line and harmless, with what is not so as Python writes it: ``\\n``, ``\\x1b``, ``\\u2028``."""
    # isprintable is a tenth of the search, and true of nearly all messages
    return text if text.isprintable() else _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


def _cut(text: str) -> str:
    more = len(text) - MOST_CHARACTERS
    return text if more <= 0 else f"{text[:MOST_CHARACTERS]}… ({more} characters more)"


class _Formatter(logging.Formatter):
    """``label`` stands in each line; ``verbatim`` leaves messages as they are."""

    def __init__(self, label: str, verbatim: bool = False) -> None:
        super().__init__()
        self.label = label
        self.verbatim = verbatim

    def message(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        return text if self.verbatim else _cut(text)

    def trace(self, record: logging.LogRecord) -> str:
        """Its lines, each behind a line break and indented, as what the exception says may have lines of its own."""
        if not record.exc_info:
            return ""
        lines = [_cut(line) for line in self.formatException(record.exc_info).splitlines()]
        text = "".join(f"\n{INDENT}{escaped(line)}" for line in lines)
        return text if len(text) <= MOST_TRACE_CHARACTERS else f"\n{INDENT}…{text[-MOST_TRACE_CHARACTERS:]}"


class PlainFormatter(_Formatter):
    """One line of text; the level is coloured when ``colour`` is set."""

    def __init__(self, label: str, verbatim: bool = False, colour: bool = False) -> None:
        super().__init__(label, verbatim)
        self.colour = colour

    def format(self, record: logging.LogRecord) -> str:
        level = level_name(record.levelno)
        shown = f"\x1b[{_COLOURS[level]}m{level}\x1b[39m" if self.colour else level
        message = self.message(record)
        if not self.verbatim:
            message = escaped(message.rstrip("\n"))  # some messages of libraries end so
        return f"{timestamp(record.created)} [{self.label}] {shown}: {message}{self.trace(record)}"


class JsonFormatter(_Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "label": self.label,
            "level": level_name(record.levelno),
            "message": self.message(record) + self.trace(record),
            "timestamp": timestamp(record.created),
        }
        try:
            text = orjson.dumps(line).decode()
        except TypeError:  # halves of surrogate pairs
            line["message"] = line["message"].encode(errors="backslashreplace").decode()
            text = orjson.dumps(line).decode()
        return (
            text
            if self.verbatim or text.isprintable()
            else _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        )


def setup(
    program: str,
    level: str = "info",
    format: str = "plainText",
    stream: TextIO | None = None,
    *,
    verbatim: bool = False,
) -> None:
    """Send the log of ``program`` to ``stream`` (standard output by default). Call once, at a program's start.

    ``level`` is one of LEVELS, ``format`` one of FORMATS; both are checked by the settings before. ``verbatim`` is for
    a program whose log is what it was asked to show: messages are neither cut nor escaped.
    """
    out = stream or sys.stdout
    label = f"{program}@{__version__}"
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        JsonFormatter(label, verbatim) if format == "json" else PlainFormatter(label, verbatim, out.isatty())
    )
    for number, name in ((VERBOSE, "VERBOSE"), (SILLY, "SILLY")):
        logging.addLevelName(number, name)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("wsgw").setLevel(LEVELS[level])
    # uvicorn and nats-py tell the same events in their own words: only what is wrong with them is passed on
    for library in ("uvicorn", "uvicorn.error", "uvicorn.access", "websockets", "nats", "asyncio"):
        logging.getLogger(library).setLevel(logging.ERROR)


def say_at_once(text: str) -> None:
    """Log ``text`` as an error past the locks and buffers, which a thread that stands still may hold; never waits.

    It is lost where the log's stream takes nothing now.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            record = logging.LogRecord("wsgw", logging.ERROR, "", 0, "%s", (text,), None)
            line = handler.format(record).encode(errors="backslashreplace")[: MOST_BYTES_AT_ONCE - 1] + b"\n"
            with suppress(OSError, ValueError):  # closed, or no file
                number = handler.stream.fileno()
                ready = select.poll()
                ready.register(number, select.POLLOUT)
                if ready.poll(0):
                    os.write(number, line)
