"""Files by which NATS and the gateway know one another. They are read anew for each connection, and shown nowhere."""

from __future__ import annotations

from dataclasses import dataclass

from wsgw.config import contents

MAX_FILE_BYTES = 1024 * 1024  # all CAs of a system are a quarter of it


class BadFileError(ValueError):
    """``key`` is the setting below ``nats``, dotted; the text has file and reason, and shows nothing of it."""

    def __init__(self, key: str, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.key = key

    @property
    def said(self) -> str:
        """With the setting, for the log."""
        return f"nats.{self.key}: {self}"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: who may have signed a server's certificate, the own certificate, and its key; see the settings."""

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    handshake_first: bool = False


def content_of(key: str, path: str) -> bytes:
    """Of the file at ``path``, which is not empty; raises BadFileError."""
    try:
        content = contents.content_of(path, MAX_FILE_BYTES, again=True)
    except contents.UnreadableError as error:
        raise BadFileError(key, contents.shown(path), str(error)) from None
    if not content.strip():
        raise BadFileError(key, path, "is empty")
    return content
