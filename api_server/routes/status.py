"""Statuses: what nodes report of objects, beside the objects (docs/design/status.md).

POST /status                 a node's report: what has changed of what it says; no revision, no event of the log
GET  /status                 the nodes that report
GET  /status?node=NAME       all that one of them says
GET  /status/<type>/<uuid>   of an object: joined, with what each node says; with the tree below it
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api_server.errors import BadRequest, NotFound
from api_server.loadbalancer import status_tree
from api_server.loadbalancer.status import Operating, Provisioning, Said, Status
from api_server.routes.service import json, mapping, named, service
from api_server.store import NewStatus, Report
from schema.quoting import quote

router = APIRouter()

MOST = 1000
"""Rows of one report: a few milliseconds of the writer's time."""
LONGEST_REASON = 1000
LONGEST_NODE = 255

WORDS, PROGRAMMED = frozenset(get_args(Operating)), frozenset(get_args(Provisioning))

LISTS = {"loadbalancer-listener": "listeners", "loadbalancer-pool": "pools", "loadbalancer-member": "members"}
MONITOR = "loadbalancer-healthmonitor"


# --- a report


def read_report(body: Mapping[str, Any]) -> Report:
    """BadRequest names the field that is wrong."""
    known(body, {"node", "revision", "rows"}, "")
    node = body.get("node")
    if not isinstance(node, str) or not 0 < len(node) <= LONGEST_NODE or not node.isprintable():
        raise BadRequest(f"Bad Request, node must be a name of 1 to {LONGEST_NODE} characters")
    revision, rows = number(body, "revision", "", None), body.get("rows", [])
    if not isinstance(rows, list) or len(rows) > MOST:
        raise BadRequest(f"Bad Request, rows must be a list of at most {MOST}")
    said = [read_row(row, f"rows[{index}]", revision) for index, row in enumerate(rows)]
    if len({row.uuid for row in said}) < len(said):
        raise BadRequest("Bad Request, rows must name each uuid once")
    return Report(node, revision, said)


def read_row(row: Any, where: str, revision: int) -> NewStatus:
    if not isinstance(row, dict):
        raise BadRequest(f"Bad Request, {where} must be an object")
    known(row, {"uuid", "state", "provisioning", "reason", "since", "revision"}, f"{where}.")
    uuid, state = row.get("uuid"), row.get("state")
    if not isinstance(uuid, str) or not 0 < len(uuid) <= 36:
        raise BadRequest(f"Bad Request, {where}.uuid must be a uuid")
    if "state" not in row or (state is not None and not is_word(state, WORDS)):
        raise BadRequest(f"Bad Request, {where}.state must be null or one of {', '.join(sorted(WORDS))}")
    provisioning = row.get("provisioning", "ACTIVE")
    if not is_word(provisioning, PROGRAMMED):
        raise BadRequest(f"Bad Request, {where}.provisioning must be one of {', '.join(sorted(PROGRAMMED))}")
    reason = row.get("reason", "")
    if not isinstance(reason, str) or len(reason) > LONGEST_REASON:
        raise BadRequest(f"Bad Request, {where}.reason must be a text of at most {LONGEST_REASON} characters")
    since = 0 if state is None and "since" not in row else moment(row.get("since"), f"{where}.since")
    return NewStatus(uuid, state, provisioning, reason, since, number(row, "revision", f"{where}.", revision))


def is_word(value: Any, words: frozenset[str]) -> bool:
    return isinstance(value, str) and value in words


def known(found: Mapping[str, Any], fields: set[str], where: str) -> None:
    if unknown := sorted(found.keys() - fields):
        raise BadRequest(f"Bad Request, {where}{quote(unknown[0])} is no field of a report")


def number(found: Mapping[str, Any], name: str, where: str, default: int | None) -> int:
    value = found.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise BadRequest(f"Bad Request, {where}{name} must be a number from 0")
    return value


def moment(value: Any, where: str) -> int:
    """Milliseconds since 1970."""
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        at = None
    if at is None or at.tzinfo is None or at.year < 1970:
        raise BadRequest(f"Bad Request, {where} must be a time of ISO 8601 with its zone, as 2026-01-31T12:00:00.000Z")
    return round(at.timestamp() * 1000)


# --- what is told


def iso(at: int | None) -> str | None:
    """at: milliseconds since 1970."""
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
    current, server = named(request, "status"), service(request)
    name = request.query_params.get("node")
    if name is not None:
        rows = await server.read(current, lambda reader: reader.status_rows_of(name))
        return json({"node": name, "rows": [
            {"type": row.type, "uuid": row.uuid, "state": row.state, "provisioning": row.provisioning,
             "reason": row.reason, "since": iso(row.since), "revision": row.revision}
            for row in rows
        ]})  # fmt: skip
    nodes = await server.read(current, lambda reader: reader.nodes())
    return json({"nodes": [
        {"node": node.name, "revision": node.revision, "reported": iso(node.reported), "stale": bool(node.stale),
         "rows": node.rows}
        for node in nodes
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
