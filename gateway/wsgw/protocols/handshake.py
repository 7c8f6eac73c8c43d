"""What the HTTP request said that opened something: a WebSocket, a Socket.IO connection, a POST."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl


class Handshake:
    """``path`` and ``client`` (the other end's address, empty where it is not known) as they are; the rest on demand.

    Most is never asked for, and taking it apart costs more than all else that a connection's opening does here.
    ``raw_headers`` have lower-case names, as ASGI's.
    """

    __slots__ = ("_headers", "_query", "_raw_headers", "_raw_query", "client", "path")

    def __init__(self, path: str, raw_query: bytes, raw_headers: Iterable[tuple[bytes, bytes]], client: str) -> None:
        self.path = path
        self.client = client
        self._raw_query = raw_query
        self._raw_headers = raw_headers
        self._query: dict[str, str] | None = None
        self._headers: dict[str, str] | None = None

    @property
    def query(self) -> Mapping[str, str]:
        """The last value of each key of the query string."""
        if self._query is None:
            self._query = dict(parse_qsl(self._raw_query.decode("latin-1"), keep_blank_values=True))
        return self._query

    @property
    def headers(self) -> Mapping[str, str]:
        """The last value of each header, by its name in lower case."""
        if self._headers is None:
            self._headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in self._raw_headers}
        return self._headers
