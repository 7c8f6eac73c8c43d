"""``wsgw token``: tokens for tests, and what is said of others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from click.testing import CliRunner, Result

from helpers.tokens import SECRET, pem_file, rsa_key
from helpers.tokens import token as signed
from wsgw.cli.main import wsgw

BIN = Path(sys.executable).parent
PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


class Folder:
    """With a configuration, ``wsgw.yml``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "wsgw.yml"
        self.has(secret=SECRET)

    def has(self, **values: Any) -> None:
        """It says that of ``auth.jwt``."""
        self.file.write_text(yaml.safe_dump({"auth": {"jwt": values}}))

    def run(self, *arguments: str, input: str | None = None) -> Result:
        return CliRunner().invoke(wsgw, ["token", *arguments], input=input)

    def made(self, *arguments: str) -> dict[str, Any]:
        """The claims of the token that was made."""
        result = self.run(*arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        found: dict[str, Any] = jwt.decode(
            result.stdout.removesuffix("\n"), SECRET, ["HS256"], options={"verify_aud": False}
        )
        return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path)


def test_a_token(folder: Folder) -> None:
    claims = folder.made(
        "--user", "ann", "--subscribe", "orders, chat.*", "--publish", "chat.lobby", "--request", "sum"
    )
    assert claims["sub"] == "ann"
    assert claims["wsgw"] == {"subscribe": ["orders", "chat.*"], "publish": ["chat.lobby"], "request": ["sum"]}
    assert claims["exp"] - claims["iat"] == 3600
    assert abs(claims["iat"] - time.time()) < 60


def test_what_is_not_said_is_not_in_it(folder: Folder) -> None:
    assert folder.made().keys() == {"iat", "exp"}
    assert folder.made("--expires", "never").keys() == {"iat"}
    assert folder.made("--subscribe", "")["wsgw"] == {"subscribe": []}
    claims = folder.made("--expires", "5m")
    assert claims["exp"] - claims["iat"] == 300


def test_other_claims(folder: Folder) -> None:
    claims = folder.made("--claim", "tenant=acme", "--claim", 'roles=["a"]', "--claim", "n=5", "--claim", "x=a=b")
    assert (claims["tenant"], claims["roles"], claims["n"], claims["x"]) == ("acme", ["a"], 5, "a=b")


def test_as_the_configuration_wants_it(folder: Folder) -> None:
    (folder.path / "secret").write_text(SECRET + "\n")
    folder.has(secret_file="secret", issuer="https://id", audience=["me", "us"], claim="https://id/wsgw")
    claims = folder.made("--subscribe", "a")
    assert (claims["iss"], claims["aud"], claims["https://id/wsgw"]) == ("https://id", "me", {"subscribe": ["a"]})
    folder.has(secret=SECRET, claim="app.rights")
    text = folder.run("--subscribe", "a").stdout
    assert '"subscribe":["a"]' in folder.run("--inspect", text).stderr
    other = folder.path / "other.yml"
    folder.file.rename(other)
    assert folder.made("-c", str(other)).keys() == {"iat", "exp"}


def test_one_that_is_not_taken_is_made_all_the_same(folder: Folder) -> None:
    result = folder.run("--expires", "-5m")
    assert result.exit_code == 0
    assert result.stdout.count(".") == 2
    assert result.stderr == "warning: the gateway does not take it: the token has expired ('exp')\n"
    assert "'sub'" in folder.run("--user", "").stderr


def test_a_short_secret_signs(folder: Folder) -> None:
    folder.has(secret="short")
    assert folder.run().exit_code == 0


def test_only_secrets_sign(folder: Folder) -> None:
    folder.has(public_key_file=pem_file(folder.path, rsa_key()))
    result = folder.run()
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "wsgw.yml: auth.jwt.public_key_file: a public key signs no tokens; who has the private one makes them\n"
    )
    folder.has(jwks_url="https://h/k")
    assert "auth.jwt.jwks_url: a public key signs no tokens" in folder.run().stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "wsgw.yml: No such file"),
        ("listen: a:1", "wsgw.yml: auth.jwt: is not there"),
        ("auth: {jwt: {secret_file: nowhere}}", "wsgw.yml:1: auth.jwt.secret_file: nowhere: No such file"),
        ("auth: {jwt: {}}", "wsgw.yml:1: auth.jwt: no key"),
    ],
)
@pytest.mark.parametrize("arguments", [[], ["--inspect", signed()]], ids=["make", "inspect"])
def test_without_a_configuration(folder: Folder, text: str | None, reason: str, arguments: list[str]) -> None:
    folder.file.unlink()
    if text is not None:
        folder.file.write_text(text)
    result = folder.run(*arguments)
    assert result.exit_code == 1
    assert reason in result.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--subscribe", "a,b..c"], "--subscribe[1]: 'b..c' has an empty token"),
        (["--expires", "soon"], "'soon' is not a duration"),
        (["--claim", "x"], "'x' is not KEY=VALUE"),
        (["--inspect", "x", "--user", "ann"], "--inspect looks at a token"),
        (["--inspect", "x", "--publish", ""], "--inspect looks at a token"),
    ],
)
def test_usage(folder: Folder, arguments: list[str], reason: str) -> None:
    result = folder.run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr
    assert "Examples:" in folder.run("--help").stdout


def test_one_that_is_taken(folder: Folder) -> None:
    text = signed({"wsgw": {"subscribe": ["a"]}, "exp": 4_000_000_000}, kid="k")
    for result in (folder.run("--inspect", text), folder.run("--inspect", "-", input=f"{text}\n")):
        assert result.exit_code == 0
        shown = json.loads(result.stdout)
        assert shown["header"] == {"alg": "HS256", "typ": "JWT", "kid": "k"}
        assert shown["claims"]["sub"] == "ann"
        assert result.stderr == (
            'taken: user \'ann\', until 2096-10-02 07:06:45 UTC; may {"subscribe":["a"],"publish":[],"request":[]}\n'
        )
    assert "for ever" in folder.run("--inspect", signed({"exp": None})).stderr
    assert "until 3058" in folder.run("--inspect", signed({"exp": 1e300})).stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (signed(key="another secret, and of 32 bytes or more"), "signature that is not by the key"),
        (signed({"exp": 1}), "the token has expired"),
        (signed({"wsgw": 5, "exp": None}), "'wsgw' that says no rights"),  # made long before it is shown
        (signed(key=rsa_key(), algorithm="RS256"), "signed by 'RS256', and only HS256"),
    ],
)
def test_one_that_is_not_taken(folder: Folder, text: str, reason: str) -> None:
    result = folder.run("--inspect", text)
    assert result.exit_code == 1
    assert json.loads(result.stdout).keys() == {"header", "claims"}
    assert result.stderr.startswith("not taken: ")
    assert reason in result.stderr


@pytest.mark.parametrize("text", ["", "abc", "a.b.c", "é.é.é"])
def test_one_that_is_none(folder: Folder, text: str) -> None:
    result = folder.run("--inspect", text)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "not taken: it is no JSON Web Token\n")


def test_keys_at_a_url_that_is_away(folder: Folder) -> None:
    folder.has(jwks_url="http://127.0.0.1:1/keys")
    result = folder.run("--inspect", signed(key=rsa_key(), algorithm="RS256"))
    assert result.exit_code == 1
    assert "not taken: the keys of tokens cannot be read now" in result.stderr


def test_the_commands_of_the_page(folder: Folder) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for line in (
        "wsgw token -c wsgw.yml --user ann --subscribe 'orders,chat.*' --publish chat.lobby --expires 1h",
        "wsgw token -c wsgw.yml --user ann | wsgw token -c wsgw.yml --inspect -",
    ):
        assert f"\n{line}\n" in text
        environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
        done = subprocess.run(line, shell=True, cwd=folder.path, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert b"--inspect" not in line.encode() or b"taken: user 'ann'" in done.stderr
