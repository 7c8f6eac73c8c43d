"""Scenario files: a YAML 1.2 or JSON list of steps, read and checked as a whole before anything is sent.

A step is ``{delay, topic, message | file | scenario}``: ``delay`` in milliseconds since the step before (default 0),
``topic`` the channel (default: the command's), ``message`` the value to send (default ``{}``), ``file`` a file to send,
``scenario`` another list to put in this step's place, whose first step waits this step's delay too and whose steps have
this step's topic as their default. Paths are relative to the scenario's own file. An unknown key is warned about;
beside none of ``message``, ``file`` and ``scenario`` it is an error, for it may be one of them mistyped.
"""

from __future__ import annotations

import difflib
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

from wsgw.cli import jsontext
from wsgw.config import yaml12
from wsgw.errors import ConfigError

log = logging.getLogger(__name__)

_WHAT = ("message", "file", "scenario")
_KEYS = ("delay", "topic", *_WHAT)
_LONGEST_DELAY_MILLISECONDS = 365 * 86_400_000


@dataclass(frozen=True, slots=True)
class ScenarioMessage:
    """One message to send, ``delay_milliseconds`` after the one before it."""

    channel: str
    payload: bytes
    delay_milliseconds: float = 0

    def as_dump(self) -> dict[str, object]:
        """The message as ``--dumpMessages`` shows it."""
        text = jsontext.as_text(self.payload)
        try:
            message = jsontext.quoted(self.payload) if text is None else jsontext.parse(text)
        except ValueError:
            message = text
        return {"delay": self.delay_milliseconds, "topic": self.channel, "message": message}


def check_channel(name: str) -> str:
    """``name`` trimmed, if a producer can send to it; else ValueError."""
    name = name.strip()
    if not name:
        raise ValueError("the topic is empty")
    if "," in name:
        raise ValueError(f"{name!r}: a producer sends to one topic at a time, and a topic holds no comma")
    return name


def encode(value: object) -> bytes:
    """The payload for a value: a string as it is, anything else as compact JSON text. Raises ValueError."""
    text = value if isinstance(value, str) else jsontext.compact(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair, which has no UTF-8 form") from None


def read_payload(path: Path, raw: bool = False) -> bytes:
    """The payload in a file: its bytes; but of a ``.yml`` or ``.yaml`` file the value as JSON, unless ``raw``.

    A ``.json`` file that is not JSON is refused unless ``raw``. Raises ConfigError naming the file.
    """
    content = _read(path)
    if raw:
        return content
    try:
        if path.suffix.lower() in (".yml", ".yaml"):
            return encode(yaml12.load(_text(content)))
        if path.suffix.lower() == ".json":
            jsontext.parse(_text(content))
    except ValueError as error:
        raise ConfigError(f"{path}: {error} (--raw sends any file as it is)") from None
    return content


def load(path: Path, channel: str, raw: bool = False) -> list[ScenarioMessage]:
    """The messages of the scenario file ``path``; ``channel`` for steps that name none.

    Raises ConfigError naming file, item (counted from 1) and reason.
    """
    return _load(path, channel, raw, ())


def _load(path: Path, channel: str, raw: bool, outer: tuple[Path, ...]) -> list[ScenarioMessage]:
    content = _read(path)
    chain = (*outer, path)
    if any(os.path.samefile(path, one) for one in outer):
        raise ConfigError("the scenarios include each other in a circle: " + " -> ".join(map(str, chain)))
    try:
        steps = _parse(_text(content))
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    messages: list[ScenarioMessage] = []
    for number, step in enumerate(steps, 1):
        try:
            messages += _step(step, path, channel, raw, chain)
        except (ValueError, ConfigError) as error:
            raise ConfigError(f"{path}: item {number} (counted from 1): {error}") from None
        if isinstance(step, dict):
            for key in _unknown_keys(step):
                log.warning("%s: item %d (counted from 1): %r is no key of a step, ignored", path, number, key)
    return messages


def _step(step: object, path: Path, channel: str, raw: bool, chain: tuple[Path, ...]) -> list[ScenarioMessage]:
    if not isinstance(step, dict):
        raise ValueError(f"a step is a mapping with keys of {', '.join(_KEYS)}, not {_kind(step)}")  # noqa: TRY004
    what = [key for key in _WHAT if key in step]
    if len(what) > 1:
        raise ValueError(f"it has {' and '.join(what)}; one of them is possible")
    if not what and (unknown := _unknown_keys(step)):
        raise ValueError(_mistyped(unknown))
    delay = step.get("delay", 0)
    if isinstance(delay, bool) or not isinstance(delay, int | float):
        raise ValueError(f"delay: milliseconds as a number, not {_kind(delay)}")  # noqa: TRY004
    if not 0 <= delay <= _LONGEST_DELAY_MILLISECONDS:
        raise ValueError(f"delay: {delay} is not between 0 and {_LONGEST_DELAY_MILLISECONDS} milliseconds")
    topic = check_channel(_string(step, "topic")) if "topic" in step else channel
    if "scenario" in step:
        inner = _load(path.parent / _string(step, "scenario"), topic, raw, chain)
        return [replace(inner[0], delay_milliseconds=inner[0].delay_milliseconds + delay), *inner[1:]] if inner else []
    if "file" in step:
        return [ScenarioMessage(topic, read_payload(path.parent / _string(step, "file"), raw), delay)]
    try:
        return [ScenarioMessage(topic, encode(step.get("message", {})), delay)]
    except ValueError as error:
        raise ValueError(f"message: {error}") from None


def _unknown_keys(step: dict[object, object]) -> list[object]:
    return [key for key in step if key not in _KEYS]


def _mistyped(keys: list[object]) -> str:
    for key in keys:
        close = difflib.get_close_matches(str(key).lower(), _KEYS, 1)
        if close:
            return f"{key!r} is no key of a step; did you mean {close[0]!r}?"
    return f"{keys[0]!r} is no key of a step; it has {', '.join(_KEYS)}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:  # a zero byte in the name
        raise ConfigError(f"{str(path)!r}: {error}") from None


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None


def _parse(text: str) -> list[object]:
    try:
        # JSON first: PyYAML knows neither JSON's tabs nor its surrogate pairs
        value = jsontext.parse(text)
    except ValueError:
        value = yaml12.load(text)
    if not isinstance(value, list):
        raise ValueError(f"a scenario is a list of steps, not {_kind(value)}")  # noqa: TRY004
    return value


def _string(step: dict[object, object], key: str) -> str:
    value = step[key]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key}: a text, not {_kind(value)}")
    return value


def _kind(value: object) -> str:
    if value is None or value == "":
        return "nothing"
    names: dict[type, str] = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false"}
    return names.get(type(value), "a number")
