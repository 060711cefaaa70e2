"""For operators: is it well (`/healthz`), what is it doing (`/metrics`)."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api_server.routes.service import json, named, service

router = APIRouter()


@router.get("/healthz")
async def healthz(request: Request) -> Response:
    """200 with the newest revision if the database answers, else 503."""
    current = named(request, "healthz")
    await service(request).read(current, lambda reader: reader.identify(""))
    return json({"status": "ok", "revision": current.revision})


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    named(request, "metrics")
    metrics = service(request).metrics
    return Response(metrics.exposition(), headers={"content-type": metrics.content_type})
