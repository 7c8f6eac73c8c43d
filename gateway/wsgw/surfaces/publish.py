"""``POST /publish/{channel}`` and ``POST /request/{channel}``, and what operators ask: health, readiness, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import TypeVar

import orjson
from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from wsgw import __version__
from wsgw.core.session import Session
from wsgw.errors import BAD_REQUEST, TOO_LARGE, GatewayError
from wsgw.fanout.frames import is_utf8
from wsgw.surfaces.application import gateway_of, principal_of

TRANSPORT = "http"
#: What is still read, and for how long, of a body that was refused for its size.
UNREAD_BYTES = 64 * 1024 * 1024
UNREAD_SECONDS = 5.0

#: Pages of every origin may ask (the Fetch standard), as they may over WebSocket and Socket.IO.
_CORS = {"access-control-allow-origin": "*"}
_CORS_MAX_AGE_SECONDS = 600

T = TypeVar("T")

router = APIRouter()


@router.post("/publish/{channel:path}", status_code=202)
async def publish(channel: str, request: Request) -> Response:
    """Publish the body, unchanged, to an outbound channel. 202 says that NATS has processed it."""
    return await _answer(request, lambda session, body: _publish(session, channel, body))


@router.post("/request/{channel:path}")
async def request(channel: str, request: Request) -> Response:
    """Ask a request channel: the body is the request, the answer's body is the responder's reply, both unchanged."""
    return await _answer(request, lambda session, body: _request(session, channel, body))


@router.options("/publish/{channel:path}")
@router.options("/request/{channel:path}")
async def preflight(request: Request) -> Response:
    """What browsers ask before they let a page of another origin POST."""
    headers = {
        "allow": "OPTIONS, POST",
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": request.headers.get("access-control-request-headers", "content-type"),
        "access-control-max-age": str(_CORS_MAX_AGE_SECONDS),
    }
    return Response(status_code=204, headers=_CORS | headers)


@router.get("/healthz")
async def healthz() -> Response:
    """200 while the event loop turns."""
    return _json({"status": "ok", "version": __version__})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """200 when NATS answers, every bridge is subscribed and no stop has begun; else 503 and what is missing."""
    readiness = gateway_of(request.scope).readiness()
    return _json(asdict(readiness), 200 if readiness.ready else 503)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """The Prometheus metrics."""
    return Response(
        gateway_of(request.scope).metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


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


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")


def _refusal(error: GatewayError) -> Response:
    headers = _CORS | ({"allow": "OPTIONS"} if error.kind.http_status == 405 else {})
    return _json(error.as_json(), error.kind.http_status, headers)


async def _answer(request: Request, ask: Callable[[Session, bytes], Awaitable[Response]]) -> Response:
    """What ``ask`` answers to the request's body, or why it is not asked, which alone counts as ``rejected``."""
    gateway = gateway_of(request.scope)
    chunks = request.stream()
    try:
        session = gateway.open_session(principal_of(request.scope, TRANSPORT))
    except GatewayError as error:
        return _refusal(error)
    try:
        body = await _unless_stopped(session, _body(request, chunks, session.max_payload_bytes))
    except GatewayError as error:
        session.reject(error)
        refusal = _refusal(error)
        return _EarlyResponse(refusal, chunks) if error.kind is TOO_LARGE else refusal
    try:
        return await ask(session, body)
    except GatewayError as error:
        return _refusal(error)


async def _publish(session: Session, channel: str, payload: bytes) -> Response:
    settled: asyncio.Future[GatewayError | None] = asyncio.get_running_loop().create_future()

    def outcome(error: GatewayError | None) -> None:
        if not settled.done():  # the client may have gone
            settled.set_result(error)

    session.publish(channel, (payload,), outcome)
    error = await session.unless_stopped(settled)
    if error is not None:
        raise error
    return _json({"accepted": True}, 202, _CORS)


async def _request(session: Session, channel: str, payload: bytes) -> Response:
    reply = await _unless_stopped(session, session.request(channel, payload))
    media_type = "text/plain; charset=utf-8" if is_utf8(reply) else "application/octet-stream"
    return Response(reply, headers=_CORS, media_type=media_type)


async def _unless_stopped(session: Session, work: Coroutine[object, object, T]) -> T:
    task = asyncio.get_running_loop().create_task(work)
    try:
        return await session.unless_stopped(task)
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
