"""Errors by which services on NATS reply (ADR-32 of github.com/nats-io/nats-architecture-and-design, "Error Handling").

Such a reply has the headers ``Nats-Service-Error`` (words that may be shown to users) and ``Nats-Service-Error-Code``
(a number). Here either makes it an error: no library wants both.
"""

from __future__ import annotations

import re

from wsgw.errors import SERVICE_ERROR, GatewayError
from wsgw.fanout.publication import NO_HEADERS, Headers, Publication
from wsgw.log import escaped

TEXT_HEADER = "Nats-Service-Error"
CODE_HEADER = "Nats-Service-Error-Code"

#: What of a code and of a text is passed on, in characters.
MAX_CODE_CHARS, MAX_TEXT_CHARS = 64, 1024

_HTTP_ERROR = re.compile(r"[45][0-9]{2}")
#: Those about a connection or its framing, and not about what was asked: browsers, libraries and proxies ask again by
#: themselves, or ask users for something, where they see them (RFC 9110 section 15.5, RFC 8470, RFC 6585 section 6).
NOT_PASSED_ON = frozenset({407, 408, 417, 421, 425, 426, 511})


class ServiceError(GatewayError):
    """A responder's own error: ``code`` as it wrote it (empty where it has none), ``text`` is the message.

    Both are cut, and hold nothing that would change a line or a terminal. ``headers`` are the reply's.
    """

    def __init__(self, code: str, text: str, headers: Headers = NO_HEADERS) -> None:
        super().__init__(SERVICE_ERROR, _harmless(text, MAX_TEXT_CHARS) or SERVICE_ERROR.summary)
        self.code = _harmless(code, MAX_CODE_CHARS)
        self.headers = headers

    @property
    def http_status(self) -> int:
        """The code, where it is a status for an answer to what was asked; else 502 (RFC 9110 section 15.6.3)."""
        status = int(self.code) if _HTTP_ERROR.fullmatch(self.code) else self.kind.http_status
        return self.kind.http_status if status in NOT_PASSED_ON else status

    def as_json(self) -> dict[str, dict[str, str]]:
        said = super().as_json()
        if self.code:
            said["error"]["service_code"] = self.code
        return said


def check(reply: Publication) -> None:
    """Raises ServiceError where ``reply`` is one."""
    headers = reply.headers
    if headers is NO_HEADERS:  # nearly all
        return
    text, code = headers.get(TEXT_HEADER), headers.get(CODE_HEADER)
    if text is not None or code is not None:
        raise ServiceError(code[0] if code else "", text[0] if text else "", headers)


def _harmless(text: str, most: int) -> str:
    return escaped(text[:most])[:most]
