"""``POST /publish/{channel}`` and ``POST /request/{channel}``, and what operators ask: health, readiness, metrics."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import orjson
from fastapi import APIRouter, Request, Response

from wsgw import __version__
from wsgw.errors import KINDS, TOO_LARGE, GatewayError
from wsgw.gateway import Gateway, gateway_of

TRANSPORT = "http"

router = APIRouter()


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def _refusal(gateway: Gateway, error: GatewayError) -> Response:
    gateway.metrics.rejected.labels(error.kind.name).inc()
    return _json(error.as_json(), error.kind.http_status)


_ERRORS: dict[int | str, dict[str, str]] = {
    status: {"description": "; ".join(f"{kind.name}: {kind.summary}" for kind in KINDS if kind.http_status == status)}
    for status in sorted({kind.http_status for kind in KINDS})
}


@router.post("/publish/{channel:path}", status_code=202, responses=_ERRORS)
async def publish(channel: str, request: Request) -> Response:
    """Publish the body, unchanged, to an outbound channel. 202 says that NATS has processed it."""
    gateway = gateway_of(request.scope)
    try:
        gateway.admit()
        await _publish(gateway, channel, await _body(gateway, request))
    except GatewayError as error:
        return _refusal(gateway, error)
    return _json({"accepted": True}, 202)


@router.post("/request/{channel:path}", responses=_ERRORS)
async def request(channel: str, request: Request) -> Response:
    """Ask a request channel: the body is the request, the answer's body is the responder's reply, both unchanged."""
    gateway = gateway_of(request.scope)
    try:
        gateway.admit()
        body = await _body(gateway, request)
        reply = await gateway.unless_stopped(asyncio.ensure_future(gateway.request(channel, body)))
    except GatewayError as error:
        return _refusal(gateway, error)
    return Response(reply, media_type="application/octet-stream" if _is_binary(reply) else "text/plain; charset=utf-8")


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


async def _publish(gateway: Gateway, channel: str, payload: bytes) -> None:
    settled: asyncio.Future[GatewayError | None] = asyncio.get_running_loop().create_future()

    def outcome(error: GatewayError | None) -> None:
        if not settled.done():  # the client may have gone
            settled.set_result(error)

    gateway.publish(channel, payload, TRANSPORT, outcome)
    error = await gateway.unless_stopped(settled)
    if error is not None:
        raise error


async def _body(gateway: Gateway, request: Request) -> bytes:
    """The whole body; raises GatewayError (too_large) as soon as it is over NATS' limit, without reading the rest."""
    limit = gateway.broker.max_payload_bytes
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise GatewayError(TOO_LARGE, f"the payload has more than {limit} bytes, which is what NATS takes at most")
        chunks.append(chunk)
    return b"".join(chunks)


def _is_binary(reply: bytes) -> bool:
    try:
        reply.decode()
    except UnicodeDecodeError:
        return True
    return False
