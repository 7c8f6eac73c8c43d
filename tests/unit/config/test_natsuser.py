"""Who the gateway is for NATS is said once."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.nkeys import USER, Nkey, Operator
from wsgw.config.file import read
from wsgw.config.hints import hints
from wsgw.config.load import load
from wsgw.errors import ConfigError

TWO = "are two ways to say who the gateway is; leave one of them out"


def told(folder: Path, nats: str, environment: dict[str, str] | None = None) -> list[str]:
    """What is wrong where ``nats`` is line 2, and the files it speaks of are there."""
    operator, seed = Operator(), folder / "seed"
    operator.credentials(folder / "creds")
    seed.write_text(Nkey(USER).seed)
    path = folder / "wsgw.yml"
    path.write_text(f"listen: 127.0.0.1:0\nnats: {nats.replace('$', f'{folder}/')}\n")
    with pytest.raises(ConfigError) as caught:
        load({}, environment or {}, read(str(path)))
    return str(caught.value).replace(f"{folder}/", "").splitlines()


@pytest.mark.parametrize(
    ("nats", "lines"),
    [
        ("{token: a, user: b, password: c}", [f"nats.user: it and 'token' {TWO}"]),
        ("{credentials_file: $creds, user: b, password: c}", [f"nats.user: it and 'credentials_file' {TWO}"]),
        ("{nkey_seed_file: $seed, user: b}", [f"nats.user: it and 'nkey_seed_file' {TWO}"]),
        (
            "{credentials_file: $creds, nkey_seed_file: $seed, token: a}",
            [f"nats.{key}: it and 'credentials_file' {TWO}" for key in ("nkey_seed_file", "token")],
        ),
        (
            "{credentials_file: $creds, servers: [nats://a, nats://u:secret@b]}",
            [f"nats.credentials_file: it and a user in nats.servers {TWO}"],
        ),
        (
            "{nkey_seed_file: $seed, servers: nats://secret@b}",
            [f"nats.nkey_seed_file: it and a user in nats.servers {TWO}"],
        ),
    ],
)
def test_two_ways(tmp_path: Path, nats: str, lines: list[str]) -> None:
    assert told(tmp_path, nats) == [f"wsgw.yml:2: {line}" for line in lines]


def test_one_of_them_is_of_the_environment(tmp_path: Path) -> None:
    """That one is named first, with where it is from: the file is not where to look for it."""
    variables = {"NATS_USER": "a", "NATS_PASS": "secret"}
    assert told(tmp_path, "{credentials_file: $creds}", variables) == [
        f"environment: nats.user: it and 'credentials_file' {TWO}"
    ]


@pytest.mark.parametrize(
    ("nats", "lines"),
    [
        ({"servers": "nats://u:p@a,nats://t@b", "user": "x", "password": "secret"}, ["nats.user"]),
        ({"servers": "nats://t@b", "token": "secret"}, ["nats.token"]),
        ({"servers": "nats://u:p@a,nats://b", "user": "x", "password": "secret"}, []),
        ({"user": "x", "password": "secret"}, []),
    ],
)
def test_what_is_not_used(nats: dict[str, str], lines: list[str]) -> None:
    """By the documented order it is left; it may be meant for other URLs than those of the command line."""
    said = "it is not used: each URL in nats.servers says who the gateway is"
    assert hints(load({"nats": nats}, {})) == [f"{line}: {said}" for line in lines]


def test_a_password_of_nobody() -> None:
    """No error: the user may be in the environment, which ``check-config`` does not look at."""
    assert hints(load({"nats": {"password": "secret"}}, {})) == ["nats.password: it is not used without 'user'"]
