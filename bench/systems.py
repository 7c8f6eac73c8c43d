"""The systems that are compared: what each is called, how it is spoken to, and whether it can be had here."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Server, output
from bench.starting import (
    HERE,
    NATS_SERVER,
    NODE_MODULES,
    RSA,
    NatsServer,
    Setting,
    start_asking,
    start_centrifugo,
    start_durable,
    start_fastapi,
    start_nats,
    start_node,
    start_python_socketio,
    start_tls,
    start_with_public_key,
    start_with_secret,
    start_wsgw,
)
from bench.tls import TlsNats, TlsWire
from bench.tokens import SECRET, TokenSocketIO, TokenWire
from bench.wires import Centrifugo, DurableEvents, Nats, ServerSentEvents, SocketIO, Wire


@dataclass(frozen=True)
class System:
    """``start(setting, nats, folder)`` returns a server that delivers; ``missing()`` says why it cannot, or nothing.

    ``batches`` tells whether messages that wait are written together: rounds are larger then.
    """

    name: str
    title: str
    wire: Wire
    start: Callable[[Setting, NatsServer, Path], Server]
    missing: Callable[[], str]
    version: Callable[[], str]
    batches: bool
    #: the name of the system in whose rows it takes part, where that is not its own
    like: str = ""
    #: whether NATS has to have JetStream
    durable: bool = False

    @property
    def kind(self) -> str:
        """The name by which rows know it."""
        return self.like or self.name


def _there() -> str:
    return ""


def _no_node() -> str:
    """Installs the packages into an ignored folder when they are not there."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "there is no node and npm on this machine"
    package = HERE / "peers" / "node" / "package.json"
    copy = NODE_MODULES / "package.json"
    if copy.exists() and copy.read_text() == package.read_text() and (NODE_MODULES / "node_modules" / "nats").exists():
        return ""
    NODE_MODULES.mkdir(exist_ok=True)
    shutil.copy(package, copy)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    try:
        result = subprocess.run(command, cwd=NODE_MODULES, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return "npm install took more than two minutes"
    return "" if result.returncode == 0 else f"npm install failed: {result.stderr.strip()[-200:]}"


def _no_centrifugo() -> str:
    path = os.environ.get("CENTRIFUGO", "")
    if not path:
        return "CENTRIFUGO does not name a binary of Centrifugo 6"
    return "" if os.access(path, os.X_OK) else f"CENTRIFUGO={path} cannot be run"


def _distributions(*names: str) -> Callable[[], str]:
    return lambda: ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def _node_version() -> str:
    def installed(name: str) -> str:
        return str(json.loads((NODE_MODULES / "node_modules" / name / "package.json").read_text())["version"])

    return f"node {output(['node', '--version'])}, socket.io {installed('socket.io')}, nats {installed('nats')}"


_PYTHON = ("uvicorn", "uvloop", "nats-py")


def _nats_version() -> str:
    return output([NATS_SERVER, "--version"])


_wsgw_version = _distributions("wsgw", *_PYTHON, "websockets")

SYSTEMS = (
    System("wsgw", "wsgw", Wire(), start_wsgw, _there, _wsgw_version, True),
    System("wsgw-sio", "wsgw, Socket.IO", SocketIO(), start_wsgw, _there, _wsgw_version, True),
    System("wsgw-sse", "wsgw, server-sent events", ServerSentEvents(), start_wsgw, _there, _wsgw_version, True),
    System(
        "wsgw-token",
        "wsgw, tokens by HS256",
        TokenWire(SECRET, "HS256"),
        start_with_secret,
        _there,
        _wsgw_version,
        True,
    ),
    System(
        "wsgw-rs256",
        "wsgw, tokens by RS256",
        TokenWire(RSA[0], "RS256"),
        start_with_public_key,
        _there,
        _wsgw_version,
        True,
    ),
    System(
        "wsgw-sio-token",
        "wsgw, Socket.IO, tokens by HS256",
        TokenSocketIO(),
        start_with_secret,
        _there,
        _wsgw_version,
        True,
    ),
    System("wsgw-durable", "wsgw, durable", Wire(), start_durable, _there, _wsgw_version, True, durable=True),
    System(
        "wsgw-durable-sse",
        "wsgw, durable, server-sent events",
        DurableEvents(),
        start_durable,
        _there,
        _wsgw_version,
        True,
        durable=True,
    ),
    System("wsgw-tls", "wsgw, TLS", TlsWire(), start_tls, _there, _wsgw_version, True),
    System("nats", "nats-server WebSocket", Nats(), start_nats, _there, _nats_version, True),
    System("nats-tls", "nats-server WebSocket, TLS", TlsNats(), start_nats, _there, _nats_version, True),
    System(
        "centrifugo",
        "Centrifugo",
        Centrifugo(),
        start_centrifugo,
        _no_centrifugo,
        lambda: output([os.environ["CENTRIFUGO"], "version"]),
        True,
    ),
    System("fastapi", "FastAPI bridge", Wire(), start_fastapi, _there, _distributions("fastapi", *_PYTHON), False),
    System("node", "Node socket.io", SocketIO(), start_node, _no_node, _node_version, False),
    System(
        "pysio",
        "python-socketio",
        SocketIO(),
        start_python_socketio,
        _there,
        _distributions("python-socketio", "python-engineio", *_PYTHON),
        False,
    ),
    System("broker", "wsgw's broker", Wire(), start_asking("broker"), _there, _wsgw_version, True),
    System("nats-py", "nats-py", Wire(), start_asking("nats-py"), _there, _distributions("uvloop", "nats-py"), True),
)


def paired_with(program: Path) -> tuple[System, ...]:
    """The gateway ``program`` (another commit's ``wsgw``), which takes turns with this one's, by both wires."""

    def start(setting: Setting, nats: NatsServer, folder: Path) -> Server:
        return start_wsgw(setting, nats, folder, program)

    def missing() -> str:
        return "" if os.access(program, os.X_OK) else f"BEFORE={program} cannot be run"

    def version() -> str:
        return f"{program}: {output([program, '--version'])}"

    return (
        System("before", "wsgw before", Wire(), start, missing, version, True, "wsgw"),
        System("before-sio", "wsgw before, Socket.IO", SocketIO(), start, missing, version, True, "wsgw-sio"),
    )
