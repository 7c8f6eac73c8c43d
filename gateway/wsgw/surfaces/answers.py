"""Answers of HTTP surfaces."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from fastapi import Response


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """``value`` as JSON."""
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
