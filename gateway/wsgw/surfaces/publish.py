"""``POST /publish/{channel}`` and ``POST /request/{channel}``: the body is the payload."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TypeVar

from fastapi import APIRouter, Request, Response

from wsgw.broker.puback import PublishResult
from wsgw.broker.services import ServiceError
from wsgw.core.session import Session
from wsgw.errors import BAD_REQUEST, NO_MEMORY, TOO_LARGE, GatewayError
from wsgw.fanout.publication import Publication
from wsgw.surfaces.answers import json_response, refusal
from wsgw.surfaces.application import gateway_of, principal_of
from wsgw.surfaces.replies import answer, carrying
from wsgw.transports.asgi import Receive
from wsgw.transports.http import Body, BodyDropped, BodyTooLarge, ClientGone, wait_gone

TRANSPORT = "http"

T = TypeVar("T")

#: OPTIONS is answered by the gate.
_METHODS = ["OPTIONS", "POST"]
#: With every 405 (RFC 9110 section 15.5.6); to POST would not help.
_ALLOW = {"allow": "OPTIONS"}
#: Whoever sends the same message again gives it the same (docs.nats.io, JetStream's headers).
_ID_HEADER = "nats-msg-id"

router = APIRouter()


@router.api_route("/publish/{channel:path}", methods=_METHODS)
async def publish(channel: str, request: Request) -> Response:
    """Publish the body, unchanged, to an outbound channel. 202 says that NATS has processed it.

    On a durable channel it says that the stream has stored it, and where; the header Nats-Msg-Id counts there alone.
    """
    ids = request.headers.getlist(_ID_HEADER)
    return await _answer(
        request, lambda session, body: _publish(session, channel, body, ", ".join(ids) if ids else None)
    )


@router.api_route("/request/{channel:path}", methods=_METHODS)
async def request(channel: str, request: Request) -> Response:
    """Ask a request channel: the body is the request, the answer's body is the responder's reply, both unchanged.

    An error by which a service replies is one here: see ``ServiceError``.
    """
    return await _answer(request, lambda session, body: _request(session, channel, body, request.receive))


def _refusal(error: GatewayError) -> Response:
    return refusal(error, _ALLOW if error.http_status == 405 else None)


async def _answer(request: Request, ask: Callable[[Session, bytes], Awaitable[Response]]) -> Response:
    """What ``ask`` answers to the request's body, or why it is not asked, which alone counts as ``rejected``."""
    gateway = gateway_of(request.scope)
    principal = principal_of(request.scope, TRANSPORT)
    try:
        gateway.arrive(principal, stays=False)
        if gateway.authenticator is not None:
            await gateway.identify(principal)
        session = gateway.open_session(principal)
    except GatewayError as error:
        return _refusal(error)
    try:
        body = Body(request.scope, request.receive, gateway.edge.memory)
        payload = await _unless_stopped(session, _payload(body, session.max_payload_bytes))
    except GatewayError as error:
        session.reject(error)
        return _refusal(error)
    except ClientGone:
        return _for_nobody()
    try:
        return await ask(session, payload)
    except GatewayError as error:
        return _refusal(error.with_traceback(None))  # which has frames that have the error
    except ClientGone:
        return _for_nobody()


def _for_nobody() -> Response:
    return Response(status_code=BAD_REQUEST.http_status)


async def _payload(body: Body, limit_bytes: int) -> bytes:
    try:
        return await body.read(limit_bytes)
    except BodyTooLarge:
        message = f"the payload has more than {limit_bytes} bytes, which is the most that is taken"
        raise GatewayError(TOO_LARGE, message) from None
    except BodyDropped:
        raise GatewayError(NO_MEMORY, NO_MEMORY.summary) from None


async def _publish(session: Session, channel: str, payload: bytes, id: str | None) -> Response:
    settled: asyncio.Future[PublishResult] = asyncio.get_running_loop().create_future()

    def outcome(result: PublishResult) -> None:
        if not settled.done():  # the client may have gone
            settled.set_result(result)

    session.publish(channel, (payload,), outcome, (id,))
    result = await session.unless_stopped(settled)
    receipt = result[0] if isinstance(result, list) else result
    if isinstance(receipt, GatewayError):
        raise receipt
    return json_response({"accepted": True} | ({} if receipt is None else receipt.as_json()), 202)


async def _request(session: Session, channel: str, payload: bytes, receive: Receive) -> Response:
    """Raises ClientGone: the reply is not waited for then, for others may be waiting to ask."""
    asking = session.request(channel, payload)
    names = session.reply_headers(channel)
    gone = asyncio.get_running_loop().create_task(wait_gone(receive))
    gone.add_done_callback(partial(_cancel, asking))
    try:
        return answer(await session.unless_stopped(asking), names)
    except ServiceError as error:
        return carrying(_refusal(error.with_traceback(None)), error.headers, names)
    except asyncio.CancelledError:
        if not asking.cancelled():
            raise  # it is this that was
        raise ClientGone from None
    finally:
        asking.cancel()
        gone.cancel()
        del asking  # an error has this frame, and the task the error


def _cancel(task: asyncio.Task[Publication], _: object) -> None:
    task.cancel()


async def _unless_stopped(session: Session, work: Coroutine[object, object, T]) -> T:
    task = asyncio.get_running_loop().create_task(work)
    try:
        return await session.unless_stopped(task)
    finally:
        task.cancel()
        del task  # an error has this frame, and the task the error
