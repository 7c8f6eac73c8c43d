"""``POST /publish/{channel}`` and ``POST /request/{channel}``: the body is the payload."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TypeVar

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from wsgw.core.gateway import Gateway
from wsgw.core.session import Session
from wsgw.errors import BAD_REQUEST, TOO_LARGE, GatewayError
from wsgw.fanout.frames import is_utf8
from wsgw.surfaces.answers import CORS, ORIGINS, json_response, refusal
from wsgw.surfaces.application import gateway_of, principal_of
from wsgw.transports.http import Body, BodyTooLarge, ClientGone, respond

TRANSPORT = "http"

T = TypeVar("T")

_METHODS = ["OPTIONS", "POST"]

router = APIRouter()


@router.api_route("/publish/{channel:path}", methods=_METHODS)
async def publish(channel: str, request: Request) -> Response:
    """Publish the body, unchanged, to an outbound channel. 202 says that NATS has processed it."""
    return await _answer(request, lambda session, body: _publish(session, channel, body))


@router.api_route("/request/{channel:path}", methods=_METHODS)
async def request(channel: str, request: Request) -> Response:
    """Ask a request channel: the body is the request, the answer's body is the responder's reply, both unchanged."""
    return await _answer(request, lambda session, body: _request(session, channel, body))


class _EarlyResponse(Response):
    """An answer to a request whose body is unfinished, see ``respond``; ``rest`` reads on."""

    def __init__(self, response: Response, rest: Callable[[], Awaitable[None]]) -> None:
        super().__init__(response.body, response.status_code, response.headers)
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, self.status_code, bytes(self.body), self.headers, self._rest)


def _preflight(request: Request) -> Response:
    """What browsers ask before they let a page of another origin POST."""
    asked = request.headers
    headers = ORIGINS.preflight(asked.get("origin"), asked.get("access-control-request-headers"))
    return Response(status_code=204, headers={"allow": ", ".join(_METHODS)} | headers)


def _refusal(error: GatewayError) -> Response:
    return refusal(error, {"allow": "OPTIONS"} if error.kind.http_status == 405 else None)


async def _answer(request: Request, ask: Callable[[Session, bytes], Awaitable[Response]]) -> Response:
    """What ``ask`` answers to the request's body, or why it is not asked, which alone counts as ``rejected``."""
    if request.method == "OPTIONS":
        return _preflight(request)
    gateway = gateway_of(request.scope)
    body = Body(request.scope, request.receive)

    def early(error: GatewayError) -> Response:
        answer = _refusal(error)
        return _EarlyResponse(answer, lambda: _discard(gateway, body)) if body.unfinished else answer

    try:
        session = gateway.open_session(principal_of(request.scope, TRANSPORT))
    except GatewayError as error:
        return early(error)
    try:
        payload = await _unless_stopped(session, _payload(body, session.max_payload_bytes))
    except GatewayError as error:
        session.reject(error)
        return early(error)
    try:
        return await ask(session, payload)
    except GatewayError as error:
        return _refusal(error)


async def _payload(body: Body, limit_bytes: int) -> bytes:
    try:
        return await body.read(limit_bytes)
    except BodyTooLarge:
        message = f"the payload has more than {limit_bytes} bytes, which is what NATS takes at most"
        raise GatewayError(TOO_LARGE, message) from None
    except ClientGone:
        raise GatewayError(BAD_REQUEST, "the client went away before its body was complete") from None


async def _discard(gateway: Gateway, body: Body) -> None:
    with suppress(GatewayError):
        await _unless_stopped(gateway, body.discard())


async def _publish(session: Session, channel: str, payload: bytes) -> Response:
    settled: asyncio.Future[GatewayError | None] = asyncio.get_running_loop().create_future()

    def outcome(error: GatewayError | None) -> None:
        if not settled.done():  # the client may have gone
            settled.set_result(error)

    session.publish(channel, (payload,), outcome)
    error = await session.unless_stopped(settled)
    if error is not None:
        raise error
    return json_response({"accepted": True}, 202, CORS)


async def _request(session: Session, channel: str, payload: bytes) -> Response:
    reply = await _unless_stopped(session, session.request(channel, payload))
    media_type = "text/plain; charset=utf-8" if is_utf8(reply) else "application/octet-stream"
    return Response(reply, headers=CORS, media_type=media_type)


async def _unless_stopped(house: Gateway | Session, work: Coroutine[object, object, T]) -> T:
    task = asyncio.get_running_loop().create_task(work)
    try:
        return await house.unless_stopped(task)
    finally:
        task.cancel()
