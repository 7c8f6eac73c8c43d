"""Configuration files, and what the names in them are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fuzz.target import Run, Target, plain
from wsgw.channels.subjects import subject_problem
from wsgw.config.file import read
from wsgw.config.hints import hints
from wsgw.config.load import load
from wsgw.config.values import seconds
from wsgw.errors import ConfigError


@contextmanager
def begin_file() -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="wsgw-fuzz-") as folder:
        path = Path(folder) / "wsgw.yml"

        def run(data: bytes) -> None:
            path.write_bytes(data)
            with suppress(ConfigError):
                file = read(str(path))
                hints(load({}, {}, file), file)

        yield run


def names(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for wildcards in (False, True):
        problem = subject_problem(text, wildcards=wildcards)
        assert problem is None or problem
    with suppress(ValueError):
        assert seconds(text) >= 0


FILE = b"""listen: 0.0.0.0:3007
nats: {servers: [nats://nats:4222], inbox_prefix: _GATE}
origins: [same, "https://*.app.example:8443"]
hosts: [a.example]
auth:
  jwt: {secret: 0123456789abcdef0123456789abcdef, issuer: me, leeway: 5s}
  anonymous: {subscribe: ["public.*"]}
limits: {memory: 64 MiB, head_timeout: 3s}
channels:
  - {name: IN, direction: inbound, on_gap: close}
  - {name: "chat.*", direction: both, subject: "rooms.*"}
  - {name: orders, direction: inbound, durable: {stream: ORDERS, max_age: 24h}}
  - {name: sum, direction: request, subject: math.sum, timeout: 2s}
  - {name: inbox, subject: "users.{sub}.inbox", direction: inbound}
"""
ORIGINAL = b"""wsServer: {port: 3007}
webServer: {port: 3008}
natsServer: {uri: "nats://localhost:4222"}
useWebsocket: true
"""
WORDS = (
    *(
        b"\n",
        b"\n  ",
        b": ",
        b"- ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"&a ",
        b"*a",
        b"<<: *a",
        b"!!binary ",
        b"!!python/object:",
    ),
    *(b"|\n", b">\n", b'"', b"'", b"---\n", b"...\n", b"%YAML 1.1\n", b"? ", b"~", b"null", b"true", b".inf", b".nan"),
    *(b"0x1f", b"0o7", b"1_000", b"1e999", b"-1", b"99999999999999999999", b"5s", b"1 GiB", b"1h", b"any", b"same"),
    *(
        b"channels:",
        b"name:",
        b"direction:",
        b"durable:",
        b"auth:",
        b"jwt:",
        b"delegate:",
        b"roles:",
        b"limits:",
        b"log:",
    ),
    *(b"hemera:", b"authorize:", b"slow_consumer:", b"outbox:", b"on_join:", b"cookie:", b"\xc2\x85", b"\xef\xbb\xbf"),
)

TARGETS = (
    Target("config", begin_file, (FILE, ORIGINAL, b"channels: []"), WORDS, share=0.02),
    Target("names", plain(names), (b"chat.*", b"a.b.>", b"60s", b"1.5h"), (b".", b"*", b">", b" ", b"\0", b"ms"), 300),
)
