"""What ``make mutants`` breaks: the core's modules, the tests of each, and the list of breaks that change nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: The modules, and folders or files of ``tests/unit`` that say what they do beside their own tests.
MODULES: dict[str, tuple[str, ...]] = {
    "shares.tick": ("shares/test_slices.py",),
    "shares.slices": (),
    "shares.memory": (),
    "shares.files": (),
    "fanout.history": (),
    "fanout.share": ("fanout/test_outbox_notices.py",),
    "fanout.outbox": ("fanout/test_sender.py", "fanout/test_outbox_notices.py"),
    "fanout.sender": ("fanout/test_outbox.py",),
    "fanout.audience": ("fanout/test_hub.py", "fanout/test_gap.py"),
    "fanout.hub": ("fanout/test_audience.py",),
    "channels.hemera": (),
    "protocols.floods": (),
    "protocols.http1.head": (),
    "protocols.http1.chunked": (),
    "protocols.websocket.clientframes": (),
    "protocols.engineio.packets": ("protocols/engineio/test_engine.py",),
    "protocols.engineio.engine": ("surfaces/socketio/test_freed.py",),
    "protocols.socketio.arguments": (),
    "protocols.socketio.packets": (),
    "protocols.socketio.multiplexer": (),
    "protocols.sse.wire": (),
    "protocols.sse.request": (),
    "broker.parser": ("broker/test_violation.py",),
    "broker.stream": ("broker/test_client.py", "broker/test_connection_loss.py"),
    "broker.client": ("broker/test_stream.py", "broker/test_connection.py", "broker/test_requests.py"),
    "broker.fences": (),
    "broker.requests": ("broker/test_hostile_requests.py", "broker/test_connection.py"),
    "broker.writing": ("broker/test_connection.py", "broker/test_hostile.py"),
    "broker.interest": ("broker/test_connection.py", "broker/test_max_subscriptions.py"),
    "broker.connection": ("broker/test_broker.py", "broker/test_hostile.py", "broker/test_max_subscriptions.py"),
    "broker.twins": ("broker/test_handover.py",),
    "broker.handover": (),
    "broker.renewal": (),
    "broker.uplink": ("broker/test_broker.py",),
    "bridges.lost": ("bridges/test_fixed.py", "bridges/test_pattern.py"),
    "bridges.base": ("bridges/test_fixed.py",),
    "bridges.interests": ("bridges/test_concrete.py",),
    "bridges.concrete": (),
    "bridges.overlap": (),
    "bridges.pattern": (),
    "bridges.consumer": ("bridges/test_shared.py",),
    "bridges.pages": ("bridges/test_following.py",),
    "bridges.following": ("bridges/test_durable.py",),
    "config.keys": ("config/test_auth.py",),
    "access.bearer": (),
    "access.compact": (),
    "access.claims": (),
    "access.signatures": (),
    "access.tokencache": (),
    "access.jwkset": (),
    "access.jwks": (),
    "access.authentication": ("access/test_jwks.py",),
    "core.backpressure": ("core/test_session.py",),
    "core.outbound": ("core/test_session.py",),
    "core.drain": ("core/test_gateway.py",),
    "core.edge": (),
    "core.session": (),
    "transports.stream": (),
    "transports.keepalive": ("transports/test_direct.py",),
    "transports.closing": (
        *("transports/test_accept.py", "transports/test_freed.py", "transports/test_keepalive.py"),
        "transports/test_direct.py",
    ),
    "transports.direct": ("transports/test_accept.py",),
}

#: What the tests load.
LIBRARIES = (
    *("aiohttp", "fastapi", "httptools", "httpx", "nats", "orjson", "prometheus_client", "pydantic_settings"),
    *("socketio", "uvicorn", "uvloop", "websockets", "yaml"),
)


class MutantsError(Exception):
    """Nothing can be said: the tests fail on the original, or a list names what is not there."""


@dataclass(frozen=True)
class House:
    """A repository: its tests run in ``root`` against ``package`` and load
    ``libraries``; ``equivalent`` is the list."""

    root: Path
    package: Path
    tests: Path
    equivalent: Path
    modules: Mapping[str, Sequence[str]]
    libraries: Sequence[str] = ()

    def path_of(self, module: str) -> Path:
        return self.package.joinpath(*module.split(".")).with_suffix(".py")

    def tests_of(self, module: str) -> list[Path]:
        """Those of its own first, as they notice most."""
        folder, name = self.tests.joinpath(*module.split(".")[:-1]), module.rpartition(".")[2]
        own = [*sorted(folder.glob(f"test_{name}.py")), *sorted(folder.glob(f"test_{name}_*.py"))]
        more = [self.tests / path for path in self.modules[module]]
        missing = [path for path in more if not path.exists()]
        if not own or missing:
            raise MutantsError(f"{module}: no test {missing[0] if missing else folder / f'test_{name}.py'}")
        return [*own, *more]


def read_equivalent(path: Path) -> dict[str, str]:
    """The reason by key. A key is a line, its reason the indented lines below; ``#`` begins a comment."""
    found: dict[str, str] = {}
    key = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.exists() else (), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith(" "):
            if not key:
                raise MutantsError(f"{path}:{number}: a reason of nothing")
            found[key] += f" {line.strip()}"
        elif line in found:
            raise MutantsError(f"{path}:{number}: said twice: {line}")
        else:
            key = line
            found[key] = ""
    bare = [key for key, reason in found.items() if not reason]
    if bare:
        raise MutantsError(f"{path}: no reason for {bare[0]}")
    return found


WSGW = House(
    root=ROOT,
    package=ROOT / "gateway" / "wsgw",
    tests=ROOT / "tests" / "unit",
    equivalent=ROOT / "tests" / "mutants" / "equivalent.txt",
    modules=MODULES,
    libraries=LIBRARIES,
)
