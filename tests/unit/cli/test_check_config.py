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
