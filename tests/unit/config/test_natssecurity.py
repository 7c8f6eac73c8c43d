"""What the files of NATS' settings must be: told with line, key and reason, when the configuration is loaded."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from helpers.authority import Authority
from helpers.nkeys import Operator
from wsgw.cli.check_config import check_config
from wsgw.cli.server import dump
from wsgw.config.file import read
from wsgw.config.hints import hints
from wsgw.config.load import load
from wsgw.config.settings import Settings
from wsgw.errors import ConfigError

Nats = Callable[[str], Settings]


@pytest.fixture
def nats(tmp_path: Path) -> Nats:
    """Loads a configuration of which ``nats`` is the one given, from line 2 on."""

    def loaded(text: str) -> Settings:
        path = tmp_path / "wsgw.yml"
        path.write_text("listen: 127.0.0.1:0\n" + text)
        return load({}, {}, read(str(path)))

    return loaded


def problems(nats: Nats, text: str) -> list[str]:
    """Without the folder of the file."""
    with pytest.raises(ConfigError) as caught:
        nats(text)
    return [line[line.index("wsgw.yml") :] for line in str(caught.value).splitlines()]


def test_good_ones(nats: Nats, tmp_path: Path) -> None:
    ca, creds = Authority(tmp_path), Operator().credentials(tmp_path / "a.creds")
    certificate, key = ca.issue("client")
    settings = nats(
        f"nats:\n  tls: {{ca_file: {ca.file}, certificate_file: {certificate}, key_file: {key}}}\n"
        f"  credentials_file: {creds}\n"
    )
    assert settings.nats.tls is not None
    assert settings.nats.tls.files().key_file == str(key)
    shown = dump(settings)
    assert str(creds) in shown
    assert not any(line in shown for line in creds.read_text().splitlines() if line)
    assert nats("nats: {tls: {}}\n").nats.tls is not None
    assert nats("nats: {}\n").nats.tls is None


def test_each_with_line_key_and_reason(nats: Nats, tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    certificate, _ = ca.issue("client")
    _, key = ca.issue("other")
    garbage = tmp_path / "garbage"
    garbage.write_text("x")
    assert problems(
        nats,
        f"nats:\n  tls:\n    certificate_file: {certificate}\n    key_file: {key}\n  credentials_file: {garbage}\n",
    ) == [
        f"wsgw.yml:5: nats.tls.key_file: {key}: is not the key of the certificate in {certificate}",
        f"wsgw.yml:6: nats.credentials_file: {garbage}: has no JWT of a user "
        "(between lines such as BEGIN NATS USER JWT)",
    ]
    assert problems(nats, "nats:\n  nkey_seed_file: nowhere\n") == [
        "wsgw.yml:3: nats.nkey_seed_file: nowhere: No such file or directory"
    ]


def test_what_has_expired(nats: Nats, tmp_path: Path) -> None:
    """It is told of, and keeps nobody from a start, or from other settings: a clock may be wrong, or a renewal late."""
    certificate, key = Authority(tmp_path).issue("client", days=-1)
    creds = Operator().credentials(tmp_path / "a.creds", exp=int(time.time()) - 5)
    settings = nats(
        f"nats:\n  tls: {{certificate_file: {certificate}, key_file: {key}}}\n  credentials_file: {creds}\n"
    )
    first, second = hints(settings, read(str(tmp_path / "wsgw.yml")))
    assert first.startswith(
        f"{tmp_path}/wsgw.yml:3: nats.tls.certificate_file: {certificate}: the certificate expired on 2"
    )
    assert second.startswith(f"{tmp_path}/wsgw.yml:4: nats.credentials_file: {creds}: the JWT expired on 2")
    creds.unlink()
    assert hints(settings) == [first.partition(":3: ")[2]], "its file was there a moment ago"


def test_what_does_not_go_together(nats: Nats, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue("client")
    assert problems(nats, f"nats:\n  tls:\n    certificate_file: {certificate}\n") == [
        "wsgw.yml:4: nats.tls.certificate_file: key_file is needed with it"
    ]
    assert problems(nats, f"nats:\n  tls:\n    key_file: {key}\n") == [
        "wsgw.yml:4: nats.tls.key_file: certificate_file is needed with it"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nats:\n  tls:\n", "nats.tls: keys are expected here; {} for TLS as it is, and leave it out for none"),
        ("nats:\n  tls: {ca_file: }\n", "nats.tls.ca_file: a file is expected here; leave the key out where"),
        ("nats:\n  credentials_file:\n", "nats.credentials_file: a file is expected here"),
        (
            "nats:\n  tls: {certificate_fil: x}\n",
            "nats.tls.certificate_fil: unknown key; did you mean 'certificate_file'?",
        ),
    ],
)
def test_what_is_commented_out_is_no_wish_for_none(nats: Nats, text: str, said: str) -> None:
    (line,) = problems(nats, text)
    assert line.startswith(f"wsgw.yml:3: {said}")


def test_check_config(tmp_path: Path) -> None:
    path = tmp_path / "wsgw.yml"
    path.write_text("nats: {tls: {ca_file: nowhere}}\n")
    result = CliRunner().invoke(check_config, [str(path)])
    assert result.exit_code == 1
    assert result.output == f"{path}:1: nats.tls.ca_file: nowhere: No such file or directory\n"
