"""Nkeys and credentials: read from their files. (That NATS takes what is made of them: broker/test_handshake_tls.)"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from helpers.nkeys import ACCOUNT, OPERATOR, USER, Nkey, Operator, credentials
from helpers.tokens import part
from wsgw.config.natsfiles import BadFileError
from wsgw.config.natsidentity import of_credentials, of_nkey


@pytest.fixture
def user() -> Nkey:
    return Nkey(USER)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def problem(path: Path, content: str, *, nkey: bool = False) -> str:
    path.write_text(content)
    with pytest.raises(BadFileError) as caught:
        (of_nkey if nkey else of_credentials)(str(path))
    assert caught.value.key == ("nkey_seed_file" if nkey else "credentials_file")
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    return said.removeprefix(f"{path}: ")


@pytest.mark.parametrize("text", ["{}", "{}\n", "\r\n{}\r\n", "-----BEGIN USER NKEY SEED-----\n{}\n------END-----\n"])
def test_an_nkey(path: Path, user: Nkey, text: str) -> None:
    path.write_text(text.format(user.seed))
    identity = of_nkey(str(path))
    assert identity.public_key == user.public
    assert identity.jwt is None
    assert identity.overdue is None
    assert user.seed not in repr(identity)


def test_what_is_commented_out_is_not_there(path: Path, user: Nkey) -> None:
    """The key before this one, as who changes keys by hand keeps it."""
    path.write_text(f"# until Monday: {Nkey(USER).seed}\n  #{Nkey(USER).seed}\r\n{user.seed}\n")
    assert of_nkey(str(path)).public_key == user.public
    operator, old = Operator(), Nkey(USER)
    commented = "".join(f"# {line}\n" for line in credentials(operator.user_jwt(old), old.seed).splitlines())
    jwt = operator.user_jwt(user)
    path.write_text(commented + credentials(jwt, user.seed))
    identity = of_credentials(str(path))
    assert (identity.jwt, identity.public_key) == (jwt, user.public)
    assert problem(path, commented).startswith("has no JWT of a user")


def test_what_is_no_seed_of_a_user(path: Path, user: Nkey) -> None:
    wanted = "no seed of a user (58 letters and digits that begin with SU)"
    assert problem(path, "garbage", nkey=True) == f"has {wanted}"
    assert problem(path, user.seed[:-1], nkey=True) == f"has {wanted}"
    assert problem(path, user.public, nkey=True) == f"has only a public key, and {wanted}"
    wrong = user.seed[:20] + ("A" if user.seed[20] != "A" else "B") + user.seed[21:]
    assert problem(path, wrong, nkey=True).startswith("has a seed with a wrong checksum")
    for kind, name in ((ACCOUNT, "an account"), (OPERATOR, "an operator")):
        assert problem(path, Nkey(kind).seed, nkey=True) == f"has the seed of {name}; a user's (SU…) is needed"


def test_credentials(path: Path, user: Nkey) -> None:
    jwt = Operator().user_jwt(user, exp=int(time.time()) + 60)
    for text in (credentials(jwt, user.seed), credentials(jwt, user.seed).replace("\n", "\r\n"), f"{jwt}\n{user.seed}"):
        path.write_text(text)
        identity = of_credentials(str(path))
        assert (identity.jwt, identity.public_key, identity.overdue) == (jwt, user.public, None)
        assert jwt not in repr(identity)


def test_credentials_of_another_time(path: Path, user: Nkey) -> None:
    for claims, said in (
        ({"exp": 1_600_000_000}, "the JWT expired on 2020-09-13 12:26:40 UTC"),
        ({"nbf": 2e9}, "from"),
    ):
        path.write_text(credentials(Operator().user_jwt(user, **claims), user.seed))
        overdue = of_credentials(str(path)).overdue
        assert overdue is not None
        assert said in str(overdue)


def test_what_are_no_credentials(path: Path, user: Nkey) -> None:
    operator = Operator()
    good = operator.user_jwt(user)
    assert problem(path, "garbage").startswith("has no JWT of a user")
    assert problem(path, user.seed).startswith("has no JWT of a user")
    assert problem(path, good).startswith("has no seed of a user")
    assert problem(path, credentials(good, Nkey(ACCOUNT).seed)).startswith("has the seed of an account")
    other = Nkey(USER)
    assert problem(path, credentials(good, other.seed)) == "has a seed that is not that of its JWT's user"
    account = Nkey(OPERATOR).jwt(user.public, {"type": "account"})
    assert problem(path, credentials(account, user.seed)) == "has a JWT that is not a user's"


@pytest.mark.parametrize(
    "claims", [b"garbage", [], {"exp": "soon", "nats": {"type": "user"}}, {"exp": 1e300}, {"exp": True}, b"[" * 100_000]
)
def test_a_jwt_that_cannot_be_read(path: Path, user: Nkey, claims: object) -> None:
    jwt = f"eyJ0.{part(claims)}.c2ln"
    assert problem(path, credentials(jwt, user.seed)) == "has a JWT that cannot be read"


def test_nothing_of_a_secret_is_told(path: Path, user: Nkey) -> None:
    jwt = Operator().user_jwt(user)
    seed = user.seed
    for text in (
        credentials(jwt, seed[:20] + ("B" if seed[20] == "A" else "A") + seed[21:]),  # the last one has bits to spare
        credentials(jwt[:-900], seed),
        credentials(jwt, Nkey(USER).seed),
        seed,
    ):
        said = problem(path, text)
        assert not any(secret in said for secret in (seed[10:30], jwt[20:60]))
