"""The nodes: which revision each has applied, and what it could not program and why (docs/design/status.md).

GET    /status/nodes           all of them; `GET /status` without `node=` is the same
GET    /status/nodes/<name>    one
DELETE /status/nodes/<name>    forget it, until it reports again
GET    /status/wait            answers when a revision has arrived on all of them, or says where it has not

`/nodes` is the collection of Contrail's type `node`.
"""

import asyncio
from collections.abc import Collection, Iterable
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api_server.errors import BadRequest, NotFound, Unavailable
from api_server.routes.middleware import Exchange
from api_server.routes.plans import flag
from api_server.routes.service import Service, json, named, nothing, service
from api_server.routes.times import iso
from api_server.routes.waiting import duration, held
from api_server.store import Node, Reader
from api_server.store.nodes import now
from schema.quoting import quote

router = APIRouter()

STATES = ("reporting", "silent", "never reported")

PAUSE = 0.05
"""Seconds between two looks at the nodes for one who waits: reports that come together are looked at together."""


async def found(server: Service, current: Exchange, arrived: Collection[str] = ()) -> list[Node]:
    def read(reader: Reader) -> list[Node]:
        with reader.snapshot():
            return list(reader.nodes(arrived))

    return await server.read(current, read)


def state(node: Node) -> str:
    return "never reported" if not node.reported else "silent" if node.stale else "reporting"


def told(node: Node, newest: int) -> dict[str, Any]:
    """newest: the revision of the last write."""
    reported = node.reported > 0
    return {
        "node": node.name, "state": state(node), "virtual_router": node.router,
        "revision": node.revision if reported else None, "reached": iso(node.reached) if reported else None,
        "behind": node.behind(newest),
        "behind_since": node.due.at and f"{node.due.at}Z" if node.due else None,
        "reported": iso(node.reported) if reported else None,
        "age": max(now() - node.reported, 0) / 1000 if reported else None,
        "silent_since": iso(node.reported) if node.stale else None,
        "stale": bool(node.stale), "scopes": node.scopes, "agent": orjson.loads(node.agent) or None,
    }  # fmt: skip


@router.get("/status/nodes")
async def everyone(request: Request) -> Response:
    current, server = named(request, "status"), service(request)
    nodes = await found(server, current)
    return json({"nodes": [told(node, current.revision or 0) for node in nodes]})


@router.get("/status/nodes/{name}")
async def one(request: Request, name: str) -> Response:
    current, server = named(request, "status"), service(request)
    for node in await found(server, current):
        if node.name == name:
            return json({"node": told(node, current.revision or 0)})
    raise NotFound(f"No node {quote(name)}: none has reported, and there is no virtual-router of that name")


@router.delete("/status/nodes/{name}")
async def forget(request: Request, name: str) -> Response:
    current, server = named(request, "status"), service(request)
    if not await server.store.forget_node(name, current.request_id):
        raise NotFound(f"No node {quote(name)} has reported")
    return nothing()


# --- waiting


@router.get("/status/wait")
async def wait(request: Request) -> Response:
    """With `reached` true or false: 200 both ways, since both are an answer."""
    current, server, query = named(request, "wait"), service(request), request.query_params
    revision = natural(query.get("revision"), "revision")
    seconds = duration(query.get("timeout"), "timeout", 30.0)
    ignored = frozenset(name for text in query.getlist("except") for name in text.split(",") if name)
    silent_too = not flag(query, "ignore_silent")
    with held(server, current):
        return await waited(server, current, revision, seconds, ignored, silent_too=silent_too)


async def waited(
    server: Service, current: Exchange, revision: int | None, seconds: float, ignored: frozenset[str],
    *, silent_too: bool,
) -> Response:  # fmt: skip
    steps, loop = server.store.steps, asyncio.get_running_loop()
    end, arrived = loop.time() + seconds, set[str]()
    while True:
        heard, last = steps.newest, loop.time() >= end
        nodes = [node for node in await found(server, current, arrived) if node.name not in ignored]
        if revision is None:
            revision = current.revision or 0
        newest = current.revision or 0
        counted = [node for node in nodes if silent_too or (node.reported and not node.stale)]
        written = revision <= newest  # who lacks nothing may still not have what comes
        arrived.update(node.name for node in nodes if (node.has(revision) if written else node.revision >= revision))
        missing = [node for node in counted if node.name not in arrived]
        if not missing or last:
            return answer(revision, counted, missing, newest)
        try:
            async with asyncio.timeout_at(end):
                await steps.beyond(heard)
                await asyncio.sleep(PAUSE)
        except TimeoutError:
            continue
        if steps.closed:
            raise Unavailable(steps.closed)


def answer(revision: int, counted: list[Node], missing: Iterable[Node], newest: int) -> Response:
    """failing: those with something that they could not make, whether it is of that revision or not: a revision counts
    as applied when all of it has been tried."""
    late = [told(node, newest) for node in missing]
    all_told = [told(node, newest) for node in counted]
    failing = [one for one in all_told if one["agent"] and one["agent"]["units"]["error"]]
    return json({
        "revision": revision, "reached": not late, "nodes": len(counted), "missing": late, "failing": failing,
    })  # fmt: skip


def natural(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadRequest(f"Bad Request, {name} must be a number from 0: {quote(text)}")
    return int(text)
