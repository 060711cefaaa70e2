"""`GET /changes`: who changed what, when, and what it was before.

    since=N        after a revision, or after a page (its `next`); 410 and the oldest id if the log begins later.
                   Default: from where the log begins
    until=N        up to a revision
    last=N         the newest N of them instead of the first
    type=, uuid=, fq_name_str=, user=, request_id=    only what has this; a type in either spelling
    limit=N        of a page, 100 if it is not said; a page that grows large ends earlier
    detail=true    with the objects as they were after the change (before it, for a delete)
    wait=SECONDS   if there is nothing yet: until there is, at most so long

A page has `changes` in order, `next` (null if there are no more), `revision` (the newest there was when it was read)
and `compacted` (the log has what is after it).
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api_server.errors import BadRequest, NotFound
from api_server.routes.middleware import Exchange
from api_server.routes.nodes import natural
from api_server.routes.plans import flag
from api_server.routes.service import Service, json, named, service
from api_server.routes.waiting import duration, held
from api_server.store import Position, split
from api_server.store.changes import Bounds, require
from api_server.store.history import Past, Wanted
from schema.model import ObjectModel
from schema.quoting import quote

router = APIRouter()

DEFAULT, MOST = 100, 1000
"""Changes of one page."""
FULL = 4_000_000
"""Characters of objects after which a page ends: they are in memory at once."""


@dataclass(frozen=True, slots=True)
class Asked:
    """since: None for all there is. backward: the last ones, not the first. limit: how many."""

    wanted: Wanted
    since: Position | None
    until: int | None
    limit: int
    backward: bool


@dataclass(frozen=True, slots=True)
class Page:
    changes: list[Past]
    next: Position | None
    bounds: Bounds


def asked(model: ObjectModel, query: Mapping[str, str]) -> Asked:
    """BadRequest or NotFound names the parameter that makes no sense."""
    wanted = {name: query[name] for name in ("uuid", "user", "request_id") if name in query}
    if name := query.get("type"):
        kind = model.find(name)
        if kind is None:
            raise NotFound(f"Invalid Contrail resource type:'{quote(name)}'")
        wanted["type"] = kind.name
    if name := query.get("fq_name_str"):
        wanted["fq_name"] = name
    last, limit = natural(query.get("last"), "last"), natural(query.get("limit"), "limit")
    if last is not None and ("since" in query or limit is not None):
        raise BadRequest("Bad Request, last goes with neither since nor limit: it is the newest of all")
    count = next(number for number in (last, limit, DEFAULT) if number is not None)
    if not 0 < count <= MOST:
        raise BadRequest(f"Bad Request, {'limit' if last is None else 'last'} must be from 1 to {MOST}: {count}")
    since, until = _position(query.get("since")), natural(query.get("until"), "until")
    return Asked(wanted, since, until, count, last is not None)


def _position(text: str | None) -> Position | None:
    """A revision, or a revision and the number of a change in it."""
    if text is None:
        return None
    revision, dot, sequence = text.partition(".")
    number = natural(revision, "since")
    assert number is not None
    return Position(number, natural(sequence, "since") or 0) if dot else Position.after(number)


async def read(server: Service, asked: Asked) -> Page:
    """Gone if the log does not reach back to where it shall begin."""
    bounds = await server.store.bounds()
    upto = bounds.newest if asked.until is None else min(asked.until, bounds.newest)
    return await (_last(server, asked, bounds, upto) if asked.backward else _first(server, asked, bounds, upto))


async def _first(server: Service, asked: Asked, bounds: Bounds, upto: int) -> Page:
    place = Position.after(bounds.compacted) if asked.since is None else asked.since
    found, size = list[Past](), 0
    if asked.since is not None:
        require(bounds, place.revision - 1)
    while place.revision <= upto:
        step = await server.store.history(asked.wanted, place, upto)
        if asked.since is not None:
            require(step.bounds, place.revision - 1)
        for change in step.found:
            found.append(change)
            size += len(change.object) + len(change.before or "")
            if len(found) == asked.limit or size > FULL:
                return Page(found, change.position, bounds)
        place = step.reached
    return Page(found, None, bounds)


async def _last(server: Service, asked: Asked, bounds: Bounds, upto: int) -> Page:
    place, found, size = Position.after(upto), list[Past](), 0
    while place.revision > bounds.compacted + 1 and len(found) < asked.limit and size <= FULL:
        step = await server.store.history(asked.wanted, place, bounds.compacted, backward=True)
        found += step.found[: asked.limit - len(found)]
        size += sum(len(change.object) + len(change.before or "") for change in step.found)
        place = step.reached
    return Page(found[::-1], None, bounds)


def told(change: Past, *, detail: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "revision": change.revision, "time": f"{change.at}Z", "user": change.user, "request_id": change.request_id,
        "operation": change.operation, "type": change.type, "uuid": change.uuid,
        "fq_name": split(change.type, change.fq_name),
    }  # fmt: skip
    if change.operation == "update":
        after = orjson.loads(change.object)
        before = None if change.before is None else orjson.loads(change.before)
        body["fields"] = {
            name: ({} if before is None else {"old": before.get(name)}) | {"new": after.get(name)}
            for name in (change.fields or "").split(",")
            if name
        }
    if detail:
        body["object"] = orjson.Fragment(change.object)
    return body


@router.get("/changes")
async def changes(request: Request) -> Response:
    current, server, query = named(request, "changes"), service(request), request.query_params
    wants, detail = asked(server.model, query), flag(query, "detail")
    page = await read(server, wants)
    if seconds := duration(query.get("wait"), "wait", 0.0):
        page = await waited(server, current, wants, page, seconds)
    current.revision = page.bounds.newest
    return json({
        "changes": [told(change, detail=detail) for change in page.changes],
        "next": page.next and f"{page.next.revision}.{page.next.sequence}",
        "revision": page.bounds.newest, "compacted": page.bounds.compacted,
    })  # fmt: skip


async def waited(server: Service, current: Exchange, asked: Asked, page: Page, seconds: float) -> Page:
    """The first page that has anything, or the last one of the time given."""
    feed = server.store.feed
    with held(server, current), suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not page.changes and not feed.closed:
                await feed.beyond(page.bounds.newest)
                page = await read(server, replace(asked, since=Position.after(page.bounds.newest)))
    return page
