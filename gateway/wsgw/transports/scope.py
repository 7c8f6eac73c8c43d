"""From a request's head to what an ASGI application is told of it."""

from __future__ import annotations

from typing import Any

from uvicorn.config import Config

from wsgw.protocols.http1.head import Head
from wsgw.transports.asgi import Event


def scope_of(kind: str, spec_version: str, head: Head, config: Config, app_state: dict[str, Any]) -> Event:
    """What the scopes of both kinds, ``http`` and ``websocket``, have of ``head``; that of the connection is not in it.

    ``spec_version`` is that of ASGI's specification of the kind.
    """
    root = config.root_path
    return {
        "type": kind,
        "asgi": {"version": config.asgi_version, "spec_version": spec_version},
        "http_version": head.version,
        "root_path": root,
        "path": root + head.path,
        "raw_path": root.encode("ascii") + head.raw_path,
        "query_string": head.query,
        "headers": head.headers,
        "state": app_state.copy(),
    }
