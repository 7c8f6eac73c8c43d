"""The examples of docs/security.md: blocks that begin with the name of their file, as files of a folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.ports import free_port
from helpers.program import BIN, clean_environment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
#: What stands in the examples for servers of a reader's own, and is another one in a test.
NATS, GATEWAY, APPLICATION = "nats://localhost:4222", "localhost:3007", "8080"
JWKS = "https://id.example/realms/app/protocol/openid-connect/certs"

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"(?:#|//|<!--) ([\w.]+)(?: -->)?\n")


def section(title: str) -> str:
    """The text of the page under that title, until the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^##+ |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None, f"there is no section {title!r}"
    return found[1]


def blocks(text: str) -> dict[str, str]:
    """Those of ``text`` that begin with the name of a file, by that."""
    found = [block for _, block in _BLOCK.findall(text)]
    return {name[1]: block for block in found if (name := _NAME.match(block)) is not None}


class Example:
    """A section's. ``port`` is its application's, ``others`` are its blocks that are no files, by language.

    ``jwks`` takes the place of the identity provider's keys.
    """

    def __init__(self, title: str, folder: Path, nats: NatsServer, jwks: str = JWKS) -> None:
        self.folder = folder
        self.port = free_port()
        self.others: dict[str, list[str]] = {}
        self.files: dict[str, str] = {}
        self._places = {NATS: nats.url, JWKS: jwks, APPLICATION: str(self.port)}
        self._nats = nats
        self._programs: list[subprocess.Popen[bytes]] = []
        for language, text in _BLOCK.findall(section(title)):
            name = _NAME.match(text)
            if name is None:
                self.others.setdefault(language, []).append(text)
            else:
                self.files[name[1]] = text
                (folder / name[1]).write_text(self.placed(text), encoding="utf-8")

    @property
    def configuration(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((self.folder / "wsgw.yml").read_text(encoding="utf-8"))
        return found

    def placed(self, text: str) -> str:
        """``text`` with the test's servers in it."""
        for place, found in self._places.items():
            text = text.replace(place, found)
        return text

    def change(self, name: str, old: str, new: str) -> None:
        """Write another text into a file of the example's."""
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {name}"
        (self.folder / name).write_text(text.replace(old, new), encoding="utf-8")

    def shell(self, text: str) -> list[str]:
        """The lines that a block of commands prints; each has to be well."""
        environment = clean_environment()
        environment["PATH"] = f"{BIN}:{environment['PATH']}"
        command = ["bash", "-euc", self.placed(text)]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    def start(self, name: str, environment: dict[str, str] | None = None) -> None:
        """Run a program of the example's until ``close``."""
        program = "node" if name.endswith(".cjs") else sys.executable
        self._programs.append(
            subprocess.Popen(
                [program, name], cwd=self.folder, env=clean_environment(environment), stderr=subprocess.DEVNULL
            )
        )

    def gateway(self, **more: Any) -> GatewayProcess:
        """The gateway of its configuration, with ``more``; its address is known to the other files from now on."""
        configuration = {"nats": {"servers": [self._nats.url]}, **self.configuration, **more}
        gateway = GatewayProcess(self.folder, configuration)
        self._places[GATEWAY] = f"localhost:{gateway.port}"
        for name, text in self.files.items():
            if GATEWAY in text:
                (self.folder / name).write_text(self.placed(text), encoding="utf-8")
        return gateway

    def close(self) -> None:
        for program in self._programs:
            program.kill()
            program.wait(20)
