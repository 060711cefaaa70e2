"""For operators: is it well (`/healthz`), what is it doing (`/metrics`)."""

from collections import Counter
from datetime import UTC, datetime

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api_server.errors import Unavailable
from api_server.metrics import NodeFigures
from api_server.routes.nodes import STATES, state
from api_server.routes.nodes import found as nodes_found
from api_server.routes.service import json, named, service
from api_server.store import Node
from api_server.store.nodes import now

router = APIRouter()


@router.get("/healthz")
async def healthz(request: Request) -> Response:
    """200 with the newest revision if the database answers, else 503."""
    current = named(request, "healthz")
    await service(request).read(current, lambda reader: reader.identify(""))
    return json({"status": "ok", "revision": current.revision})


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Also while the database is away, then without the nodes."""
    current, server = named(request, "metrics"), service(request)
    metrics = server.metrics
    try:
        nodes = await nodes_found(server, current)
    except Unavailable:
        nodes = []
    states = Counter(state(node) for node in nodes)
    metrics.nodes.states = {name: states[name] for name in STATES} if nodes else {}
    metrics.nodes.figures = [figures(node, current.revision or 0) for node in nodes if node.reported]
    return Response(metrics.exposition(), headers={"content-type": metrics.content_type})


def figures(node: Node, newest: int) -> NodeFigures:
    seconds = 0.0
    if node.due is not None and node.due.at is not None:
        written = datetime.fromisoformat(node.due.at).replace(tzinfo=UTC)
        seconds = max(0.0, (datetime.now(UTC) - written).total_seconds())
    units = orjson.loads(node.agent).get("units", {})
    age = max(now() - node.reported, 0) / 1000
    return NodeFigures(node.name, node.behind(newest), seconds, age, units.get("error", 0))
