"""Writes the tables of README.md and docs/ from the code's own tables; `--check` only says where they differ.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from rooms import ROOMS
from wsgw.config.load import ENVIRONMENT, INBOUND_VARIABLE, OUTBOUND_VARIABLE
from wsgw.config.settings import Settings
from wsgw.errors import HTTP_ONLY, KINDS
from wsgw.metrics import TABLE

ROOT = Path(__file__).resolve().parent.parent
_MARKED = re.compile(r"<!-- table: (\w+) -->\n.*?<!-- end -->\n", re.DOTALL)


def _table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    lines: list[Iterable[object]] = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _fields(model: type[BaseModel], prefix: str) -> Iterable[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        inner: Any = field.annotation
        many = getattr(inner, "__origin__", None) is list
        if many:
            inner = inner.__args__[0]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _fields(inner, f"{prefix}{name}{'[]' if many else ''}.")
        else:
            yield f"`{prefix}{name}`", _default(field.default), field.description or ""


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "required"
    if value is None or isinstance(value, SecretStr):
        return ""
    return f"`{', '.join(value) if isinstance(value, list) else value}`"


def settings() -> str:
    """Every key of the configuration file."""
    return _table(("key", "default", "meaning"), _fields(Settings, ""))


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
