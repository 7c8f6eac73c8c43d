"""The head of an HTTP/1.1 request (RFC 9112 sections 2 to 6), whole: taken apart by httptools (llhttp), strictly.

llhttp refuses what is smuggled by: a length and a transfer coding together, two lengths, bare LF, folded lines, blanks
before a colon, control characters. What it lets through and is no request for us is refused here.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import httptools

from wsgw.errors import WsgwError

LINE_END = b"\r\n"
#: Of a head.
END = LINE_END + LINE_END

#: Longer ones name nothing here, and what is escaped in them is dear to take apart.
MAX_PATH_BYTES = 4096
MAX_QUERY_BYTES = 16 * 1024
#: Each is an object once somebody asks for one of them.
MAX_QUERY_FIELDS = 100

#: More digits than any length has are none; many items of a list are dear to take apart.
MAX_LENGTH_DIGITS = 19
MAX_LIST_ITEMS = 64

#: A smaller head costs less than to count it.
SMALL_BYTES = 4096

_VERSIONS = frozenset({"1.1", "1.0"})
#: Headers that say something about the connection.
_READ = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect", b"connection"})

Headers = list[tuple[bytes, bytes]]


class HeadError(WsgwError):
    """Not the head of a request that is served; the message says why, in words of ours alone."""


class TargetTooLong(HeadError):
    """The path or the query is longer than any that is served."""


class Head:
    """One head. ``headers`` are by lower-case name, in order. ``body_bytes`` is the length of the body, None: chunked.

    ``path`` is decoded and UTF-8, ``raw_path`` and ``query`` are as they came.
    """

    __slots__ = (
        "body_bytes",
        "expects_continue",
        "headers",
        "keeps_alive",
        "method",
        "path",
        "query",
        "raw_path",
        "size",
        "target",
        "upgrades",
        "version",
    )

    def __init__(self, raw: bytes) -> None:
        """Take ``raw`` apart, which ends with END; raises HeadError."""
        #: bytes that it was
        self.size = len(raw)
        self.target = b""
        self.headers: Headers = []
        #: to WebSocket
        self.upgrades = False
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(raw)
        except httptools.HttpParserUpgrade:
            self.upgrades = self._upgrades()
        except httptools.HttpParserError as error:
            raise HeadError(_words(error)) from None
        self.method = parser.get_method().decode("ascii")
        self.version = parser.get_http_version()
        if self.version not in _VERSIONS:
            raise HeadError("only HTTP/1.1 and HTTP/1.0 are spoken here")
        self.keeps_alive = self.version == "1.1"
        self.body_bytes: int | None = 0
        self.expects_continue = False
        self._read_headers([header for header in self.headers if header[0] in _READ])
        self._read_target()

    # -- for httptools, whose parser keeps these two: nothing may lead from here to the parser

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip()))

    # --

    @property
    def wants_events(self) -> bool:
        """Whether an EventSource asks (WHATWG HTML 9.2.3), or who asks as one does."""
        return self.method == "GET" and (b"accept", b"text/event-stream") in self.headers

    @property
    def kept_bytes(self) -> int:
        """What it counts while it is kept: nothing, where that is not worth the count."""
        return self.size if self.size > SMALL_BYTES else 0

    def header(self, name: bytes) -> bytes | None:
        """The last value of the header ``name`` (in lower case), None where there is none."""
        found = None
        for key, value in self.headers:
            if key == name:
                found = value
        return found

    # -- inside

    def _upgrades(self) -> bool:
        """Other upgrades are not offered, and the request is served as if it had not asked (RFC 9110 section 7.8)."""
        upgrade = self.header(b"upgrade")
        return upgrade is not None and upgrade.lower() == b"websocket"

    def _read_headers(self, headers: Headers) -> None:
        hosts = 0
        for name, value in headers:
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                if len(value) > MAX_LENGTH_DIGITS:
                    raise HeadError("the Content-Length has more digits than any length")
                self.body_bytes = int(value)  # llhttp lets only digits through, and only one
            elif name == b"transfer-encoding":
                if value.lower() != b"chunked" or self.body_bytes is None or self.version == "1.0":
                    raise HeadError("the only transfer coding taken here is chunked, of HTTP/1.1")
                self.body_bytes = None
            elif name == b"expect":
                self.expects_continue = value.lower() == b"100-continue" and self.version == "1.1"
            elif value.count(b",") >= MAX_LIST_ITEMS:
                raise HeadError(f"the Connection header has more than {MAX_LIST_ITEMS} items")
            elif b"close" in [token.strip() for token in value.lower().split(b",")]:
                self.keeps_alive = False
        if hosts > 1 or (not hosts and self.version == "1.1"):
            raise HeadError("there is one Host in a request, no more and no less (RFC 9112 section 3.2)")

    def _read_target(self) -> None:
        try:
            url = httptools.parse_url(self.target)
        except httptools.HttpParserError:
            raise HeadError("the request's target is no URL") from None
        raw: bytes | None = url.path
        if raw is None:
            raise HeadError("the request's target has no path")
        if url.host is not None:
            self._replace_host(url)
        self.raw_path = raw
        self.query: bytes = url.query or b""
        if len(raw) > MAX_PATH_BYTES or len(self.query) > MAX_QUERY_BYTES:
            raise TargetTooLong(f"a path has at most {MAX_PATH_BYTES} bytes here, a query {MAX_QUERY_BYTES}")
        if self.query.count(b"&") >= MAX_QUERY_FIELDS:
            raise HeadError(f"a query has at most {MAX_QUERY_FIELDS} fields here")
        try:
            self.path = (unquote_to_bytes(raw) if b"%" in raw else raw).decode()
        except UnicodeDecodeError:
            raise HeadError("the path is not UTF-8") from None

    def _replace_host(self, url: httptools.parser.url_parser.URL) -> None:
        """By that of the target, which counts where it has one (RFC 9112 section 3.2.2)."""
        if url.userinfo is not None:
            raise HeadError("the request's target has a user in it (RFC 9110 section 4.2.4)")
        host = b"[%b]" % url.host if b":" in url.host else url.host
        if url.port is not None:
            host += b":%d" % url.port
        self.headers = [(b"host", host), *(header for header in self.headers if header[0] != b"host")]


def _words(error: Exception) -> str:
    """llhttp's own words, which hold nothing of what the client sent."""
    return f"not HTTP/1.1: {error}" if error.args else "not HTTP/1.1"
