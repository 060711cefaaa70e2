"""The generic routes of all types: `/<type>s` and `/<type>/<uuid>`, found by looking the type up (contract 2, 3).

One look-up stands for all of them: 252 routes in a list would be tried one after the other.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

import schema
from api_server.errors import MethodNotAllowed, NotFound
from api_server.resources import lists, rendering
from api_server.resources.body import read_create, read_update
from api_server.routes.collections import listed
from api_server.routes.middleware import Exchange, exchange
from api_server.routes.plans import ANY, JSON, Plan, Planner, perform, versions
from api_server.routes.service import Service, named, service
from api_server.store import names
from api_server.store.objects import Object
from schema.model import ResourceType


def subject(object: Object) -> dict[str, str]:
    """For the log line."""
    return {"type": object.type, "uuid": object.uuid, "fq_name": names.join(object.fq_name)}


def plan_create(server: Service, current: Exchange, document: Any, kind: ResourceType) -> Plan[Object]:
    change = current.change = {"action": "create", "type": kind.name}
    body = read_create(kind, document)
    change["fq_name"] = fq_name = names.join(body.fq_name)

    def answer(created: Object) -> bytes:
        change.update(subject(created))
        return rendering.created(created, current.base_url)

    seeks = [(kind.name, fq_name)]
    return Plan(lambda tx: server.operations.create(tx, body, current.caller), answer, seeks=seeks)


def plan_update(server: Service, current: Exchange, document: Any, kind: ResourceType, uuid: str) -> Plan[Object]:
    change = current.change = {"action": "update", "type": kind.name, "uuid": uuid}
    body = read_update(kind, document)

    def answer(updated: Object) -> bytes:
        if body.empty:
            current.change = None
            return b""
        change.update(subject(updated))
        return rendering.updated(kind, uuid, current.base_url)

    return Plan(lambda tx: server.operations.update(tx, kind, uuid, body), answer, uuid)


def plan_delete(server: Service, current: Exchange, _: Any, kind: ResourceType, uuid: str) -> Plan[Object]:
    change = current.change = {"action": "delete", "type": kind.name, "uuid": uuid}

    def answer(deleted: Object) -> bytes:
        change.update(subject(deleted))
        return b""

    return Plan(lambda tx: server.operations.delete(tx, kind, uuid), answer, uuid)


async def read(request: Request, kind: ResourceType, uuid: str) -> Response:
    current, server, query = named(request, "read"), service(request), request.query_params
    view = rendering.View.of(kind, query)
    found, current.revision = await server.store.record(view.point(uuid))
    if found is None:
        raise NotFound(f"Unknown id: {uuid}")
    if found.type != kind.name:
        raise NotFound(f"No {kind.name} object found for id {uuid}")
    etag = f'"{found.modified}"'
    known = current.headers.get(b"if-none-match")
    if known is not None and versions(known.decode("latin-1")) & {found.modified, ANY}:
        return Response(status_code=304, headers={"etag": etag})
    return Response(view.render(found, current.base_url), media_type=JSON, headers={"etag": etag})


async def list_objects(request: Request, kind: ResourceType) -> Response:
    current, server = named(request, "list"), service(request)
    query = lists.read(server.model, kind, request.query_params, current.caller)
    return await listed(server, current, query)


WRITES: dict[tuple[str, bool], tuple[str, Planner[...]]] = {
    ("POST", False): ("create", plan_create),
    ("PUT", True): ("update", plan_update),
    ("DELETE", True): ("delete", plan_delete),
}
"""(method, whether the URL names one object) -> class of route and planner."""

METHODS = {False: ("GET", "POST"), True: ("GET", "PUT", "DELETE")}


@dataclass(frozen=True, slots=True)
class Place:
    """What a URL of the generic routes names: the objects of a type, or one of them."""

    kind: ResourceType
    uuid: str | None

    @property
    def parameters(self) -> dict[str, Any]:
        """Of a planner."""
        return {"kind": self.kind} if self.uuid is None else {"kind": self.kind, "uuid": self.uuid}

    def write(self, method: str) -> tuple[str, Planner[...]] | None:
        return WRITES.get((method, self.uuid is not None))


@cache
def _kinds() -> tuple[dict[str, ResourceType], dict[str, ResourceType]]:
    """By the first element of a path: of collections, of objects."""
    types = schema.load().types
    return {kind.plural: kind for kind in types.values()}, dict(types)


def find_place(path: str) -> Place | None:
    """A look-up, whatever the number of types. A trailing or doubled slash is another URL."""
    first, slash, uuid = path[1:].partition("/")
    kind = _kinds()[bool(slash)].get(first)
    if kind is None or (slash and (not uuid or "/" in uuid)):
        return None
    return Place(kind, uuid if slash else None)


class ResourceMiddleware:
    """Answers every URL of every type; all others are for the router, which would cost a create a tenth of its time."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        place = find_place(scope["path"]) if scope["type"] == "http" else None
        if place is None:
            await self.app(scope, receive, send)
            return
        method, request = scope["method"], Request(scope, receive, send)
        if method == "GET":
            handled = read(request, place.kind, place.uuid) if place.uuid else list_objects(request, place.kind)
        elif found := place.write(method):
            exchange(request).route, planner = found
            handled = perform(request, planner, place.parameters, bodied=method != "DELETE")
        else:
            raise MethodNotAllowed((*METHODS[place.uuid is not None], "HEAD"))
        response = await handled
        await response(scope, receive, send)
