"""Lists of one type: `GET /<type>s` and `POST /list-bulk-collection`, read in one snapshot (contract section 3)."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api_server.resources import lists, selection
from api_server.resources.lists import Query
from api_server.resources.references import find_type
from api_server.resources.rendering import Item
from api_server.routes.long_answer import long_answer
from api_server.routes.middleware import Exchange
from api_server.routes.plans import JSON
from api_server.routes.service import Service, mapping, named, service
from api_server.store.reader import Reader

router = APIRouter()

AT_ONCE = 3
"""Parts of an answer that are read in one go: a slice, what is shared beside it, and the end."""


async def listed(server: Service, current: Exchange, query: Query) -> Response:
    """Read in one go if it is short. If not, it is read and sent a slice at a time while others are served."""

    def read(reader: Reader) -> bytes | None:
        with reader.snapshot():
            parts = body(reader, query, current.base_url)
            found = b"".join(islice(parts, AT_ONCE))
            return found if next(parts, None) is None else None

    found = await server.read(current, read)
    if found is not None:
        return Response(found, media_type=JSON)
    return await long_answer(server, current, lambda reader: body(reader, query, current.base_url))


def body(reader: Reader, query: Query, base: str) -> Iterator[bytes]:
    """In parts, some of which are empty."""
    plural = query.type.plural.encode()
    if query.count:
        total = 0
        for found in selection.count(reader, query):
            total += found
            yield b""
        yield b'{"%b":{"count":%d}}' % (plural, total)
        return
    item = Item(query.type, query.detail, query.fields, query.hrefs)
    slices, opening, marker = selection.select(reader, query, item), b'{"%b":[' % plural, None
    separator = opening
    while True:
        try:
            records = next(slices)
        except StopIteration as end:
            marker = end.value
            break
        if records:
            yield separator + b",".join(item.render(records, base))
            separator = b","
        else:
            yield b""
    ending = b"]}" if query.marker is None else b'],"marker":%b}' % orjson.dumps(marker)
    yield opening + ending if separator is opening else ending


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
