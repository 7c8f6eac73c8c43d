"""What the gateway cannot start with: one clear line for each thing that is wrong, and exit code 1 at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from helpers.authority import Authority
from helpers.nats_server import NatsServer, StartNats
from helpers.ports import free_port
from helpers.program import Program


class Commands:
    """Starts programs, and ends those that do not end by themselves."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Program] = []

    def start(self, name: str, *arguments: str, **environment: str) -> Program:
        """Start an installed command."""
        self._started.append(Program(self._folder, name, *arguments, environment=environment))
        return self._started[-1]

    async def fail(self, name: str, *arguments: str, code: int = 1) -> str:
        """The output of a command that has to end with ``code``, without a traceback."""
        program = self.start(name, *arguments)
        assert await program.ended() == code, program.output
        assert "Traceback" not in program.output
        return program.output

    def end(self) -> None:
        """Nothing stays."""
        for program in self._started:
            program.kill()


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(tmp_path)
    yield commands
    commands.end()


BROKEN_FILES = {
    "a typo": (
        "listen: 127.0.0.1:0\nchanels:\n  - {name: IN, direction: inbound}\n",
        ["wsgw.yml:2: chanels: unknown key", "did you mean 'channels'?"],
    ),
    "a typo inside": (
        "channels:\n  - name: IN\n    direction: inbound\n    subjekt: X\n",
        ["wsgw.yml:4: channels[0].subjekt: unknown key", "did you mean 'subject'?"],
    ),
    "a wrong direction": (
        "channels:\n  - {name: IN, direction: inwards}\n",
        ["wsgw.yml:2: channels[0].direction: ", "'inbound'"],
    ),
    "a duplicate": (
        "channels:\n  - {name: IN, direction: inbound}\n  - {name: IN, direction: outbound}\n",
        ["wsgw.yml:3: channels[1].name: ", "'IN' is there twice", "direction: both"],
    ),
    "a space": (
        'channels:\n  - {name: IN, direction: inbound, subject: "a b"}\n',
        ["wsgw.yml:2: channels[0]", "subject 'a b'"],
    ),
    "everything outbound": (
        'channels:\n  - {name: ">", direction: outbound}\n',
        ["wsgw.yml:2: channels[0].name: ", "begin it with a fixed token"],
    ),
    "two things": (
        "listen: nowhere\nlog: {level: loud}\n",
        ["wsgw.yml:1: listen: 'nowhere' is not HOST:PORT or unix:/PATH"],
    ),
    "no YAML": ("channels: [\n", ["wsgw.yml:2: not YAML: "]),
    "a list": ("- 1\n", ["wsgw.yml:1: "]),
    "a NATS URL of another kind": (
        "nats:\n  servers: [http://localhost:4222]\n",
        ["wsgw.yml:2: nats.servers", "'http://localhost:4222' is not a NATS URL"],
    ),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
async def test_broken_files(commands: Commands, tmp_path: Path, name: str) -> None:
    """The server and check-config say the same."""
    text, wanted = BROKEN_FILES[name]
    (tmp_path / "wsgw.yml").write_text(text)
    outputs = await asyncio.gather(commands.fail("wsgw", "server"), commands.fail("wsgw", "check-config", "wsgw.yml"))
    for part in wanted:
        assert all(part in output for output in outputs), outputs


async def test_a_missing_file(commands: Commands) -> None:
    for name, command in (("wsgw", "server"), ("easer", "-w")):
        assert "nowhere.yml: No such file" in await commands.fail(name, command, "-c", "nowhere.yml")


@pytest.mark.parametrize(
    ("arguments", "code", "wanted"),
    [
        (["-i", "A,,B"], 1, "empty"),
        (["-i", "A B"], 1, "'A B'"),
        (["-i", "A", "-n", "localhost:port"], 1, "NATS URL"),
        (["-l", "loud"], 1, "error, warn, info, verbose, debug, silly"),
        (["-p", "http"], 1, "port"),
        (["-p", "65536"], 1, "port"),
    ],
)
@pytest.mark.parametrize("name", ["wsgw", "easer"])
async def test_broken_options(commands: Commands, name: str, arguments: list[str], code: int, wanted: str) -> None:
    command = "server" if name == "wsgw" else "-w"
    assert wanted in await commands.fail(name, command, *arguments, code=code)


async def test_unknown_options(commands: Commands) -> None:
    """An error of wsgw; easer warns, as the original took what it did not know."""
    assert "--nonsense" in await commands.fail("wsgw", "server", "--nonsense", code=2)
    easer = commands.start("easer", "-w", "-p", "0", "-i", "IN", "--nonsense", "-b", "/api")
    await easer.printed("Server listening on port")
    assert "warn: unknown option --nonsense is ignored" in easer.output
    assert "warn: option --basePath" in easer.output


async def test_easer_without_its_switch(commands: Commands) -> None:
    assert "easer -u -w" in await commands.fail("easer", "-i", "IN", code=2)


async def test_a_port_in_use(commands: Commands) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        output = await commands.fail("wsgw", "server", "-i", "IN", "-p", str(port))
    assert f"error: port {port} on 127.0.0.1 is in use by another program" in output


@pytest.fixture
async def no_nats() -> AsyncIterator[int]:
    """A port where something listens that is no NATS server."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_no_nats_and_no_wish_to_wait(commands: Commands, no_nats: int) -> None:
    for port in (free_port(), no_nats):
        url = f"nats://127.0.0.1:{port}"
        output = await commands.fail("wsgw", "server", "-i", "IN", "-p", "0", "-n", url, "--exit-if-no-nats")
        (line,) = [line for line in output.splitlines() if "error: " in line]
        assert url in line


async def test_wrong_password_and_no_wish_to_wait(commands: Commands, start_nats: StartNats) -> None:
    nats = start_nats("authorization { user: u, password: right }")
    url = nats.url.replace("://", "://u:wr0ng@")
    output = await commands.fail("wsgw", "server", "-i", "IN", "-p", "0", "-n", url, "--exit-if-no-nats")
    assert "uthorization" in output
    assert "wr0ng" not in output


async def test_nats_there_and_no_wish_to_wait(commands: Commands, nats_server: NatsServer) -> None:
    program = commands.start("wsgw", "server", "-i", "IN", "-p", "0", "-n", nats_server.url, "--exit-if-no-nats")
    await program.printed("App runs the jobs...")


async def test_nats_that_comes_later(commands: Commands, start_nats: StartNats) -> None:
    """Without the option it waits, and says so once."""
    nats = start_nats()
    nats.stop()
    program = commands.start("wsgw", "server", "-i", "IN", "-p", "0", "-n", nats.url)
    await program.printed(f"waiting for NATS: {nats.url}")
    await program.printed("App runs the jobs...")
    nats.start()
    await program.printed(f"nats: Connected to {nats.url}")
    assert program.output.count("waiting for NATS") == 1


@pytest.fixture
def secured(start_nats: StartNats, tmp_path: Path) -> tuple[str, Authority]:
    """A NATS server that knows its clients by certificate, and the CA in ``tmp_path``; ``wsgw.yml`` there is for it."""
    ca = Authority(tmp_path)
    certificate, key = ca.issue("server", "127.0.0.1")
    nats = start_nats(f'tls {{cert_file: "{certificate}", key_file: "{key}", ca_file: "{ca.file}", verify: true}}')
    ca.issue("client")
    (tmp_path / "wsgw.yml").write_text(
        f"listen: 127.0.0.1:0\nnats:\n  servers: [{nats.url}]\n"
        "  tls: {ca_file: ca.pem, certificate_file: client.crt, key_file: client.key}\n"
        "channels: [{name: IN, direction: inbound}]\n"
    )
    return nats.url, ca


async def test_a_client_certificate(commands: Commands, secured: tuple[str, Authority], tmp_path: Path) -> None:
    """Taken; then one that this server does not take, with a wish to wait and without one; then one that is over."""
    url, ca = secured
    program = commands.start("wsgw", "server", "--exit-if-no-nats")
    await program.printed("App runs the jobs...")
    Authority(tmp_path, "other").issue("client")
    said = "the server does not take the certificate in nats.tls.certificate_file, client.crt: unknown ca"
    output = await commands.fail("wsgw", "server", "--exit-if-no-nats")
    assert f"error: {url}: {said}\n" in output
    waiting = commands.start("wsgw", "server")
    await waiting.printed(f"error: nats: waiting for NATS: {url}: {said}\n")
    ca.issue("client")
    await waiting.printed(f"nats: Connected to {url}")
    ca.issue("client", days=-1)
    output = await commands.fail("wsgw", "server", "--exit-if-no-nats")
    over = "nats.tls.certificate_file: client.crt: the certificate expired on 2"
    assert f"warn: wsgw.yml:4: {over}" in output, "which is no reason not to try"
    assert f"certificate expired ({over}" in output
