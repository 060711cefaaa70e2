"""Statuses: what nodes report of objects, beside the objects (docs/design/status.md).

POST /status                 a node's report: what has changed of what it says; no revision, no event of the log
GET  /status?node=NAME       all that a node says; without a name the nodes, as `routes.nodes` tells of them
GET  /status/<type>/<uuid>   of an object: joined, with what each node says; with the tree below it
"""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api_server.errors import NotFound
from api_server.loadbalancer import status_tree
from api_server.loadbalancer.status import Said, Status
from api_server.routes import nodes
from api_server.routes.reports import read_report
from api_server.routes.service import json, mapping, named, service
from api_server.routes.times import iso
from schema.quoting import quote

router = APIRouter()

LISTS = {"loadbalancer-listener": "listeners", "loadbalancer-pool": "pools", "loadbalancer-member": "members"}
MONITOR = "loadbalancer-healthmonitor"


# --- what is told


def told(said: Said) -> dict[str, Any]:
    return {
        "node": said.node, "state": said.operating, "provisioning": said.provisioning, "reason": said.reason,
        "since": iso(said.since), "revision": said.revision, "reported": iso(said.reported), "stale": said.stale,
    }  # fmt: skip


def alone(status: Status) -> dict[str, Any]:
    """Of an object, without those below it."""
    subject = status.subject
    return {
        "type": subject.type, "uuid": subject.uuid, "fq_name": subject.fq_name, "name": subject.fq_name[-1],
        "operating_status": status.operating, "provisioning_status": status.provisioning, "reason": status.reason,
        "since": iso(status.since), **subject.shown, "nodes": [told(one) for one in subject.said],
    }  # fmt: skip


def whole(status: Status) -> dict[str, Any]:
    """Of an object, with the tree below it."""
    found = alone(status)
    below = {"loadbalancer": "listeners", "loadbalancer-listener": "pools", "loadbalancer-pool": "members"}
    if name := below.get(status.subject.type):
        found[name] = []
    for one in status.below:
        if one.subject.type == MONITOR:
            found["healthmonitor"] = whole(one)
        else:
            found[LISTS[one.subject.type]].append(whole(one))
    return found


# --- routes


@router.post("/status")
async def report(request: Request) -> Response:
    current, server = named(request, "status"), service(request)
    unknown, current.revision = await server.store.report(read_report(await mapping(request)), current.request_id)
    return json({"unknown": unknown})


@router.get("/status")
async def reporting(request: Request) -> Response:
    name = request.query_params.get("node")
    if name is None:
        return await nodes.everyone(request)
    current, server = named(request, "status"), service(request)
    rows = await server.read(current, lambda reader: reader.status_rows_of(name))
    return json({"node": name, "rows": [
        {"type": row.type, "uuid": row.uuid, "state": row.state, "provisioning": row.provisioning,
         "reason": row.reason, "since": iso(row.since), "revision": row.revision}
        for row in rows
    ]})  # fmt: skip


@router.get("/status/{type}/{uuid}")
async def status(request: Request, type: str, uuid: str) -> Response:
    current, server = named(request, "status"), service(request)
    kind = server.model.types.get(type)
    if kind is None:
        raise NotFound(f"Not found: '{quote(request.url.path)}'")
    found, other = await server.read(
        current,
        lambda reader: (status_tree.statuses(reader, {uuid: kind.name}).get(uuid), reader.identify(uuid)),
    )
    if other is None:
        raise NotFound(f"Unknown id: {uuid}")
    if found is None:
        raise NotFound(f"No {kind.name} object found for id {uuid}")
    return json({"status": whole(found)})
