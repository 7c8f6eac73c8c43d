"""``wsgw server`` and ``easer``: what their options, files and variables come to, with the serving left out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from wsgw.channels.channel import Direction
from wsgw.cli.server import dump, easer, server
from wsgw.config.file import ConfigFile
from wsgw.config.load import load
from wsgw.config.settings import Settings
from wsgw.process import server as process
from wsgw.process.server import PortUnavailable

pytestmark = pytest.mark.usefixtures("restore_logging")

OURS = ("WSGW_", "EASER_", "NATS_", "PDMS_", "WEBSERVER_")


class Served:
    """Stands for ``run``: keeps what it was called with."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.exit_if_no_nats = False
        self.reload: Callable[[], None] | None = None
        self.failure: Exception | None = None
        self.while_running: Callable[[], None] = lambda: None

    def __call__(
        self, settings: Settings, *, exit_if_no_nats: bool = False, reload: Callable[[], None] | None = None
    ) -> None:
        self.settings, self.exit_if_no_nats, self.reload = settings, exit_if_no_nats, reload
        if self.failure is not None:
            raise self.failure
        self.while_running()

    @property
    def channels(self) -> list[tuple[str, str]]:
        assert self.settings is not None
        return [(channel.name, str(channel.direction)) for channel in self.settings.channels]

    @property
    def address(self) -> str:
        assert self.settings is not None
        return f"{self.settings.host}:{self.settings.listen_port}"


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Served:
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    made = Served()
    monkeypatch.setattr(process, "run", made)
    return made


def run(program: str, *arguments: str) -> Result:
    return CliRunner().invoke(easer if program == "easer" else server, list(arguments))


def test_the_seeds_command(served: Served) -> None:
    result = run("easer", "-u", "-w", "-i", "IN", "-o", "OUT")
    assert result.exit_code == 0, result.output
    assert served.channels == [("IN", "inbound"), ("OUT", "outbound")]
    assert served.address == "0.0.0.0:3007"
    assert served.reload is None
    assert "warn: listening on all interfaces without authentication" in result.stdout
    assert result.stdout.splitlines()[-1].endswith("info: Shutdown process successfully finished")
    assert "[easer@" in result.stdout


def test_wsgw_server_needs_no_flags_and_listens_here(served: Served) -> None:
    result = run("wsgw", "-i", "A, B ,C", "-o", "B")
    assert result.exit_code == 0
    assert served.channels == [("A", "inbound"), ("B", "both"), ("C", "inbound")]
    assert served.address == "127.0.0.1:3007"
    assert "warn" not in result.stdout
    assert "[wsgw@" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        (["-p", "0"], "127.0.0.1:0"),
        (["--listen", "0.0.0.0:1234"], "0.0.0.0:1234"),
        (["--listen", "[::1]:1234"], "::1:1234"),
        (["--listen", "h:1234", "-p", "5"], "h:5"),
    ],
)
def test_address(served: Served, arguments: list[str], address: str) -> None:
    assert run("wsgw", *arguments).exit_code == 0
    assert served.address == address


def test_options_come_before_variables_and_the_file(
    served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "my.yml").write_text(
        "listen: 1.2.3.4:1\nnats: {servers: [nats://file:1]}\nlog: {level: warn}\n"
        "channels: [{name: F, direction: inbound}]\n"
    )
    monkeypatch.setenv("NATS_SERVERS", "environment:1")
    monkeypatch.setenv("WSGW_LOG_FORMAT", "json")
    assert run("wsgw", "-c", "my.yml").exit_code == 0
    assert served.settings is not None
    assert served.settings.nats.servers == ["nats://environment:1"]
    assert (served.settings.log.level, served.settings.log.format) == ("warn", "json")
    assert served.channels == [("F", "inbound")]
    arguments = ["-c", "my.yml", "-n", "a:1, tls://b", "-i", "L", "-l", "error", "-t", "plainText", "--exit-if-no-nats"]
    assert run("wsgw", *arguments).exit_code == 0
    assert served.settings.nats.servers == ["nats://a:1", "tls://b"]
    assert (served.settings.log.level, served.settings.log.format) == ("error", "plainText")
    assert served.channels == [("L", "inbound")]
    assert served.address == "1.2.3.4:1"
    assert served.exit_if_no_nats
    assert served.reload is not None


def test_only_wsgw_reads_the_default_file(served: Served, tmp_path: Path) -> None:
    (tmp_path / "wsgw.yml").write_text("channels: [{name: F, direction: inbound}]\n")
    assert run("wsgw").exit_code == 0
    assert served.channels == [("F", "inbound")]
    assert run("easer", "-w").exit_code == 0
    assert served.channels == []


def test_easer_keeps_the_files_address(served: Served, tmp_path: Path) -> None:
    (tmp_path / "my.yml").write_text("listen: 127.0.0.1:5\n")
    assert run("easer", "-w", "-c", "my.yml").exit_code == 0
    assert served.address == "127.0.0.1:5"


def test_easer_with_the_originals_file(served: Served, tmp_path: Path) -> None:
    (tmp_path / "easer.yml").write_text("wsServer: {topics: {inbound: [IN]}}\nwebServer: {port: 3009, x: 1}\n")
    result = run("easer", "-w", "-c", "easer.yml")
    assert served.channels == [("IN", "inbound")]
    assert served.address == "0.0.0.0:3009"
    assert "warn: easer.yml:2: webServer.x: easer's setting has no meaning here and is ignored" in result.stdout


def test_easer_without_w_says_what_is_missing(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("easer", "-u", "-i", "IN")
    assert result.exit_code == 2
    assert "-u -w" in result.stderr
    assert served.settings is None
    monkeypatch.setenv("EASER_USE_WEBSOCKET", "true")
    assert run("easer", "-i", "IN").exit_code == 0


def test_options_of_the_original(served: Served) -> None:
    result = run("easer", "-w", "-r", "/rest", "-s", "--parseJson", "--topicPrefix", "p", "--strange", "--usePdms")
    assert result.exit_code == 0
    for name in ("--restApiPath", "--staticContentPath", "--parseJson", "--topicPrefix"):
        assert f"warn: option {name} is one of easer's REST and mock features and is ignored" in result.stdout
    assert "warn: unknown option --strange is ignored" in result.stdout
    assert "--enableMocking" not in result.stdout
    assert run("wsgw", "--strange").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-i", "A,,B"], "wsgw: command line: channels[1].name: name '' is empty"),
        (["-i", "A B"], "wsgw: command line: channels[0].name: name 'A B' has a blank or control character (' ')"),
        (["-p", "x"], "wsgw: command line: port: "),
        (["-l", "loud"], "wsgw: command line: log.level: 'loud' is not one of error, warn, "),
        (["-n", "http://x"], "wsgw: command line: nats.servers: 'http://x' is not a NATS URL"),
        (["-c", "none.yml"], "wsgw: none.yml: No such file or directory"),
    ],
)
def test_refusals(served: Served, arguments: list[str], line: str) -> None:
    result = run("wsgw", *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(line)
    assert served.settings is None


def test_what_serving_cannot(served: Served) -> None:
    served.failure = PortUnavailable("port 3007 is in use")
    result = run("wsgw")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].endswith("error: port 3007 is in use")


def test_dump_masks_secrets(served: Served) -> None:
    result = run("wsgw", "-d", "-i", "IN", "-n", "nats://user:secret@h:1")
    assert result.exit_code == 0
    values = yaml.safe_load(result.stdout.rpartition(" [wsgw@")[0].rpartition("\n")[0])
    assert values["nats"]["servers"] == ["nats://user:***@h:1"]
    assert values["channels"][0]["name"] == "IN"
    assert "secret" not in result.output


def test_a_dump_is_a_file_for_wsgw() -> None:
    values = {
        "listen": "0.0.0.0:1",
        "nats": {"servers": ["nats://h:1"], "user": "u", "password": "hidden", "token": "hidden"},
        "channels": [{"name": "é.*", "direction": "both", "timeout": "3s", "outbox": {"bytes": "1 MiB"}}],
        "request_timeout": "500ms",
    }
    settings = load({}, {}, ConfigFile("x", values))
    text = dump(settings)
    assert "hidden" not in text
    assert "é" in text
    again = load({}, {}, ConfigFile("x", yaml.safe_load(text)))
    assert again.channel_table() == settings.channel_table()
    assert again.channels[0].direction is Direction.BOTH
    assert (again.listen, again.request_timeout) == (settings.listen, settings.request_timeout)


def test_reload(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "my.yml"
    file.write_text("log: {level: info}\n")

    def reload() -> None:
        assert served.reload is not None
        file.write_text("log: {level: error, format: json}\nbroken: 1\n")
        served.reload()
        file.write_text("log: {level: info, format: json}\n")
        served.reload()
        file.write_text("log: {level: info}\nlisten: h:5\n")
        served.reload()

    served.while_running = reload
    result = run("wsgw", "-c", "my.yml")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "error: configuration not reloaded: my.yml:2: broken: unknown key" in lines[0]
    assert '"message":"configuration read again"' in lines[1]
    assert lines[2].endswith("info: configuration read again; what changed beside the log needs a restart")


@pytest.mark.parametrize("program", ["wsgw", "easer"])
def test_help_has_an_example(program: str) -> None:
    result = run(program, "--help")
    assert result.exit_code == 0
    assert f"Example: {program}" in result.output
