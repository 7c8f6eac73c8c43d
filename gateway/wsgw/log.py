"""Log lines in the two formats of the original tools, on standard output.

plain: ``2026-03-08T09:16:06.373Z [wsgw@VERSION] info: MESSAGE``
json:  ``{"label":"wsgw@VERSION","level":"info","message":"MESSAGE","timestamp":"…"}``
"""

from __future__ import annotations

import logging
import sys
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


class _Formatter(logging.Formatter):
    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def message(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class PlainFormatter(_Formatter):
    """One line of text; the level is coloured when ``colour`` is set."""

    def __init__(self, label: str, colour: bool = False) -> None:
        super().__init__(label)
        self.colour = colour

    def format(self, record: logging.LogRecord) -> str:
        level = level_name(record.levelno)
        shown = f"\x1b[{_COLOURS[level]}m{level}\x1b[39m" if self.colour else level
        return f"{timestamp(record.created)} [{self.label}] {shown}: {self.message(record)}"


class JsonFormatter(_Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "label": self.label,
            "level": level_name(record.levelno),
            "message": self.message(record),
            "timestamp": timestamp(record.created),
        }
        return orjson.dumps(line).decode()


def setup(program: str, level: str = "info", format: str = "plainText", stream: TextIO | None = None) -> None:
    """Send the log of ``program`` to ``stream`` (standard output by default). Call once, at a program's start.

    ``level`` is one of LEVELS, ``format`` one of FORMATS; both are checked by the settings before.
    """
    out = stream or sys.stdout
    label = f"{program}@{__version__}"
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter(label) if format == "json" else PlainFormatter(label, out.isatty()))
    for number, name in ((VERBOSE, "VERBOSE"), (SILLY, "SILLY")):
        logging.addLevelName(number, name)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("wsgw").setLevel(LEVELS[level])
    # uvicorn and nats-py tell the same events in their own words: only what is wrong with them is passed on
    for library in ("uvicorn", "uvicorn.error", "uvicorn.access", "websockets", "nats", "asyncio"):
        logging.getLogger(library).setLevel(logging.ERROR)
