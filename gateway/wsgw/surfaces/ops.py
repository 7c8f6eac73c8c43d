"""What operators ask: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Request, Response

from wsgw import __version__
from wsgw.surfaces.answers import json_response
from wsgw.surfaces.application import gateway_of

router = APIRouter()


@router.get("/healthz")
async def healthz() -> Response:
    """200 while the event loop turns."""
    return json_response({"status": "ok", "version": __version__})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """200 when NATS answers, every bridge is subscribed and no stop has begun; else 503 and what is missing."""
    readiness = gateway_of(request.scope).readiness()
    return json_response(asdict(readiness), 200 if readiness.ready else 503)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """The Prometheus metrics."""
    return Response(
        gateway_of(request.scope).metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8"
    )
