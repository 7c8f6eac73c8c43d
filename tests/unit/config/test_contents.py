"""Small files that settings name: read whole or not at all, and nobody waits for a pipe while the gateway runs."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from wsgw.config.contents import UnreadableError, content_of, shown


def problem(path: Path | str, most_bytes: int = 10, *, again: bool = False) -> str:
    with pytest.raises(UnreadableError) as caught:
        content_of(str(path), most_bytes, again=again)
    return str(caught.value)


@pytest.mark.parametrize("again", [False, True])
def test_what_can_be_read(tmp_path: Path, again: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to(path)  # as secrets are mounted
    assert (
        content_of(str(path), 10, again=again) == content_of(str(tmp_path / "link"), 10, again=again) == b"0123456789"
    )
    assert problem(path, 9, again=again) == "is larger than 9 bytes"
    assert problem(tmp_path / "none", again=again) == "No such file or directory"
    assert problem(tmp_path, again=again) == "Is a directory"
    assert problem("a\0b", again=again) == "not a path"


@pytest.mark.parametrize(
    "path", ["secret", "secret.txt", "/run/secrets/of-the-gateway", "./jwt", "certificates/gateway.key"]
)
def test_paths_are_shown(path: str) -> None:
    assert shown(path) == path


@pytest.mark.parametrize(
    "what",
    [
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----",
        "SUAMK2FG4MI6UE3ACF3FK3OIQBCEIEZV7NSWFFEW63UXMRLFM2XLAXK4GY",
        "eyJ0eXAiOiJKV1QifQ.eyJqdGkiOiJ.AAAA",
        "q83vEjRWeJ/rzw==",
        "q83v+jRWeJ/rzwAB",
        "correct-horse-battery",
    ],
)
def test_what_should_be_in_the_file_is_not(what: str) -> None:
    assert what not in shown(what)


def test_a_pipe(tmp_path: Path) -> None:
    """It is read at the start; later on nobody waits until somebody writes."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert problem(path, again=True) == "is no regular file"
    writing = threading.Thread(target=path.write_bytes, args=(b"a secret",))
    writing.start()
    assert content_of(str(path), 10) == b"a secret"
    writing.join()
    assert problem("/dev/zero") == "is larger than 10 bytes"
    assert problem("/dev/zero", again=True) == "is no regular file"
