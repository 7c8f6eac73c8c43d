"""The section ``auth``: what it takes, what it refuses, and what is never shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from pydantic import SecretStr

from helpers.tokens import SECRET, pem_file, rsa_key
from wsgw.cli.main import wsgw
from wsgw.cli.server import dump
from wsgw.config.auth import AuthSettings
from wsgw.config.file import ConfigFile
from wsgw.config.hints import hints
from wsgw.config.load import load
from wsgw.config.settings import Settings
from wsgw.errors import ConfigError


def settings(values: Any) -> Settings:
    return load({}, {}, ConfigFile("x.yml", {"auth": values}))


def auth(**values: Any) -> AuthSettings:
    found = settings({"jwt": {"secret": SECRET}} | values).auth
    assert found is not None
    return found


def refused(values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        settings(values)
    return str(caught.value)


def test_off_unless_given() -> None:
    assert load({}, {}, ConfigFile("x.yml")).auth is None
    assert "auth: keys are expected here" in refused(None)  # what was in it is commented out: not off


def test_what_it_is_by_default() -> None:
    found = auth()
    assert found.jwt is not None
    assert found.jwt.secret == SecretStr(SECRET)
    assert (found.jwt.leeway, found.jwt.claim) == (5.0, "wsgw")
    assert (found.anonymous, found.roles, found.cookie, found.query_parameter, found.identity_headers) == (None,) * 5
    assert found.default.subscribe == []


def test_all_that_it_takes() -> None:
    found = auth(
        jwt={"secret": SECRET, "issuer": "https://id", "audience": "me", "leeway": "1m", "claim": "https://id/wsgw"},
        anonymous={"subscribe": ["public.*"]},
        default={"subscribe": ["a"], "deny": {"publish": [">"]}},
        roles={"claim": "realm_access.roles", "map": {"trader": {"publish": ["orders"]}}},
        query_parameter="token",
        cookie="wsgw_token",
        identity_headers={"user": "Wsgw-User", "session": "Wsgw-Session"},
    )
    assert found.jwt is not None
    assert (found.jwt.audience, found.jwt.leeway) == (["me"], 60.0)
    assert found.default.deny.publish == [">"]
    assert found.roles is not None
    assert found.roles.map["trader"].publish == ["orders"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "auth: one of jwt, delegate is needed"),
        ({"anonymous": {}}, "auth: one of jwt, delegate is needed"),
        ({"jwt": {}}, "auth.jwt: no key for tokens is given; one of secret, secret_file"),
        ({"jwt": {"secret": "a", "jwks_url": "https://h/k"}}, "auth.jwt: secret and jwks_url are given; one of"),
        ({"jwt": {"secret": ""}}, "auth.jwt.secret: the secret is empty"),
        ({"jwt": {"secret": SECRET, "issuer": None}}, "auth.jwt.issuer: a value is expected here"),
        ({"jwt": {"secret": SECRET, "audience": None}}, "auth.jwt.audience: a value is expected here"),
        ({"jwt": {"secret": "a", "algorithms": ["RS256"]}}, "auth.jwt.algorithms: 'RS256' is not for a secret"),
        ({"jwt": {"secret": "a", "algorithms": ["HS256", "none"]}}, "auth.jwt.algorithms: 'none' is not for"),
        ({"jwt": {"secret": "a", "algorithms": []}}, "auth.jwt.algorithms"),
        ({"jwt": {"jwks_url": "https://h/k", "algorithms": ["RS256", "HS256"]}}, "'HS256' is not for the public keys"),
        ({"jwt": {"jwks_url": "h/k"}}, "auth.jwt.jwks_url: is not a URL"),
        ({"jwt": {"jwks_url": "file:///etc/passwd"}}, "auth.jwt.jwks_url: is not a URL"),
        ({"jwt": {"jwks_url": "https://u:pa55word@h/k"}}, "auth.jwt.jwks_url: has a user or password"),
        ({"jwt": {"secret_file": "/nowhere/jwt"}}, "auth.jwt.secret_file: /nowhere/jwt: No such file"),
        ({"jwt": {"secret_file": "/"}}, "auth.jwt.secret_file: /: Is a directory"),
        ({"jwt": {"secret_file": "a\0b"}}, "auth.jwt.secret_file"),
        ({"jwt": {"secret_file": "/dev/null"}}, "auth.jwt.secret_file: /dev/null: is empty"),
        ({"jwt": {"secret_file": ""}}, "auth.jwt.secret_file: the path of a file is expected"),
        ({"jwt": {"public_key_file": "/nowhere/pem"}}, "auth.jwt.public_key_file: /nowhere/pem: No such file"),
        ({"jwt": {"secret": "a", "audience": []}}, "auth.jwt.audience"),
        ({"jwt": {"secret": "a", "leeway": -1}}, "auth.jwt.leeway"),
        ({"jwt": {"secret": "a", "claim": ""}}, "auth.jwt.claim"),
        ({"jwt": {"secret": "a"}, "anonymous": {"subscribe": ["a..b"]}}, "auth.anonymous.subscribe[0]: 'a..b' has an"),
        ({"jwt": {"secret": "a"}, "default": {"listen": []}}, "auth.default.listen: unknown key"),
        ({"jwt": {"secret": "a"}, "roles": {"claim": "a"}}, "auth.roles.map: is missing"),
        (
            {"jwt": {"secret": "a"}, "roles": {"claim": "a", "map": {"t": {"subscrib": []}}}},
            "auth.roles.map.t.subscrib: unknown key; did you mean 'subscribe'?",
        ),
        ({"jwt": {"secret": "a"}, "cookie": "a b"}, "auth.cookie: 'a b' is no name"),
        ({"jwt": {"secret": "a"}, "query_parameter": ""}, "auth.query_parameter: '' is no name"),
        ({"jwt": {"secret": "a"}, "identity_headers": {"user": "nats-User"}}, "one of NATS' own headers"),
        ({"jwt": {"secret": "a"}, "identity_headers": {"user": "A: b"}}, "auth.identity_headers.user: 'A: b'"),
        ({"jwt": {"secret": "a"}, "identity_headers": {"user": "A", "session": "a"}}, "user and session are both"),
    ],
)
def test_what_it_refuses(values: Any, problem: str) -> None:
    assert f"x.yml: {problem}" in refused(values) or problem in refused(values)


@pytest.mark.parametrize(
    "jwt",
    [
        {"secret": ["s3cret-value"]},
        {"secret": {"s3cret-value": 1}},
        {"secret": "s3cret-value", "secret_file": "/x"},
        {"secret": "s3cret-value", "algorithms": ["RS256"]},
        {"secret": "s3cret-value", "leeway": "x"},
        {"secret": "s3cret-value", "unknown": 1},
        "s3cret-value",
        ["s3cret-value"],
    ],
)
def test_a_secret_is_never_shown(jwt: Any) -> None:
    assert "s3cret" not in refused({"jwt": jwt})


def test_a_secret_is_masked_in_what_is_in_effect() -> None:
    text = dump(settings({"jwt": {"secret": SECRET}}))
    assert SECRET not in text
    assert yaml.safe_load(text)["auth"]["jwt"]["secret"] == "**********"
    assert SECRET not in repr(settings({"jwt": {"secret": SECRET}}))


def test_weak_keys_are_told(tmp_path: Path) -> None:
    weak = hints(settings({"jwt": {"secret": "too short"}}), ConfigFile("x.yml"))
    assert weak == ["x.yml: auth.jwt.secret: the secret has 9 bytes; with fewer than 32 it can be guessed"]
    assert "fewer than 64" in hints(settings({"jwt": {"secret": SECRET, "algorithms": ["HS256", "HS512"]}}))[0]
    assert hints(settings({"jwt": {"secret": SECRET}})) == []
    assert "without audience" in hints(settings({"jwt": {"jwks_url": "https://h/k"}}))[0]
    assert hints(settings({"jwt": {"jwks_url": "https://h/k", "audience": "me"}})) == []
    pem = settings({"jwt": {"public_key_file": pem_file(tmp_path, rsa_key())}})
    assert hints(pem) == []
    (tmp_path / "public.pem").unlink()
    assert hints(pem) == []


def test_check_config_reads_the_files(tmp_path: Path) -> None:
    path = tmp_path / "wsgw.yml"
    path.write_text(f"auth:\n  jwt:\n    secret_file: {tmp_path}/jwt\n")
    result = CliRunner().invoke(wsgw, ["check-config", str(path)])
    assert (result.exit_code, result.stderr) == (
        1,
        f"{path}:3: auth.jwt.secret_file: {tmp_path}/jwt: No such file or directory\n",
    )
    (tmp_path / "jwt").write_text("short\n")
    result = CliRunner().invoke(wsgw, ["check-config", str(path)])
    assert result.exit_code == 0
    assert (
        result.stderr
        == f"warning: {path}:2: auth.jwt.secret_file: the secret has 5 bytes; with fewer than 32 it can be guessed\n"
    )


def test_without_it_nothing_is_imported_that_it_needs() -> None:
    """A tenth of a second, and 10 MB."""
    code = "import sys, wsgw.app, wsgw.cli.server; print({'jwt', 'cryptography', 'httpx'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
