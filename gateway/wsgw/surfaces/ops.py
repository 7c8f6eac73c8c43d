"""What operators ask: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Request, Response

from wsgw import __version__
from wsgw.surfaces.answers import FRESH, json_response
from wsgw.surfaces.application import gateway_of

#: HTTP servers send no body to HEAD, which is what many health checks ask with (RFC 9110 section 9.3.2).
_METHODS = ["GET", "HEAD"]

#: Answered in any need.
PATHS = frozenset({"/healthz", "/readyz", "/metrics"})

#: And where operators have a listener of their own, of clients.
PUBLIC_PATHS = frozenset({"/healthz", "/readyz"})

#: For operators, and for clients where operators have no listener of their own.
router = APIRouter()
#: For clients where they have one: nothing that says more than what balancers need.
public = APIRouter()


@router.api_route("/healthz", methods=_METHODS)
async def healthz() -> Response:
    """200 while the event loop turns."""
    return json_response({"status": "ok", "version": __version__})


@router.api_route("/readyz", methods=_METHODS)
async def readyz(request: Request) -> Response:
    """200 when NATS answers, every bridge is subscribed and no stop has begun; else 503 and what is missing."""
    readiness = gateway_of(request.scope).readiness()
    return json_response(asdict(readiness), 200 if readiness.ready else 503)


@public.api_route("/healthz", methods=_METHODS)
async def alive() -> Response:
    """As ``healthz``, without the version."""
    return json_response({"status": "ok"})


@public.api_route("/readyz", methods=_METHODS)
async def is_ready(request: Request) -> Response:
    """As ``readyz``, without what is missing."""
    ready = gateway_of(request.scope).readiness().ready
    return json_response({"ready": ready}, 200 if ready else 503)


@router.api_route("/metrics", methods=_METHODS)
async def metrics(request: Request) -> Response:
    """The Prometheus metrics."""
    exposition = await gateway_of(request.scope).scrapes.read()
    return Response(exposition, headers=FRESH, media_type="text/plain; version=0.0.4; charset=utf-8")
