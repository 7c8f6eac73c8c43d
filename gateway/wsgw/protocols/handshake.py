"""What the HTTP request said that opened something: a WebSocket, a Socket.IO connection, a POST."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from urllib.parse import parse_qsl

_NOTHING: Mapping[str, str] = MappingProxyType({})
#: What a header takes in memory beside its text.
_HEADER_BYTES = 150


class Handshake:
    """``path``, ``client`` (the other end's address, empty where it is not known) and ``network`` (what limits by
    address count it as, None where that says nothing) as they are; the rest on demand.

    Most is never asked for, and taking it apart costs more time and memory than all else that a connection's opening
    does here. ``raw_headers`` have lower-case names, as ASGI's.
    """

    __slots__ = ("_fields", "_query", "_raw_headers", "_raw_query", "client", "network", "path", "seat")

    def __init__(
        self,
        path: str,
        raw_query: bytes,
        raw_headers: Iterable[tuple[bytes, bytes]],
        client: str,
        network: str | None = None,
    ) -> None:
        self.path = path
        self.client = client
        self.network = network
        #: what counts the connection that it opened, where something does; ``access`` knows it
        self.seat: object = None
        self._raw_query = raw_query
        self._raw_headers = raw_headers
        self._fields: Sequence[tuple[str, str]] | None = None
        self._query: Mapping[str, str] | None = None

    @property
    def query(self) -> Mapping[str, str]:
        """The last value of each key of the query string; taken apart once."""
        if self._query is None:
            self._query = dict(self.fields) or _NOTHING
        return self._query

    @property
    def fields(self) -> Sequence[tuple[str, str]]:
        """Keys and values of the query string, in order; taken apart once."""
        if self._fields is None:
            raw, self._raw_query = self._raw_query, b""
            self._fields = parse_qsl(raw.decode("latin-1"), keep_blank_values=True) if raw else ()
        return self._fields

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        size = len(self.path) + len(self._raw_query)
        if self._fields:
            size += sum([len(name) + len(value) + _HEADER_BYTES for name, value in self._fields])
        return size + sum([len(name) + len(value) + _HEADER_BYTES for name, value in self._raw_headers])

    def forget(self) -> None:
        """Keep nothing but the path and the address: the query and the headers are empty from now on."""
        self._fields, self._query, self._raw_query, self._raw_headers = (), _NOTHING, b"", ()

    @property
    def headers(self) -> Mapping[str, str]:
        """The last value of each header, by its name in lower case; taken apart each time."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self._raw_headers}

    def header(self, name: bytes) -> str | None:
        """The last value of the header ``name`` (in lower case), None where there is none."""
        found: bytes | None = None
        for key, value in self._raw_headers:
            if key == name:
                found = value
        return None if found is None else found.decode("latin-1")

    def values(self, name: bytes) -> list[str]:
        """All values of the header ``name`` (in lower case), in order."""
        return [value.decode("latin-1") for key, value in self._raw_headers if key == name]
