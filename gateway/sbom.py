"""The Python packages of an installed wsgw, as a software bill of materials (CycloneDX 1.6, JSON), to standard output.

``python sbom.py`` lists wsgw and what it needs, ``python sbom.py --all`` all that is installed, and ``python sbom.py
--pins`` the first as requirements. Only the standard library is used: it runs with the Python that has wsgw.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata
from typing import Any

ROOT = "wsgw"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?([^;]*)(?:;(.*))?")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


def normal(name: str) -> str:
    """``name`` as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(name: str, extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    """What ``name`` with ``extras`` needs that is installed, and with which extras.

    Other markers have been looked at by pip: what is not for here is not there.
    """
    found = []
    for line in metadata.requires(name) or ():
        match = _REQUIREMENT.match(line)
        assert match is not None, line
        needed, its_extras, _, marker = match.groups()
        of = set(_EXTRA.findall(marker or ""))
        if (not of or of & extras) and installed(needed):
            found.append((normal(needed), frozenset(filter(None, re.split(r"[\s,]+", its_extras or "")))))
    return found


def installed(name: str) -> bool:
    """Whether there is a distribution of that name."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def closure(root: str) -> dict[str, set[str]]:
    """``root`` and all that it needs, by name, each with what it needs itself."""
    found: dict[str, set[str]] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    left = [(root, frozenset[str]())]
    while left:
        each = left.pop()
        if each not in seen:
            seen.add(each)
            needs = requirements(*each)
            found.setdefault(each[0], set()).update(name for name, _ in needs)
            left += needs
    return found


def everything() -> dict[str, set[str]]:
    """All that is installed, by name, each with what it needs."""
    names = {normal(each.metadata["Name"]) for each in metadata.distributions()}
    return {name: {needed for needed, _ in requirements(name, frozenset())} for name in names} | closure(ROOT)


def purl(name: str) -> str:
    """The package URL of the version that is installed."""
    return f"pkg:pypi/{name}@{metadata.version(name)}"


def component(name: str) -> dict[str, Any]:
    """As CycloneDX has it."""
    said = metadata.metadata(name)
    found: dict[str, Any] = {
        "type": "application" if name == ROOT else "library",
        "bom-ref": purl(name),
        "name": name,
        "version": said["Version"],
        "purl": purl(name),
    }
    expression, license = said.get("License-Expression"), said.get("License")  # type: ignore[attr-defined]  # it has
    if expression:
        found["licenses"] = [{"expression": expression}]
    elif license and "\n" not in license:
        found["licenses"] = [{"license": {"name": license}}]
    return found


def document(packages: dict[str, set[str]]) -> dict[str, Any]:
    """The bill of ``packages``."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": component(ROOT)},
        "components": [component(name) for name in sorted(packages) if name != ROOT],
        "dependencies": [
            {"ref": purl(name), "dependsOn": sorted(purl(needed) for needed in needs)}
            for name, needs in sorted(packages.items())
        ],
    }


def main() -> None:
    """See the module."""
    packages = everything() if "--all" in sys.argv else closure(ROOT)
    if "--pins" in sys.argv:
        print("\n".join(f"{name}=={metadata.version(name)}" for name in sorted(packages) if name != ROOT))
    else:
        print(json.dumps(document(packages), indent=2))


if __name__ == "__main__":
    main()
