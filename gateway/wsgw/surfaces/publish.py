"""``POST /publish/{channel}`` and ``POST /request/{channel}``: the body is the payload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TypeVar

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from wsgw.access.origins import Origins
from wsgw.core.gateway import Gateway
from wsgw.errors import BAD_REQUEST, TOO_LARGE, GatewayError
from wsgw.fanout.frames import is_utf8
from wsgw.surfaces.answers import json_response
from wsgw.surfaces.application import gateway_of

TRANSPORT = "http"
#: What is still read, and for how long, of a body that was refused for its size.
UNREAD_BYTES = 64 * 1024 * 1024
UNREAD_SECONDS = 5.0

#: Pages of every origin may ask, as they may over WebSocket and Socket.IO.
_ORIGINS = Origins("*", ("POST",))
_CORS = _ORIGINS.headers(None)

T = TypeVar("T")

router = APIRouter()


@router.post("/publish/{channel:path}", status_code=202)
async def publish(channel: str, request: Request) -> Response:
    """Publish the body, unchanged, to an outbound channel. 202 says that NATS has processed it."""
    gateway = gateway_of(request.scope)
    return await _answer(gateway, request, lambda body: _publish(gateway, channel, body))


@router.post("/request/{channel:path}")
async def request(channel: str, request: Request) -> Response:
    """Ask a request channel: the body is the request, the answer's body is the responder's reply, both unchanged."""
    gateway = gateway_of(request.scope)
    return await _answer(gateway, request, lambda body: _request(gateway, channel, body))


@router.options("/publish/{channel:path}")
@router.options("/request/{channel:path}")
async def preflight(request: Request) -> Response:
    """What browsers ask before they let a page of another origin POST."""
    asked = request.headers
    headers = _ORIGINS.preflight(asked.get("origin"), asked.get("access-control-request-headers"))
    return Response(status_code=204, headers={"allow": "OPTIONS, POST"} | headers)


class _EarlyResponse(Response):
    """An answer to a request whose body is not read to the end: it goes out first, then ``rest`` is read, for a while.

    Then the connection ends. One that is closed with data unread is reset, and the answer lost (RFC 9112 section 9.6).
    """

    def __init__(self, response: Response, rest: AsyncIterator[bytes]) -> None:
        super().__init__(response.body, response.status_code, response.headers)
        self.headers["connection"] = "close"
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError, ClientDisconnect):
            async with asyncio.timeout(UNREAD_SECONDS):
                size = 0
                async for chunk in self._rest:
                    size += len(chunk)
                    if size > UNREAD_BYTES:
                        break
        await send({"type": "http.response.body", "body": b""})


def _refusal(error: GatewayError) -> Response:
    headers = _CORS | ({"allow": "OPTIONS"} if error.kind.http_status == 405 else {})
    return json_response(error.as_json(), error.kind.http_status, headers)


async def _answer(gateway: Gateway, request: Request, ask: Callable[[bytes], Awaitable[Response]]) -> Response:
    """What ``ask`` answers to the request's body, or why it is not asked, which alone counts as ``rejected``."""
    chunks = request.stream()
    try:
        gateway.admit()
        body = await _unless_stopped(gateway, _body(request, chunks, gateway.broker.max_payload_bytes))
    except GatewayError as error:
        gateway.metrics.rejected.labels(error.kind.name).inc()
        refusal = _refusal(error)
        return _EarlyResponse(refusal, chunks) if error.kind is TOO_LARGE else refusal
    try:
        return await ask(body)
    except GatewayError as error:
        return _refusal(error)


async def _publish(gateway: Gateway, channel: str, payload: bytes) -> Response:
    settled: asyncio.Future[GatewayError | None] = asyncio.get_running_loop().create_future()

    def outcome(error: GatewayError | None) -> None:
        if not settled.done():  # the client may have gone
            settled.set_result(error)

    gateway.publish(channel, payload, TRANSPORT, outcome)
    error = await gateway.unless_stopped(settled)
    if error is not None:
        raise error
    return json_response({"accepted": True}, 202, _CORS)


async def _request(gateway: Gateway, channel: str, payload: bytes) -> Response:
    reply = await _unless_stopped(gateway, gateway.request(channel, payload))
    media_type = "text/plain; charset=utf-8" if is_utf8(reply) else "application/octet-stream"
    return Response(reply, headers=_CORS, media_type=media_type)


async def _unless_stopped(gateway: Gateway, work: Coroutine[object, object, T]) -> T:
    task = asyncio.get_running_loop().create_task(work)
    try:
        return await gateway.unless_stopped(task)
    finally:
        task.cancel()


async def _body(request: Request, chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """The whole body; raises GatewayError: too_large as soon as it is over ``limit``, without reading the rest."""
    too_large = GatewayError(TOO_LARGE, f"the payload has more than {limit} bytes, which is what NATS takes at most")
    if int(request.headers.get("content-length", 0)) > limit:
        raise too_large
    body: list[bytes] = []
    size = 0
    try:
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise too_large
            body.append(chunk)
    except ClientDisconnect:
        raise GatewayError(BAD_REQUEST, "the client went away before its body was complete") from None
    return b"".join(body)
