"""How each system is started for a measurement, as its users would have it; see ``peers/``."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.nats_feed import Publisher, publish_line
from bench.processes import Server, free_port
from bench.responder import SUBJECT
from bench.tls import files, trusting
from bench.tokens import by_public_key, by_secret, pair
from bench.wires import FIRST_SEQUENCE

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
NATS_SERVER = BIN / "nats-server"
NODE_MODULES = HERE / ".node"
#: A key of its own in each run, private and public.
RSA = pair()
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


def start_nats(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    """nats-server itself."""
    return nats  # the one that is fed is itself the system


def start_wsgw(
    setting: Setting,
    nats: NatsServer,
    folder: Path,
    program: Path = BIN / "wsgw",
    *,
    durable: bool = False,
    **more: dict[str, Any],
) -> Server:
    """The gateway, by ``program`` and with ``more`` in its configuration."""
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


def start_durable(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    """The gateway with durable channels."""
    return start_wsgw(setting, nats, folder, durable=True)


def start_with_secret(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    """The gateway with tokens by a secret."""
    return start_wsgw(setting, nats, folder, auth=by_secret())


def start_with_public_key(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    """The gateway with tokens by a public key."""
    file = folder / "public.pem"
    file.write_text(RSA[1])
    return start_wsgw(setting, nats, folder, auth=by_public_key(str(file)))


def start_tls(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    """The gateway with TLS."""
    certificate, key = files(folder)
    return start_wsgw(setting, nats, folder, tls={"certificate_file": str(certificate), "key_file": str(key)})


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


def _bridge(command: list[str | Path], setting: Setting, nats: NatsServer, folder: Path) -> Server:
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


def start_fastapi(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    """A bridge by FastAPI."""
    return _bridge([sys.executable, HERE / "peers" / "fastapi_bridge.py"], setting, nats, folder)


def start_asking(way: str) -> Callable[[Setting, NatsServer, Path], Server]:
    """What asks NATS by ``way``; see ``peers.asking``."""
    command: list[str | Path] = [sys.executable, "-m", "bench.peers.asking", way]
    return lambda setting, nats, folder: _bridge(command, setting, nats, folder)


def start_python_socketio(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    """A bridge by python-socketio."""
    return _bridge([sys.executable, HERE / "peers" / "socketio_bridge.py"], setting, nats, folder)


def start_node(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    """A bridge by npm's socket.io."""
    return _bridge(["node", HERE / "peers" / "node" / "bridge.cjs"], setting, nats, folder)


def start_centrifugo(setting: Setting, nats: NatsServer, folder: Path) -> Server:
    """Centrifugo."""
    port = free_port()
    configuration = json.loads((HERE / "peers" / "centrifugo.json").read_text())
    configuration["http_server"]["port"] = str(port)
    configuration["broker"]["nats"]["url"] = nats.url
    file = folder / f"centrifugo-{port}.json"
    file.write_text(json.dumps(configuration))
    server = Server("centrifugo", [os.environ["CENTRIFUGO"], "-c", file], port, folder)
    server.wait_listening()
    return server
