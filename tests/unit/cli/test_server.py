"""``wsgw server`` and ``easer``: what their options, files and variables come to, with the serving left out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from wsgw.channels.channel import Direction
from wsgw.cli.server import dump, easer, server
from wsgw.config.file import ConfigFile, look
from wsgw.config.load import load
from wsgw.config.settings import Settings
from wsgw.errors import ConfigError
from wsgw.process import server as process
from wsgw.process.listeners import PortUnavailable
from wsgw.process.reloader import Source

pytestmark = pytest.mark.usefixtures("restore_logging")

OURS = ("WSGW_", "EASER_", "NATS_", "PDMS_", "WEBSERVER_")


class Served:
    """Stands for ``run``: keeps what it was called with."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.exit_if_no_nats = False
        self.source: Source | None = None
        self.failure: Exception | None = None
        self.while_running: Callable[[], None] = lambda: None

    def __call__(self, settings: Settings, *, exit_if_no_nats: bool = False, source: Source | None = None) -> None:
        self.settings, self.exit_if_no_nats, self.source = settings, exit_if_no_nats, source
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
        return ", ".join(map(str, self.settings.addresses))


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
    assert served.source is None
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
        (["--listen", "[::1]:1234"], "[::1]:1234"),
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
    assert served.source is not None


def test_only_wsgw_reads_the_default_file(served: Served, tmp_path: Path) -> None:
    (tmp_path / "wsgw.yml").write_text("channels: [{name: F, direction: inbound}]\n")
    assert run("wsgw").exit_code == 0
    assert served.channels == [("F", "inbound")]
    assert run("easer", "-w").exit_code == 0
    assert served.channels == []


def test_easer_lets_all_pages_in_unless_told(served: Served, tmp_path: Path) -> None:
    def origins(*arguments: str) -> object:
        result = run(*arguments)
        assert served.settings is not None
        assert ("warn: origins: any: every page" in result.stdout) is (
            arguments[0] == "easer" and served.settings.origins == "any"
        )
        return served.settings.origins

    (tmp_path / "silent.yml").write_text("listen: 127.0.0.1:5\n")
    (tmp_path / "same.yml").write_text("origins: same\n")
    (tmp_path / "any.yml").write_text("origins: any\n")
    assert origins("easer", "-w") == "any"
    assert origins("easer", "-w", "-c", "silent.yml") == "any"
    assert origins("easer", "-w", "-c", "any.yml") == "any"
    assert origins("easer", "-w", "-c", "same.yml") == "same"
    assert origins("wsgw") == "same"
    assert origins("wsgw", "-c", "any.yml") == "any"


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


@pytest.mark.parametrize("shown", [{"user": "u", "password": "hidden"}, {"token": "hidden"}])
def test_a_dump_is_a_file_for_wsgw(shown: dict[str, str]) -> None:
    values = {
        "listen": "0.0.0.0:1",
        "nats": {"servers": ["nats://h:1"], **shown},
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


def test_what_can_be_read_again(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "my.yml"
    file.write_text("log: {level: info}\n")
    seen = look("my.yml")

    def read_again() -> None:
        source = served.source
        assert source is not None
        assert (source.path, source.seen) == ("my.yml", seen)
        file.write_text("log: {level: error, format: json}\nbroken: 1\n")
        with pytest.raises(ConfigError, match=r"^my\.yml:2: broken: unknown key"):
            source.read()
        file.write_text("log: {level: debug, format: json}\nlisten: h:5\nlogger: {}\nwebServer: {port: 1}\n")
        settings, notes = source.read()
        assert (settings.log.level, settings.log.format, settings.listen) == ("warn", "json", "h:5")
        assert notes == ["my.yml:3: logger: easer's setting has no meaning here and is ignored"]
        source.set_log(settings.log)
        logging.getLogger("wsgw.server").warning("as it is now")

    served.while_running = read_again
    result = run("wsgw", "-c", "my.yml", "-l", "warn")
    assert result.exit_code == 0, result.output
    assert '"message":"as it is now"' in result.stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "other"),
    [
        ((), {}, None),
        (("-i", "A"), {}, "command line"),
        ((), {"WSGW_OUTBOUND_TOPICS": "A"}, "environment"),
    ],
)
def test_the_files_channels_need_not_count(
    served: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    other: str | None,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "my.yml"
    file.write_text("channels: [{name: F, direction: inbound}]\n")
    notes: list[str] = []

    def read_again() -> None:
        assert served.source is not None
        file.write_text("# other\nchannels: [{name: G, direction: inbound}]\n")
        settings, said = served.source.read()
        notes.extend(said)
        assert [channel.name for channel in settings.channels] == (["G"] if other is None else ["A"])
        file.write_text("listen: h:5\n")
        assert served.source.read()[1] == []

    served.while_running = read_again
    result = run("wsgw", "-c", "my.yml", *arguments)
    assert result.exit_code == 0, result.output
    wanted = f"my.yml:2: channels: not used, the {other} has others in their place"
    assert notes == ([] if other is None else [wanted])


@pytest.mark.parametrize("program", ["wsgw", "easer"])
def test_help_has_an_example(program: str) -> None:
    result = run(program, "--help")
    assert result.exit_code == 0
    assert f"Example: {program}" in result.output
