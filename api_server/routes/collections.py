"""Lists of one type: `GET /<type>s` and `POST /list-bulk-collection`, read in one snapshot (contract section 3)."""

from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api_server.resources import lists, selection
from api_server.resources.lists import Query
from api_server.resources.references import find_type
from api_server.resources.rendering import Item
from api_server.routes.middleware import Exchange
from api_server.routes.service import Service, json, mapping, named, service
from api_server.store.reader import Reader, Record

router = APIRouter()


async def listed(server: Service, current: Exchange, query: Query) -> Response:
    if query.count:

        def counted(reader: Reader) -> int:
            with reader.snapshot():
                return selection.count(reader, query)

        return json({query.type.plural: {"count": await server.read(current, counted)}})

    item = Item(query.type, query.detail, query.fields, query.hrefs)

    def call(reader: Reader) -> tuple[list[Record], str | None]:
        with reader.snapshot():
            return selection.select(reader, query, item)

    records, marker = await server.read(current, call)
    body = b'{"%b":[%b]' % (query.type.plural.encode(), b",".join(item.render(records, current.base_url)))
    if query.marker is not None:
        body += b',"marker":%b' % orjson.dumps(marker)
    return Response(body + b"}", media_type="application/json")


@router.post("/list-bulk-collection")
async def list_bulk_collection(request: Request) -> Response:
    """A list whose ids would be too many for a URL; `fq_names` is not known here, as upstream."""
    current, server = named(request, "list"), service(request)
    body: dict[str, Any] = await mapping(request)
    kind = find_type(server.model, body.get("type"))
    body.pop("fq_names", None)
    if not body.get("fields"):
        body.pop("fields", None)
    return await listed(server, current, lists.read(server.model, kind, body, current.caller))
