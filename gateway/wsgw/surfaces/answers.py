"""Answers of HTTP surfaces."""

from __future__ import annotations

import math
from collections.abc import Mapping

import orjson
from fastapi import Response

from wsgw.errors import GatewayError, LimitError

#: With every 401 (RFC 9110 section 11.6.1, RFC 6750 section 3).
CHALLENGE: Mapping[str, str] = {"www-authenticate": "Bearer"}


#: With what nobody is to keep (RFC 9111 section 5.2.2.5): it is of one moment, or of one client.
FRESH: Mapping[str, str] = {"cache-control": "no-store"}


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """``value`` as JSON."""
    return Response(orjson.dumps(value), status, {**FRESH, **(headers or {})}, media_type="application/json")


def refusal(error: GatewayError, headers: Mapping[str, str] | None = None) -> Response:
    """``error`` as its row of the table of errors says it."""
    challenge = CHALLENGE if error.http_status == 401 else {}
    return json_response(error.as_json(), error.http_status, {**challenge, **when_to_retry(error), **(headers or {})})


def when_to_retry(error: GatewayError) -> dict[str, str]:
    """What says so (RFC 9110 section 10.2.3), in whole seconds, where that is known; to pages of other origins, too."""
    if not isinstance(error, LimitError):
        return {}
    later = str(max(1, math.ceil(error.retry_after_seconds)))
    return {"retry-after": later, "access-control-expose-headers": "retry-after"}
