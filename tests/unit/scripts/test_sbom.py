"""The bill of materials of what is installed here."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

SBOM = Path(__file__).parents[3] / "gateway" / "sbom.py"


def run(*arguments: str) -> str:
    return subprocess.run([sys.executable, str(SBOM), *arguments], capture_output=True, text=True, check=True).stdout


def bill(*arguments: str) -> tuple[dict[str, Any], set[str]]:
    """The document, and the names in it."""
    said = json.loads(run(*arguments))
    return said, {component["name"] for component in said["components"]}


def test_what_wsgw_needs() -> None:
    said, names = bill()
    assert (said["bomFormat"], said["specVersion"]) == ("CycloneDX", "1.6")
    assert said["metadata"]["component"]["purl"] == f"pkg:pypi/wsgw@{metadata.version('wsgw')}"
    direct = {"fastapi", "uvicorn", "websockets", "nats-py", "pyjwt", "httpx", "python-socketio", "click", "pyyaml"}
    behind = {"starlette", "cryptography", "aiohttp", "pydantic-core"}  # cryptography and aiohttp by extras
    assert direct | behind <= names
    assert not {"pytest", "ruff", "mypy", "kosoku", "pip"} & names
    of_wsgw = next(each for each in said["dependencies"] if each["ref"].startswith("pkg:pypi/wsgw@"))
    assert f"pkg:pypi/fastapi@{metadata.version('fastapi')}" in of_wsgw["dependsOn"]
    refs = {component["bom-ref"] for component in said["components"]} | {of_wsgw["ref"]}
    assert {needed for each in said["dependencies"] for needed in each["dependsOn"]} <= refs
    assert len(refs) == len(said["components"]) + 1


def test_all_that_is_installed() -> None:
    said, names = bill("--all")
    assert bill()[1] | {"pytest", "ruff"} <= names
    refs = {component["bom-ref"] for component in said["components"]} | {said["metadata"]["component"]["bom-ref"]}
    assert {needed for each in said["dependencies"] for needed in each["dependsOn"]} <= refs


def test_pins() -> None:
    pins = run("--pins").splitlines()
    assert f"uvicorn=={metadata.version('uvicorn')}" in pins
    assert {pin.partition("==")[0] for pin in pins} == bill()[1]
