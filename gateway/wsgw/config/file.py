"""A configuration file on its way to the settings: read as YAML, with the line of every key.

The original easer's own format (``wsServer``, ``webServer``, ``nats``) is understood and turned into ours.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from wsgw.config.yaml12 import CoreLoader, shown_key
from wsgw.errors import ConfigError

#: A place in the file: keys and list indices from the top.
Key = tuple[str | int, ...]

_IGNORED = "easer's setting has no meaning here and is ignored"
_ORIGINAL_KEYS = ("wsServer", "webServer", "natsServer", "useWebsocket", "useMessaging", "logger", "app", "pdms")
#: What is wrong in YAML's words, which show what may be a secret, and in ours.
_UNQUOTED = {
    "found undefined alias": "an alias of nothing; a text that begins with * needs quotes",
    "found duplicate anchor": "an anchor that is there twice; a text that begins with & needs quotes",
    "could not determine a constructor for the tag": "an unknown tag; a text that begins with ! needs quotes",
}


@dataclass
class ConfigFile:
    """``values`` as read, ``lines`` of the keys (from 1), ``warnings`` about what is understood but not used."""

    path: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Key, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def where(self, key: Key) -> str:
        """``path:line`` of the innermost part of ``key`` that the file has."""
        for length in range(len(key), 0, -1):
            line = self.lines.get(key[:length])
            if line is not None:
                return f"{self.path}:{line}"
        return self.path


class Look(NamedTuple):
    """What differs as soon as there is another file at a path, or another content in it."""

    real_path: str
    device: int
    number: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


def look(path: str) -> Look | None:
    """At the file at ``path``; None where there is none.

    Links are followed: a ConfigMap of Kubernetes is mounted as links, of which one is renamed over another.
    """
    try:
        found = os.stat(path)
        real_path = os.path.realpath(path)
    except OSError:
        return None
    return Look(real_path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def read(path: str) -> ConfigFile:
    """The file at ``path``; raises ConfigError naming the file, and the line where it has one."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not UTF-8 text: {error.reason}"
        raise ConfigError(f"{path}: {reason}") from None
    root, values = _parsed(path, text)
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}:1: a configuration is a mapping of keys to values, not a {type(values).__name__}")
    file = ConfigFile(path, values)
    if root is not None:
        try:
            _note_lines(root, (), file.lines)
        except RecursionError:
            raise ConfigError(f"{path}: a value contains itself") from None
        odd = [key for key in values if not isinstance(key, str)]
        if odd:
            line = next((name.start_mark.line + 1 for name, _ in root.value if not name.tag.endswith(":str")), 1)
            raise ConfigError(f"{path}:{line}: a key is text, and {odd[0]!r} is none")
    if any(key in values for key in _ORIGINAL_KEYS) and "channels" not in values:
        _translate(file)
    return file


def _parsed(path: str, text: str) -> tuple[yaml.Node | None, object]:
    try:
        loader = CoreLoader(text)
        root = loader.get_single_node()
        return root, None if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = path if mark is None else f"{path}:{mark.line + 1}"
        reason = " ".join(part for part in (error.context, error.problem) if part)
        reason = next((words for start, words in _UNQUOTED.items() if reason.startswith(start)), reason)
    except RecursionError:
        place, reason = path, "nested too deeply"
    except (yaml.YAMLError, ValueError) as error:
        place, reason = path, " ".join(str(error).replace(' in "<unicode string>",', " at").split())
    raise ConfigError(f"{place}: not YAML: {reason}")


def _note_lines(node: yaml.Node, key: Key, lines: dict[Key, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            inner = (*key, name.value)
            lines[inner] = name.start_mark.line + 1
            _note_lines(value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            lines[(*key, i)] = value.start_mark.line + 1
            _note_lines(value, (*key, i), lines)


def _translate(file: ConfigFile) -> None:
    """Replace the original's keys by ours; what has no meaning here is warned about."""
    old, new = file.values, dict[str, Any]()
    for key, value in old.items():
        if key == "wsServer" and isinstance(value, dict):
            topics = value.get("topics")
            if isinstance(topics, dict):
                new["channels"] = channels_of(_names(topics.get("inbound")), _names(topics.get("outbound")))
            _warn_others(file, key, value, "topics")
        elif key == "webServer" and isinstance(value, dict):
            if "port" in value:
                new["port"] = value["port"]
            _warn_others(file, key, value, "port")
        elif key == "nats" and isinstance(value, dict):
            new["nats"] = {k: v for k, v in value.items() if k in ("servers", "user", "password", "token")}
            _warn_others(file, key, value, *new["nats"])
        elif key in ("listen", "log", "port"):
            new[key] = value
        else:
            file.warnings.append(f"{file.where((key,))}: {shown_key(key)}: {_IGNORED}")
    file.values = new


def _warn_others(file: ConfigFile, key: str, value: dict[str, Any], *known: str) -> None:
    file.warnings += [
        f"{file.where((key, other))}: {key}.{shown_key(str(other))}: {_IGNORED}"
        for other in value
        if other not in known
    ]


def _names(value: object) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else split_names(str(value))


def split_names(text: str) -> list[str]:
    """``"A, B"`` as its names; an empty text has none, an empty name between commas stays (and is refused later)."""
    return [name.strip() for name in text.split(",")] if text.strip() else []


def channels_of(inbound: list[str], outbound: list[str]) -> list[dict[str, str]]:
    """Channels as the file has them, from the names of the command line; a name in both lists goes both ways."""
    directions = {name: "both" if name in outbound else "inbound" for name in inbound}
    directions |= {name: "outbound" for name in outbound if name not in inbound}
    return [{"name": name, "direction": direction} for name, direction in directions.items()]
