"""The systems that are compared, each as good as its users would write it; see ``peers/``."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.nats_feed import Publisher, publish_line
from bench.processes import Server, free_port, output
from bench.responder import SUBJECT
from bench.tls import TlsNats, TlsWire, files, trusting
from bench.tokens import SECRET, TokenSocketIO, TokenWire, by_public_key, by_secret, pair
from bench.wires import FIRST_SEQUENCE, Centrifugo, DurableEvents, Nats, ServerSentEvents, SocketIO, Wire

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
NATS_SERVER = BIN / "nats-server"
NODE_MODULES = HERE / ".node"
#: No pings while bytes are counted (the one that comes early is expected), nothing dropped.
_NATS_CONFIGURATION = 'ping_interval: "10m"\n'


@dataclass(frozen=True)
class Setting:
    """What a row asks of a server: inbound channels, and the outbox of each in messages and bytes."""

    channels: tuple[str, ...] = ("IN",)
    outbox: tuple[int, int] | None = None


class NatsServer(Server):
    """A nats-server: ``nats_port`` is its NATS listener, ``port`` its WebSocket listener."""

    def __init__(self, folder: Path, *, jetstream: bool = False, secure: bool = False) -> None:
        self.nats_port, port = free_port(), free_port()
        tls = "no_tls: true"
        if secure:
            certificate, key = files(folder)
            tls = f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}'
        text = _NATS_CONFIGURATION + f'websocket {{ host: "127.0.0.1", port: {port}, {tls} }}\n'
        if jetstream:
            text += f"jetstream {{ store_dir: {folder} }}\n"
        configuration = folder / f"nats-{port}.conf"
        configuration.write_text(text)
        command: list[str | Path] = [NATS_SERVER, "-c", configuration, "-a", "127.0.0.1", "-p", str(self.nats_port)]
        super().__init__("nats-server", command, port, folder)
        self.wait_listening()

    @property
    def url(self) -> str:
        """For NATS clients."""
        return f"nats://127.0.0.1:{self.nats_port}"


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


def _start_nats(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    return nats  # the one that is fed is itself the system


def _start_wsgw(
    setting: Setting,
    nats: NatsServer,
    folder: Path,
    program: Path = BIN / "wsgw",
    *,
    durable: bool = False,
    **more: dict[str, Any],
) -> Server:
    port = free_port()
    channels: list[dict[str, Any]] = [{"name": name, "direction": "inbound"} for name in setting.channels]
    if durable:
        for channel in channels:
            _make_stream(nats, channel["name"])
            channel["durable"] = {"managed": False}
    if setting.outbox is not None:
        for channel in channels:
            channel["outbox"] = {"messages": setting.outbox[0], "bytes": setting.outbox[1]}
    channels.append({"name": "OUT", "direction": "outbound"})
    channels.append({"name": SUBJECT, "direction": "request", "timeout": "30s"})
    file = folder / f"wsgw-{port}.yml"
    file.write_text(json.dumps({"channels": channels} | more))  # JSON is YAML
    command: list[str | Path] = [program, "server", "-c", file, "-p", str(port), "-n", nats.url, "-l", "warn"]
    server = Server("wsgw", command, port, folder)
    server.wait_listening()
    scheme = "https" if "tls" in more else "http"
    server.wait_until(lambda: _answers(f"{scheme}://127.0.0.1:{port}/readyz"), "ready")
    return server


def _start_durable(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    return _start_wsgw(setting, nats, folder, durable=True)


def _start_with_secret(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    return _start_wsgw(setting, nats, folder, auth=by_secret())


def _start_with_public_key(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    file = folder / "public.pem"
    file.write_text(_RSA[1])
    return _start_wsgw(setting, nats, folder, auth=by_public_key(str(file)))


def _start_tls(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    certificate, key = files(folder)
    return _start_wsgw(setting, nats, folder, tls={"certificate_file": str(certificate), "key_file": str(key)})


def _make_stream(nats: NatsServer, name: str) -> None:
    """Of the subject ``name``; it keeps little, and in memory: what is measured is the gateway."""
    stream = {"name": name, "subjects": [name], "storage": "memory", "max_bytes": 64 * 1024 * 1024}
    more = {"discard": "old", "allow_direct": True, "first_seq": FIRST_SEQUENCE}
    publisher = Publisher(nats.nats_port)
    publisher.publish(publish_line(f"$JS.API.STREAM.CREATE.{name}", json.dumps(stream | more).encode()))
    publisher.close()


def _answers(url: str) -> bool:
    https = urllib.request.HTTPSHandler(context=trusting())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)
    try:
        with opener.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


def _start_bridge(command: list[str | Path], setting: Setting, nats: NatsServer, folder: Path) -> Server:
    port = free_port()
    server = Server(
        Path(command[-1]).stem,
        command,
        port,
        folder,
        BRIDGE_PORT=str(port),
        BRIDGE_NATS=nats.url,
        BRIDGE_CHANNELS=",".join(setting.channels),
        BRIDGE_MODULES=str(NODE_MODULES),
    )
    server.wait_listening()
    return server


def _start_fastapi(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    return _start_bridge([sys.executable, HERE / "peers" / "fastapi_bridge.py"], setting, nats, folder)


def _start_asking(way: str) -> Callable[[Setting, NatsServer, Path], Server]:
    command: list[str | Path] = [sys.executable, "-m", "bench.peers.asking", way]
    return lambda setting, nats, folder: _start_bridge(command, setting, nats, folder)


def _start_python_socketio(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    return _start_bridge([sys.executable, HERE / "peers" / "socketio_bridge.py"], setting, nats, folder)


def _start_node(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    return _start_bridge(["node", HERE / "peers" / "node" / "bridge.cjs"], setting, nats, folder)


def _start_centrifugo(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    port = free_port()
    configuration = json.loads((HERE / "peers" / "centrifugo.json").read_text())
    configuration["http_server"]["port"] = str(port)
    configuration["broker"]["nats"]["url"] = nats.url
    file = folder / f"centrifugo-{port}.json"
    file.write_text(json.dumps(configuration))
    server = Server("centrifugo", [os.environ["CENTRIFUGO"], "-c", file], port, folder)
    server.wait_listening()
    return server


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

_RSA = pair()

SYSTEMS = (
    System("wsgw", "wsgw", Wire(), _start_wsgw, _there, _wsgw_version, True),
    System("wsgw-sio", "wsgw, Socket.IO", SocketIO(), _start_wsgw, _there, _wsgw_version, True),
    System("wsgw-sse", "wsgw, server-sent events", ServerSentEvents(), _start_wsgw, _there, _wsgw_version, True),
    System(
        "wsgw-token",
        "wsgw, tokens by HS256",
        TokenWire(SECRET, "HS256"),
        _start_with_secret,
        _there,
        _wsgw_version,
        True,
    ),
    System(
        "wsgw-rs256",
        "wsgw, tokens by RS256",
        TokenWire(_RSA[0], "RS256"),
        _start_with_public_key,
        _there,
        _wsgw_version,
        True,
    ),
    System(
        "wsgw-sio-token",
        "wsgw, Socket.IO, tokens by HS256",
        TokenSocketIO(),
        _start_with_secret,
        _there,
        _wsgw_version,
        True,
    ),
    System("wsgw-durable", "wsgw, durable", Wire(), _start_durable, _there, _wsgw_version, True, durable=True),
    System(
        "wsgw-durable-sse",
        "wsgw, durable, server-sent events",
        DurableEvents(),
        _start_durable,
        _there,
        _wsgw_version,
        True,
        durable=True,
    ),
    System("wsgw-tls", "wsgw, TLS", TlsWire(), _start_tls, _there, _wsgw_version, True),
    System("nats", "nats-server WebSocket", Nats(), _start_nats, _there, _nats_version, True),
    System("nats-tls", "nats-server WebSocket, TLS", TlsNats(), _start_nats, _there, _nats_version, True),
    System(
        "centrifugo",
        "Centrifugo",
        Centrifugo(),
        _start_centrifugo,
        _no_centrifugo,
        lambda: output([os.environ["CENTRIFUGO"], "version"]),
        True,
    ),
    System("fastapi", "FastAPI bridge", Wire(), _start_fastapi, _there, _distributions("fastapi", *_PYTHON), False),
    System("node", "Node socket.io", SocketIO(), _start_node, _no_node, _node_version, False),
    System(
        "pysio",
        "python-socketio",
        SocketIO(),
        _start_python_socketio,
        _there,
        _distributions("python-socketio", "python-engineio", *_PYTHON),
        False,
    ),
    System("broker", "wsgw's broker", Wire(), _start_asking("broker"), _there, _wsgw_version, True),
    System("nats-py", "nats-py", Wire(), _start_asking("nats-py"), _there, _distributions("uvloop", "nats-py"), True),
)


def paired_with(program: Path) -> tuple[System, ...]:
    """The gateway ``program`` (another commit's ``wsgw``), which takes turns with this one's, by both wires."""

    def start(setting: Setting, nats: NatsServer, folder: Path) -> Server:
        return _start_wsgw(setting, nats, folder, program)

    def missing() -> str:
        return "" if os.access(program, os.X_OK) else f"BEFORE={program} cannot be run"

    def version() -> str:
        return f"{program}: {output([program, '--version'])}"

    return (
        System("before", "wsgw before", Wire(), start, missing, version, True, "wsgw"),
        System("before-sio", "wsgw before, Socket.IO", SocketIO(), start, missing, version, True, "wsgw-sio"),
    )
