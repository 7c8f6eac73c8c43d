"""Files by which NATS and the gateway know one another: whether they can be read, and when they are good."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsgw.config.natsfiles import MAX_FILE_BYTES, BadFileError, content_of


def problem(path: Path | str) -> str:
    with pytest.raises(BadFileError) as caught:
        content_of("tls.ca_file", str(path))
    assert caught.value.said == f"nats.tls.ca_file: {caught.value}"
    return str(caught.value)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert problem(path) == f"{path}: No such file or directory"
    assert problem(tmp_path) == f"{tmp_path}: Is a directory"
    assert problem("a\0b").endswith("not a path")
    path.write_bytes(b" \n")
    assert problem(path) == f"{path}: is empty"
    path.write_bytes(b"a" * (MAX_FILE_BYTES + 1))
    assert "larger than" in problem(path)
    assert problem("/dev/zero") == "/dev/zero: is no regular file"
    path.write_bytes(b"a" * MAX_FILE_BYTES)
    assert len(content_of("x", str(path))) == MAX_FILE_BYTES
