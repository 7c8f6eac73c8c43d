"""Writes the tables of README.md and docs/ from the code's own tables; `--check` only says where they differ.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from annotated_types import Ge, Le
from pydantic import BaseModel, BeforeValidator, ByteSize, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rooms import ROOMS
from wsgw.config.auth import RightsSettings
from wsgw.config.limits import LimitsSettings
from wsgw.config.load import ENVIRONMENT, INBOUND_VARIABLE, OUTBOUND_VARIABLE
from wsgw.config.settings import Settings
from wsgw.config.values import seconds
from wsgw.errors import HTTP_ONLY, KINDS
from wsgw.metrics import TABLE

ROOT = Path(__file__).resolve().parent.parent
#: Sections that have the same keys wherever they are, which their descriptions tell.
_IN_ONE_ROW = (RightsSettings,)
_MARKED = re.compile(r"<!-- table: (\w+) -->\n.*?<!-- end -->\n", re.DOTALL)


def _table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    lines: list[Iterable[object]] = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _fields(model: type[BaseModel], prefix: str) -> Iterable[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        inner: Any = field.annotation
        many = getattr(inner, "__origin__", None) is list
        if many:
            inner = inner.__args__[0]
        optional = next((one for one in get_args(inner) if one is not type(None)), None)
        if inner in _IN_ONE_ROW or optional in _IN_ONE_ROW:
            yield f"`{prefix}{name}`", "", "", field.description or ""
        elif isinstance(optional, type) and issubclass(optional, BaseModel):
            yield f"`{prefix}{name}`", _default(field), _range(field), field.description or ""
            yield from _fields(optional, f"{prefix}{name}.")
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _fields(inner, f"{prefix}{name}{'[]' if many else ''}.")
        else:
            yield f"`{prefix}{name}`", _default(field), _range(field), field.description or ""


def _default(field: FieldInfo) -> str:
    """As it may stand in a file."""
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if value is None or isinstance(value, SecretStr):
        return ""
    if isinstance(value, ByteSize):
        return f"`{_bytes(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if _is_duration(field):
        return f"`{value:g}s`"
    return f"`{', '.join(value) if isinstance(value, list) else value}`"


def _range(field: FieldInfo) -> str:
    """Of a number or a size; durations all have the same."""
    if _is_duration(field):
        return ""
    of_bytes = ByteSize in (field.annotation, *get_args(field.annotation))
    least = next((_number(one.ge, of_bytes) for one in field.metadata if isinstance(one, Ge)), "")
    most = next((_number(one.le, of_bytes) for one in field.metadata if isinstance(one, Le)), "")
    return f"{least} to {most}" if most else f"from {least}" if least else ""


def _number(value: Any, of_bytes: bool) -> str:
    return _bytes(ByteSize(value)) if of_bytes else str(value)


def _bytes(value: ByteSize) -> str:
    return value.human_readable(separator=" ").replace(".0", "")


def _is_duration(field: FieldInfo) -> bool:
    return any(isinstance(one, BeforeValidator) and one.func is seconds for one in field.metadata)


def settings() -> str:
    """Every key of the configuration file."""
    return _table(("key", "default", "range", "meaning"), _fields(Settings, ""))


#: What happens beyond each of the limits.
BEYOND = {
    "head_bytes": "414 (`uri_too_long`) where the request line alone is longer, else 431 (`headers_too_large`); closed",
    "headers": "431 (`headers_too_large`), closed",
    "pipelined_requests": "the connection is not read from until one is answered; so it is where 64 KiB of them wait",
    "head_timeout": "408 where a head had begun; closed. Both count (`request_timeout`)",
    "body_stall_timeout": "408 (`request_timeout`), closed",
    "body_timeout": "408 (`request_timeout`), closed",
    "idle_timeout": "closed",
    "files_reserve": "503 (`no_files`), closed; health, readiness and metrics are answered: see [Files](#files)",
    "memory": "new work: 503 (`no_memory`); those for whom most is kept are ended, 4008: see [Memory](#memory)",
    "unconnected_sessions": "the oldest ones end, 1013 (`too_many_sessions`)",
    "session_requests": "ack (`overloaded`); a request over HTTP is a client of its own",
    "session_names": "CONNECT is refused, ack (`too_many_subjects`)",
    "message_bytes": "as for `max_payload`, below (`too_large`)",
    "messages_per_second": "see [Rates](#rates): held back or ack (`rate_limited`); closed, 4009, where it goes on",
    "bytes_per_second": "the same",
    "burst": "",
    "rate_timeout": "closed, 4009 (`rate_limited`)",
    "user.connections": "closed, 4009; CONNECT is refused; a stream says so and ends (`too_many_connections`)",
    "user.connects_per_second": "the same (`rate_limited`)",
    "user.messages_per_second": "as for one connection; 429 (`rate_limited`)",
    "user.bytes_per_second": "the same",
    "address.connections": "429 before the upgrade; a stream says so and ends (`too_many_connections`)",
    "address.connects_per_second": "the same (`rate_limited`)",
    "address.messages_per_second": "as for one connection; 429 (`rate_limited`)",
    "address.bytes_per_second": "the same",
}


def limits() -> str:
    """Every setting that bounds what clients can do, and what happens beyond it."""
    rows = [
        (f"`limits.{name}`", _default(field), (field.description or "").replace("docs/limits.md#", "#"), BEYOND[name])
        for name, field in _limits(LimitsSettings, "")
    ]
    return _table(("setting", "default", "bound", "beyond"), rows)


def _limits(model: type[BaseModel], prefix: str) -> Iterable[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _limits(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def environment() -> str:
    """Every environment variable."""
    rows = [(" or ".join(f"`{name}`" for name in v.names), f"`{'.'.join(v.key)}`") for v in ENVIRONMENT]
    rows.append((f"`{INBOUND_VARIABLE}`, `{OUTBOUND_VARIABLE}`", "`channels`, as a whole"))
    rows.append(("`EASER_USE_WEBSOCKET`", "`-w` of `easer`"))
    return _table(("variable", "sets"), rows)


def errors() -> str:
    """Every error a client can get."""
    return _table(
        ("code", "HTTP", "WebSocket close", "meaning"),
        (
            (f"`{kind.name}`", kind.http_status, "–" if kind in HTTP_ONLY else kind.close_code, kind.summary)
            for kind in KINDS
        ),
    )


def metrics() -> str:
    """Every metric."""
    return _table(
        ("metric", "type", "labels", "meaning"),
        ((f"`{spec.name}`", spec.kind, ", ".join(spec.labels), spec.help) for spec in TABLE),
    )


def rooms() -> str:
    """The rooms of the package, lowest first."""
    return _table(("room", "what it is", "modules, lowest first"), (_room(room, names) for room, names in ROOMS))


def _room(room: str, names: Sequence[str]) -> tuple[str, str, str]:
    package = ROOT / "gateway" / "wsgw"
    shown = [name for name in names if name != "__init__"]
    of_room = package / room / "__init__.py" if room else package / f"{shown[0]}.py" if shown == ["app"] else None
    what = "The tables that all read, and what else has no room." if of_room is None else _summary(of_room)
    return f"`{room or (shown[0] if len(shown) == 1 else '(root)')}`", what, ", ".join(f"`{name}`" for name in shown)


def _summary(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].replace("``", "`")


TABLES: dict[str, Callable[[], str]] = {
    "rooms": rooms,
    "settings": settings,
    "limits": limits,
    "environment": environment,
    "errors": errors,
    "metrics": metrics,
}


def filled(text: str) -> str:
    """``text`` with every marked table made anew; raises KeyError for an unknown name."""
    return _MARKED.sub(lambda m: f"<!-- table: {m[1]} -->\n{TABLES[m[1]]()}<!-- end -->\n", text)


def main() -> int:
    stale = []
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        old = path.read_text(encoding="utf-8")
        new = filled(old)
        if new != old:
            stale.append(path.relative_to(ROOT))
            if "--check" not in sys.argv:
                path.write_text(new, encoding="utf-8")
    what = "are not those of the code; run make docs" if "--check" in sys.argv else "were made anew"
    for path in stale:
        print(f"{path}: its tables {what}")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
