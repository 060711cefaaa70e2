"""Lists of one type: `GET /<type>s` and `POST /list-bulk-collection`, read in one snapshot (contract section 3)."""

from typing import Any, TypedDict

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api_server.resources import lists
from api_server.resources.lists import Query
from api_server.resources.references import find_type
from api_server.resources.rendering import Item
from api_server.routes.middleware import Exchange
from api_server.routes.service import Service, json, mapping, named, service
from api_server.store.reader import Reader, Record

router = APIRouter()


class Anchors(TypedDict, total=False):
    """As arguments of `Reader.records`."""

    parents: list[str]
    back_refs: list[str]
    uuids: list[str]
    fq_names: list[str]


def anchors(reader: Reader, query: Query) -> Anchors | None:
    """The anchors as uuids and joined names; None if one of them names nothing, so that the list is empty."""
    parents = query.parents
    if query.parent_name is not None:
        name, types = query.parent_name
        found = [uuid for kind in types if (uuid := reader.find(kind, name))]
        parents = found if parents is None else [uuid for uuid in parents if uuid in found]
    given = Anchors()
    if parents is not None:
        given["parents"] = parents
    if query.back_refs is not None:
        given["back_refs"] = query.back_refs
    if query.uuids is not None:
        given["uuids"] = query.uuids
    if query.names is not None:
        given["fq_names"] = query.names
    return given if all(given.values()) else None


def find(reader: Reader, query: Query, item: Item) -> tuple[list[Record], str | None]:
    """The records and, of a page, the marker of the next one."""
    given = anchors(reader, query)
    if given is None:
        return [], None
    properties = item.needs_properties() or query.filter is not None
    if query.marker is None:
        return kept(reader.records(query.type.name, **given, properties=properties, **item.links()), query), None
    if given:  # in pages an anchored list is ordered by uuid, so that the next page is found whatever was deleted
        records = reader.records(query.type.name, **given, properties=properties, **item.links())
        later = (record for record in records if record.uuid > query.marker)
        page = sorted(later, key=lambda record: record.uuid)[: query.limit + 1]
    else:
        page = reader.records(
            query.type.name, properties=properties, after=query.marker, limit=query.limit + 1, **item.links()
        )
    marker = None
    if len(page) > query.limit:
        page.pop()
        marker = page[-1].uuid if given else f"{page[-1].fq_name}:{page[-1].uuid}"
    return kept(page, query), marker


def kept(records: list[Record], query: Query) -> list[Record]:
    if query.filter is None:
        return records
    return [record for record in records if query.filter.matches(orjson.loads(record.properties))]


def count(reader: Reader, query: Query) -> int:
    if query.filter is not None:
        found, _ = find(reader, query.unpaged(), Item(query.type))
        return len(found)
    given = anchors(reader, query)
    return 0 if given is None else reader.count(query.type.name, **given)


async def listed(server: Service, current: Exchange, query: Query) -> Response:
    if query.count:

        def counted(reader: Reader) -> int:
            with reader.snapshot():
                return count(reader, query)

        return json({query.type.plural: {"count": await server.read(current, counted)}})

    item = Item(query.type, query.detail, query.fields, query.hrefs)

    def call(reader: Reader) -> tuple[list[Record], str | None]:
        with reader.snapshot():
            return find(reader, query, item)

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
    return await listed(server, current, lists.read(server.model, kind, body))
