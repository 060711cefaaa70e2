"""Lists of one type: `GET /<type>s` and `POST /list-bulk-collection`, read in one snapshot (contract section 3)."""

from collections.abc import Iterator
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


async def listed(server: Service, current: Exchange, query: Query) -> Response:
    """Read in one go if it is short. If not, it is read and sent a slice at a time while others are served."""

    def read(reader: Reader) -> bytes | None:
        parts = []
        with reader.snapshot():
            for part in body(reader, query, current.base_url):
                if not part:
                    return None  # a pause
                parts.append(part)
        return b"".join(parts)

    found = await server.read(current, read)
    if found is not None:
        return Response(found, media_type=JSON)
    return await long_answer(server, current, lambda reader: body(reader, query, current.base_url))


def body(reader: Reader, query: Query, base: str) -> Iterator[bytes]:
    """In parts; an empty one is a pause."""
    plural = query.type.plural.encode()
    if query.count:
        total = 0
        for found in selection.count(reader, query):
            if found is None:
                yield b""
            else:
                total += found
        yield b'{"%b":{"count":%d}}' % (plural, total)
        return
    item = Item(query.type, query.detail, query.fields, query.hrefs)
    slices, separator = selection.select(reader, query, item), b""
    yield b'{"%b":[' % plural
    while True:
        try:
            records = next(slices)
        except StopIteration as end:
            marker = b"" if query.marker is None else b',"marker":%b' % orjson.dumps(end.value)
            break
        if records is None:
            yield b""
        elif records:
            yield separator + b",".join(item.render(records, base))
            separator = b","
    yield b"]%b}" % marker


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
