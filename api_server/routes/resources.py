"""The generic routes of all types: `/<type>s` and `/<type>/<uuid>`, found by looking the type up (contract 2, 3).

One route object stands for all of them: 252 routes in a list would be tried one after the other.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from api_server.errors import MethodNotAllowed, NotFound
from api_server.resources import lists, rendering
from api_server.resources.body import read_create, read_update
from api_server.routes.collections import listed
from api_server.routes.service import Service, document, named
from api_server.store.objects import Object
from schema.model import ResourceType

Handler = Callable[[Service, Request, ResourceType, str], Awaitable[Response]]

JSON = "application/json"


def subject(object: Object) -> dict[str, str]:
    """For the log line."""
    return {"type": object.type, "uuid": object.uuid, "fq_name": ":".join(object.fq_name)}


async def create(service: Service, request: Request, kind: ResourceType, _: str) -> Response:
    current = named(request, "create")
    current.change = {"action": "create", "type": kind.name}
    body = read_create(kind, await document(request))
    current.change["fq_name"] = ":".join(body.fq_name)
    created = await service.write(current, lambda tx: service.operations.create(tx, body, current.tenant))
    current.change |= subject(created)
    return Response(rendering.created(created, current.base_url), media_type=JSON)


async def read(service: Service, request: Request, kind: ResourceType, uuid: str) -> Response:
    current, query = named(request, "read"), request.query_params
    view = rendering.View.of(kind, query)
    found = await service.read(current, lambda reader: view.read(reader, uuid))
    if found is None:
        raise NotFound(f"Unknown id: {uuid}")
    if found.type != kind.name:
        raise NotFound(f"No {kind.name} object found for id {uuid}")
    etag = f'"{found.modified}"'
    if request.headers.get("if-none-match", "").strip('"') == found.modified:
        return Response(status_code=304, headers={"etag": etag})
    return Response(view.render(found, current.base_url), media_type=JSON, headers={"etag": etag})


async def update(service: Service, request: Request, kind: ResourceType, uuid: str) -> Response:
    current = named(request, "update")
    current.change = {"action": "update", "type": kind.name, "uuid": uuid}
    body = read_update(kind, await document(request))
    updated = await service.write(current, lambda tx: service.operations.update(tx, kind, uuid, body))
    if body.empty:
        current.change = None
        return Response(media_type=JSON)
    current.change |= subject(updated)
    return Response(rendering.updated(kind, uuid, current.base_url), media_type=JSON)


async def delete(service: Service, request: Request, kind: ResourceType, uuid: str) -> Response:
    current = named(request, "delete")
    current.change = {"action": "delete", "type": kind.name, "uuid": uuid}
    deleted = await service.write(current, lambda tx: service.operations.delete(tx, kind, uuid))
    current.change |= subject(deleted)
    return Response(media_type=JSON)


async def list_objects(service: Service, request: Request, kind: ResourceType, _: str) -> Response:
    current = named(request, "list")
    return await listed(service, current, lists.read(service.model, kind, request.query_params))


COLLECTION: dict[str, Handler] = {"GET": list_objects, "POST": create}
OBJECT: dict[str, Handler] = {"GET": read, "PUT": update, "DELETE": delete}


class ResourceRoute(BaseRoute):
    """Matches every URL of every type, and nothing else; a trailing or doubled slash is another URL."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.collections = {kind.plural: kind for kind in service.model.types.values()}
        self.objects = dict(service.model.types)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http":
            return Match.NONE, {}
        first, slash, uuid = scope["path"][1:].partition("/")
        if slash:
            kind = self.objects.get(first) if uuid and "/" not in uuid else None
            handlers = OBJECT
        else:
            kind, handlers = self.collections.get(first), COLLECTION
        if kind is None:
            return Match.NONE, {}
        return Match.FULL, {"resource": (handlers, kind, uuid)}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        handlers, kind, uuid = scope["resource"]
        handler = handlers.get(scope["method"])
        if handler is None:
            raise MethodNotAllowed((*handlers, "HEAD"))
        response = await handler(self.service, Request(scope, receive, send), kind, uuid)
        await response(scope, receive, send)
