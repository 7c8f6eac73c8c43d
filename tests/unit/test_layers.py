"""The house (docs/architecture.md): a module imports only what stands before it, libraries stay where they belong."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from rooms import order

PACKAGE = Path(__file__).parents[2] / "gateway" / "wsgw"
ORDER = order()
#: Files at the package's root, ``__init__`` and ``__main__`` not counted.
MAX_ROOT_FILES = 8

#: Who may import a library; a name stands for the module or everything in the package.
LIBRARIES: dict[str, frozenset[str]] = {
    "uvicorn": frozenset({"transports", "surfaces", "app", "process"}),
    "fastapi": frozenset({"transports", "surfaces", "app", "process"}),
    "starlette": frozenset({"transports", "surfaces", "app", "process"}),
    "websockets": frozenset({"transports", "protocols.websocket", "cli.clients"}),
    "nats": frozenset({"broker", "cli.clients"}),
    "socketio": frozenset({"cli.clients"}),
    "click": frozenset({"cli"}),
    "pydantic": frozenset({"config"}),
    "pydantic_settings": frozenset({"config"}),
    "prometheus_client": frozenset({"metrics"}),
    "jwt": frozenset({"access.signatures", "access.jwkset", "cli.token"}),
    "cryptography": frozenset(
        {"config.keys", "config.certificates", "config.natsidentity", "config.natstls", "access.jwkset"}
    ),
    "httpx": frozenset({"access"}),
}

#: What decides without waiting, and the modules that wait.
SANS_IO = frozenset(
    {
        "access.claims",
        "access.hosts",
        "access.origins",
        "access.pages",
        "channels",
        "config",
        "fanout",
        "protocols",
        "broker.fences",
        "broker.parser",
    }
)
WAITING = frozenset({"asyncio", "socket", "ssl", "threading", "selectors", "uvloop"})


def imports(path: Path, package: str) -> set[str]:
    """Every module that the file imports, at the top or anywhere inside; ``from a import b`` gives both a and a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [base])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def modules() -> dict[str, set[str]]:
    """The dotted name below ``wsgw`` of every module that has code and its imports.

    A package's ``__init__`` goes by the package's name; most have only a docstring.
    """
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        package = ".".join(["wsgw", *parts[:-1]])
        is_package = parts[-1] == "__init__" and len(parts) > 1
        if is_package and len(ast.parse(path.read_text()).body) == 1:
            continue
        found[".".join(parts[:-1]) if is_package else ".".join(parts)] = imports(path, package)
    return found


MODULES = modules()


def within(name: str, places: frozenset[str]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


def own_imports(name: str) -> set[str]:
    """The modules of ``wsgw`` that a module imports. The version is the package's own attribute."""
    found = set()
    for target in MODULES[name]:
        if target == "wsgw":
            found.add("__init__")
        elif target.startswith("wsgw."):
            found.add(target.removeprefix("wsgw."))
    return (found & MODULES.keys()) - {name}


def test_every_module_has_its_place() -> None:
    assert sorted(ORDER) == sorted(MODULES), "give a new module its place in scripts/rooms.py (docs/architecture.md)"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_what_stands_before_it(name: str) -> None:
    before = frozenset(ORDER[: ORDER.index(name)])
    above = own_imports(name) - before
    assert not above, f"wsgw.{name} imports {sorted(above)}, which stand above it in scripts/rooms.py"


def test_few_files_at_the_root() -> None:
    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert len(files) <= MAX_ROOT_FILES, f"{sorted(files)}: find a room for one of them"


def test_every_package_says_what_it_is() -> None:
    for path in PACKAGE.rglob("*/__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


@pytest.mark.parametrize("name", MODULES)
def test_libraries_stay_where_they_belong(name: str) -> None:
    for target in MODULES[name]:
        places = LIBRARIES.get(target.partition(".")[0])
        assert places is None or within(name, places), f"wsgw.{name} imports {target}: only {sorted(places)} may"


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, SANS_IO)])
def test_what_decides_does_not_wait(name: str) -> None:
    assert not {target.partition(".")[0] for target in MODULES[name]} & WAITING
