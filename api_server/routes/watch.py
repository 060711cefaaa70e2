"""`GET /watch`: changes as server-sent events, with Contrail's frames (contract 4.21) and what its users lack: ids
and resume.

A watch begins with one `init` frame per type, all from one snapshot (`beginning`); only the last carries `id:`, the
snapshot's revision. Then come the events, as the feed has them: those of one revision follow each other, and the last
of them carries the id. With `Last-Event-ID` (or `?last_event_id=`, `?since=`) the watch goes on after that revision
instead, without `init`; 410 and the oldest id if the log no longer reaches back so far. A slow watcher is told to
`stop`, and resumes. With `?parent_id=` (or `parent_fq_name_str`) it is of what stands below some objects. With
`?status=1` statuses come in between (`status_frames`), with `?scope=` it is of a part (`scoped_watch`). Who accepts
`application/x-ndjson`, or says `?format=jsonl`, gets the same as JSON lines (`json_lines`).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api_server import descriptors
from api_server.errors import BadRequest, NotFound, Unavailable
from api_server.resources import lists, selection
from api_server.routes import json_lines
from api_server.routes.beginning import Wanted, below, concerning, init
from api_server.routes.frames import frames, stop
from api_server.routes.middleware import Exchange
from api_server.routes.plans import flag
from api_server.routes.scoped_watch import step, wanted_scopes
from api_server.routes.service import Service, named, service
from api_server.routes.status_frames import status_frames
from api_server.store.feed import Subscription
from api_server.store.reader import Reader
from api_server.store.snapshot import Snapshot
from schema.model import ObjectModel, ResourceType
from schema.quoting import quote

router = APIRouter()

MOST_PARENTS = 1000
END = b"\n\n"
"""Of a frame."""


def watched_types(model: ObjectModel, text: str | None) -> list[ResourceType]:
    """Both forms of a name are good: upstream, hyphens lead to a watch without events."""
    if not text:
        raise BadRequest("resource_type required in request")
    types = {}
    for name in text.split(","):
        found = model.find(name)
        if found is None:
            raise NotFound(f"Invalid Contrail resource type:'{quote(name)}'")
        types[found.name] = found
    return list(types.values())


def last_event_id(request: Request) -> int | None:
    """The revision to resume after, None to begin with the present."""
    query = request.query_params
    text = request.headers.get("last-event-id") or query.get("last_event_id") or query.get("since")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadRequest(f"Invalid Last-Event-ID {quote(text)}: it is the id of an event of this server")
    return int(text)


def wanted_of(types: Iterable[ResourceType], query: Mapping[str, str]) -> Wanted:
    fields = {
        kind.name: frozenset(text.split(","))
        for kind in types
        if (text := query.get(f"{kind.ident}_fields") or query.get(f"{kind.name}_fields"))
    }
    return Wanted(fields, names=not flag(query, "exclude_ref_names"))


async def wanted_parents(
    server: Service, current: Exchange, types: Iterable[ResourceType], query: Mapping[str, str]
) -> list[str] | None:
    """uuids, of the present if they are named; None: not asked for. Read as those of a list; NotFound if a name names
    nothing, for then nothing would ever come."""
    given = {name: query[name] for name in ("parent_id", "parent_fq_name_str", "parent_type") if name in query}
    if not given.keys() & {"parent_id", "parent_fq_name_str"}:
        return None
    if "scope" in query:
        raise BadRequest("A watch is of scopes or of what is below some parents, not of both")
    asked = [lists.read(server.model, kind, given) for kind in types]

    def find(reader: Reader) -> list[str]:
        found = [anchors["parents"] for one in asked if (anchors := selection.anchors(reader, one)) is not None]
        return sorted({uuid for some in found for uuid in some})

    parents = await server.read(current, find)
    if not parents:
        raise NotFound(f"No object is called {quote(given['parent_fq_name_str'])}")
    if len(parents) > MOST_PARENTS:
        raise BadRequest(f"parent_id names {len(parents)} objects; at most {MOST_PARENTS} are possible")
    return parents


def make_room(server: Service) -> None:
    """Unavailable if there is none for one more."""
    most, possible = server.settings.max_watchers, descriptors.for_watchers()
    if server.watching >= min(most, possible):
        why = "--max-watchers" if most <= possible else "the limit of open files (ulimit -n) leaves room for no more"
        raise Unavailable(f"There are {server.watching} watchers already, which is the limit: {why}")


def as_lines(request: Request) -> bool:
    """JSON lines instead of server-sent events."""
    match request.query_params.get("format"):
        case None:
            return json_lines.HEADERS["content-type"] in request.headers.get("accept", "")
        case "jsonl" | "sse" as form:
            return form == "jsonl"
        case other:
            raise BadRequest(f"format must be sse or jsonl: {quote(other)}")


async def begun(first: AsyncIterator[bytes], content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What is read of the present, and then what goes on. If the database goes away in the middle of a frame, so does
    the answer."""
    part = END
    try:
        async for part in first:
            yield part
    except Unavailable as error:
        if not part.endswith(END):
            raise
        yield stop(error.text)
        return
    async for frame in content:
        yield frame


async def stream(subscription: Subscription, wanted: Wanted) -> AsyncIterator[bytes]:
    """The frames of one watch, until it is told to stop."""
    try:
        async for chunk in subscription:
            yield frames(chunk, wanted)
        reason = subscription.reason
    except Unavailable as error:
        reason = error.text
    yield stop(reason)


async def both(watch: AsyncIterator[bytes], beside: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The frames of a watch, and of what goes on beside it, as they come; until the watch ends."""
    sources = {"watch": watch, "beside": beside}
    waiting = {asyncio.ensure_future(anext(source)): name for name, source in sources.items()}
    try:
        while True:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=waiting.__getitem__, reverse=True):  # the watch first: it has the objects
                name = waiting.pop(task)
                try:
                    yield task.result()
                except StopAsyncIteration:
                    if name == "watch":
                        return
                else:
                    waiting[asyncio.ensure_future(anext(sources[name]))] = name
    finally:
        for task in waiting:
            task.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await task


# The type exactly as Contrail has it; Starlette's `media_type` would add a charset, which event streams do not have.
HEADERS = {"content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no"}


class EventStream(StreamingResponse):
    """The answer to a watch. Counts as a watcher while it is open, and closes what it reads from however it ends."""

    def __init__(
        self,
        server: Service,
        subscription: Subscription,
        snapshot: Snapshot | None,
        content: AsyncIterator[bytes],
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(content, headers=headers)
        self.server = server
        self.subscription = subscription
        self.snapshot = snapshot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.server.watching += 1
        self.server.metrics.watchers.inc()
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.server.watching -= 1
            self.server.metrics.watchers.dec()
            self.subscription.close()
            if self.snapshot is not None:
                self.snapshot.close()


@router.get("/watch")
async def watch(request: Request) -> Response:
    current, server, query = named(request, "watch"), service(request), request.query_params
    types = watched_types(server.model, query.get("resource_type"))
    after, wanted = last_event_id(request), wanted_of(types, query)
    scopes, lines = wanted_scopes(query, resumed=after is not None), as_lines(request)
    headers = HEADERS | (json_lines.HEADERS if lines else {})
    if current.method == "HEAD":
        return Response(headers=headers)
    make_room(server)
    parents = await wanted_parents(server, current, types, query)
    names, feed = [kind.name for kind in types], server.store.feed
    snapshot = None
    if after is None:
        sight = concerning(scopes.now) if scopes is not None else below(parents) if parents is not None else None
        snapshot = await server.store.snapshot(lambda reader: init(reader, types, wanted, sight))
    elif scopes is not None and scopes.moving:
        await feed.require(after)
        snapshot = await server.store.snapshot(partial(step, types=types, wanted=wanted, scopes=scopes, after=after))
    if snapshot is not None:
        after = current.revision = snapshot.revision
    subscription = await feed.subscribe(names, after, parents=parents, scopes=None if scopes is None else scopes.now)
    content = stream(subscription, wanted)
    if flag(query, "status"):
        content = both(content, status_frames(server, frozenset(names)))
    if snapshot is not None:
        content = begun(snapshot.parts(), content)
    return EventStream(server, subscription, snapshot, json_lines.lines(content) if lines else content, headers)
