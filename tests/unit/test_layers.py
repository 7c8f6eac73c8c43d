"""DESIGN section 5: a module imports only modules of a lower rank, and libraries stay where they belong."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "gateway" / "wsgw"

#: Every module and package directly in ``wsgw`` (``__init__`` is the package itself), lowest rank first.
RANKS: tuple[frozenset[str], ...] = (
    frozenset({"__init__", "errors", "frames", "yaml12"}),
    frozenset({"log", "metrics", "channels", "configfile"}),
    frozenset({"publication", "settings", "turn"}),
    frozenset({"link", "outbox", "overlap", "wire"}),
    frozenset({"sender"}),
    frozenset({"group"}),
    frozenset({"hub", "sockets", "broker"}),
    frozenset({"bridge", "holdback", "publisher"}),
    frozenset({"interests"}),
    frozenset({"pattern"}),
    frozenset({"gateway"}),
    frozenset({"session"}),
    frozenset({"transports"}),
    frozenset({"app"}),
    frozenset({"server"}),
    frozenset({"cli"}),
)

#: Who may import a library; a name stands for the module or everything in the package.
LIBRARIES: dict[str, frozenset[str]] = {
    "uvicorn": frozenset({"transports", "app", "server"}),
    "fastapi": frozenset({"transports", "app", "server"}),
    "starlette": frozenset({"transports", "app", "server"}),
    "websockets": frozenset({"transports", "wire", "cli.clients"}),
    "nats": frozenset({"broker", "cli.clients"}),
    "socketio": frozenset({"cli.clients"}),
    "click": frozenset({"cli"}),
    "pydantic": frozenset({"settings"}),
    "pydantic_settings": frozenset({"settings"}),
    "prometheus_client": frozenset({"metrics"}),
}

#: What decides without waiting, and the modules that wait.
SANS_IO = frozenset(
    {"channels", "publication", "frames", "outbox", "overlap", "link", "sender", "turn", "group", "hub", "sockets"}
    | {"settings", "configfile", "wire", "broker.fences", "broker.parser"}
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
    """The dotted name below ``wsgw`` of every module (a package's ``__init__`` goes by the package) and its imports."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        package = ".".join(["wsgw", *parts[:-1]])
        name = ".".join(parts[:-1]) if parts[-1] == "__init__" and len(parts) > 1 else ".".join(parts)
        found[name] = imports(path, package)
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


def rank(name: str) -> int:
    top = name.partition(".")[0]
    return next(i for i, names in enumerate(RANKS) if top in names)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_one_rank(name: str) -> None:
    top = name.partition(".")[0]
    count = sum(top in names for names in RANKS)
    assert count == 1, f"wsgw.{top} has {count} ranks: give a new module its place in RANKS (DESIGN section 5)"


def test_the_ranks_name_no_other_modules() -> None:
    assert frozenset().union(*RANKS) == {name.partition(".")[0] for name in MODULES}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_lower_ranks(name: str) -> None:
    top = name.partition(".")[0]
    for target in own_imports(name):
        if target.partition(".")[0] != top:
            assert rank(target) < rank(name), f"wsgw.{name} (rank {rank(name)}) imports {target} ({rank(target)})"


def test_no_cycles() -> None:
    try:
        TopologicalSorter({name: own_imports(name) for name in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other in a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("name", MODULES)
def test_libraries_stay_where_they_belong(name: str) -> None:
    for target in MODULES[name]:
        places = LIBRARIES.get(target.partition(".")[0])
        assert places is None or within(name, places), f"wsgw.{name} imports {target}: only {sorted(places)} may"


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, SANS_IO)])
def test_what_decides_does_not_wait(name: str) -> None:
    assert not {target.partition(".")[0] for target in MODULES[name]} & WAITING
