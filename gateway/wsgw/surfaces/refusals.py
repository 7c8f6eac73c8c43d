"""What is answered where no surface answers: to unknown paths and wrong methods, and to faults of the gateway.

``install`` makes an application answer so. Refusals count in ``wsgw_rejected_total``; a fault is in the log.
"""

from __future__ import annotations

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp

from wsgw.errors import INTERNAL, METHOD_NOT_ALLOWED, NOT_FOUND, GatewayError
from wsgw.surfaces.answers import refusal
from wsgw.surfaces.application import gateway_of
from wsgw.transports import accept
from wsgw.transports.asgi import Event, Receive, Send


def install(app: FastAPI) -> None:
    """What ``app``'s router refuses, and what its endpoints raise, is answered by the table of errors."""
    app.add_exception_handler(404, _not_found)
    app.add_exception_handler(405, _method_not_allowed)
    app.add_exception_handler(Exception, _fault)


def guarded(surface: ASGIApp) -> ASGIApp:
    """``surface``, which the router does not serve, with its faults over HTTP answered as ``install`` does."""
    return ServerErrorMiddleware(surface, _fault)


async def refuse_websocket(scope: Event, receive: Receive, send: Send) -> None:
    """Refuse the WebSocket of ``scope``, whose path nothing serves."""
    await receive()  # websocket.connect
    gateway_of(scope).rejected(NOT_FOUND.name)
    error = GatewayError(NOT_FOUND, f"no WebSocket is served on {scope['path']}")
    await accept.refuse(scope, send, NOT_FOUND.http_status, orjson.dumps(error.as_json()))


async def refuse(scope: Event, receive: Receive, send: Send) -> None:
    """Answer the HTTP request of ``scope``, whose path nothing serves."""
    await _refused(scope, _nothing(scope["path"]))(scope, receive, send)


def _nothing(path: str) -> GatewayError:
    """Who asks for a WebSocket by HTTP is mostly a proxy that took away what makes it one."""
    if path.startswith("/ws/"):
        advice = "has no WebSocket handshake: proxies have to pass on the headers Upgrade and Connection"
        return GatewayError(NOT_FOUND, f"this request for {path} {advice}")
    return GatewayError(NOT_FOUND, f"nothing is served on {path}")


async def _not_found(request: Request, _: Exception) -> Response:
    return _refused(request.scope, _nothing(request.scope["path"]))


async def _method_not_allowed(request: Request, exception: Exception) -> Response:
    assert isinstance(exception, HTTPException)
    allow = ", ".join(sorted((exception.headers or {})["Allow"].split(", ")))
    error = GatewayError(METHOD_NOT_ALLOWED, f"{request.scope['path']} takes {allow}, not {request.method}")
    return _refused(request.scope, error, {"allow": allow})


async def _fault(_: Request, __: Exception) -> Response:
    # starlette raises the exception again behind the answer, and the HTTP server logs it
    return refusal(GatewayError(INTERNAL, INTERNAL.summary))


def _refused(scope: Event, error: GatewayError, headers: dict[str, str] | None = None) -> Response:
    gateway_of(scope).rejected(error.kind.name)
    return refusal(error, headers)
