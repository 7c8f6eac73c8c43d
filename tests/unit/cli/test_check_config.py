"""``wsgw check-config``: every problem with file, line, key and reason; exit codes for scripts."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wsgw.cli.main import wsgw

ROOT = Path(__file__).parents[3]


def check(path: Path | str) -> Result:
    return CliRunner().invoke(wsgw, ["check-config", str(path)])


def test_the_repositorys_own_file() -> None:
    result = check(ROOT / "wsgw.yml")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{ROOT / 'wsgw.yml'}: good, 2 channels\n", "")


def test_every_problem_is_told(tmp_path: Path) -> None:
    path = tmp_path / "bad.yml"
    path.write_text("listne: a:1\nlog: {level: loud}\nchannels:\n  - {name: A}\n")
    result = check(path)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert sorted(result.stderr.splitlines()) == [
        f"{path}:1: listne: unknown key; did you mean 'listen'?",
        f"{path}:2: log.level: 'loud' is not one of error, warn, info, verbose, debug, silly",
        f"{path}:4: channels[0].direction: is missing",
    ]


def test_a_missing_file(tmp_path: Path) -> None:
    result = check(tmp_path / "none.yml")
    assert result.exit_code == 1
    assert result.stderr == f"{tmp_path / 'none.yml'}: No such file or directory\n"


def test_the_originals_file_has_warnings(tmp_path: Path) -> None:
    path = tmp_path / "easer.yml"
    path.write_text("wsServer: {topics: {inbound: [A], outbound: [B]}}\nlogger: {}\n")
    result = check(path)
    assert (result.exit_code, result.stdout) == (0, f"{path}: good, 2 channels\n")
    assert result.stderr == f"warning: {path}:2: logger: easer's setting has no meaning here and is ignored\n"


def test_the_environment_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "good.yml"
    path.write_text("listen: 127.0.0.1:1\n")
    monkeypatch.setenv("WSGW_LOG_LEVEL", "loud")
    assert check(path).exit_code == 0


def test_usage() -> None:
    assert CliRunner().invoke(wsgw, ["check-config"]).exit_code == 2
    assert "Example: wsgw check-config" in CliRunner().invoke(wsgw, ["check-config", "--help"]).output


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("limits: {address: {connections: 5}}", True),
        ("limits:\n  address: {bytes_per_second: 1 MiB}", True),
        ("limits: {address: {connections: 5}}\ntrusted_proxies: []", False),
        ("limits: {address: {connections: 5}}\ntrusted_proxies: [10.0.0.1]", False),
        ("limits: {messages_per_second: 5, user: {connections: 5}}", False),
    ],
)
def test_limits_by_address_need_to_know_of_proxies(text: str, told: bool, tmp_path: Path) -> None:
    path = tmp_path / "wsgw.yml"
    path.write_text(f"{text}\nchannels: [{{name: IN, direction: inbound}}]\n")
    result = CliRunner().invoke(wsgw, ["check-config", str(path)])
    assert (result.exit_code, result.stdout) == (0, f"{path}: good, 1 channel\n")
    line = 2 if "\n  " in text else 1
    assert result.stderr.startswith(f"warning: {path}:{line}: limits.address: does not apply to who may be") is told
    assert bool(result.stderr) is told
