"""Which objects a list shows, in which order, page by page (contract 3.1, 3.2, 3.4). Read in one snapshot.

A page is full or the last one. What is shared with the caller follows the rest of the list, whatever the filter says
of it, and in pages it is walked by uuid, with markers of its own.
"""

from typing import TypedDict

import orjson

from api_server.resources import sharing
from api_server.resources.lists import PAGE_LIMIT, SHARED, Query
from api_server.resources.rendering import Item
from api_server.store.reader import Reader, Record


class Anchors(TypedDict, total=False):
    """As arguments of `Reader.records`."""

    parents: list[str]
    back_refs: list[str]
    uuids: list[str]


def anchors(reader: Reader, query: Query) -> Anchors | None:
    """The anchors as uuids; None if the names given as one name nothing, so that the list is empty."""
    given = Anchors()
    if query.parent_name is not None:
        name, types = query.parent_name
        given["parents"] = [uuid for kind in types if (uuid := reader.find(kind, name))]
        if not given["parents"]:
            return None
    elif query.parents is not None:
        given["parents"] = query.parents
    if query.back_refs is not None:
        given["back_refs"] = query.back_refs
    uuids = query.uuids
    if query.names is not None:
        uuids = [*(uuids or ()), *reader.by_name(query.type.name, query.names)]
        if not uuids:
            return None
    if uuids is not None:
        given["uuids"] = uuids
    return given


def select(reader: Reader, query: Query, item: Item) -> tuple[list[Record], str | None]:
    """The records and, of a page, where the next one starts; None if there is none."""
    given = anchors(reader, query)
    if given is None:
        return [], None
    if query.marker is not None:
        return page(reader, query, query.marker, given, item)
    found = own(reader, query, given, item)
    if query.shared is not None:
        found += shared(reader, query, {record.uuid for record in found}, item)
    return found, None


def count(reader: Reader, query: Query) -> int:
    """How many there are on all pages."""
    if query.filter is not None or query.shared is not None:
        return len(select(reader, query.unpaged(), Item(query.type))[0])
    given = anchors(reader, query)
    return 0 if given is None else reader.count(query.type.name, **given)


def own(reader: Reader, query: Query, given: Anchors, item: Item) -> list[Record]:
    """All that is not there only because it is shared."""
    properties = item.needs_properties() or query.filter is not None
    return kept(query, reader.records(query.type.name, **given, properties=properties, **item.links()))


def kept(query: Query, records: list[Record]) -> list[Record]:
    if query.filter is None:
        return records
    return [record for record in records if query.filter.matches(orjson.loads(record.properties))]


def shared(reader: Reader, query: Query, known: set[str], item: Item) -> list[Record]:
    """What is shared with the caller beside the known objects."""
    keys = sharing.keys(query.type.name, query.shared or ())
    uuids = [uuid for uuid in reader.by_keys(keys) if uuid not in known]
    return reader.records(query.type.name, uuids=uuids, properties=item.needs_properties(), **item.links())


def page(reader: Reader, query: Query, marker: str, given: Anchors, item: Item) -> tuple[list[Record], str | None]:
    found: list[Record] = []
    if not marker.startswith(SHARED):
        found = anchored_page(reader, query, marker, given, item) if given else open_page(reader, query, marker, item)
        if len(found) == query.limit:
            last = found[-1]
            return found, last.uuid if given else place(last)
        marker = SHARED
    if query.shared is None:
        return found, None
    known = {record.uuid for record in own(reader, query, given, Item(query.type))}
    after = marker.removeprefix(SHARED)
    rest = sorted(shared(reader, query, known, item), key=lambda record: record.uuid)
    found += [record for record in rest if record.uuid > after][: query.limit - len(found)]
    return found, f"{SHARED}{found[-1].uuid}" if len(found) == query.limit else None


def open_page(reader: Reader, query: Query, marker: str, item: Item) -> list[Record]:
    """Of a list without anchors: in its own order."""
    properties = item.needs_properties() or query.filter is not None
    size = query.limit if query.filter is None else max(query.limit, PAGE_LIMIT)
    found: list[Record] = []
    while len(found) < query.limit:
        records = reader.records(query.type.name, properties=properties, after=marker, limit=size, **item.links())
        found += kept(query, records)
        if len(records) < size:
            break
        marker = place(records[-1])
    return found[: query.limit]


def place(record: Record) -> str:
    """In a list without anchors."""
    return f"{record.fq_name}:{record.uuid}"


def anchored_page(reader: Reader, query: Query, marker: str, given: Anchors, item: Item) -> list[Record]:
    """By uuid, so that the next page is found whatever was deleted; a list of uuids alone in its own order."""
    uuids = [record.uuid for record in own(reader, query, given, Item(query.type))]
    if given.keys() == {"uuids"}:
        asked = given["uuids"]
        passed = set(asked[: asked.index(marker) + 1] if marker in asked else asked if marker else ())
        uuids = [uuid for uuid in uuids if uuid not in passed]
    else:
        uuids = sorted(uuid for uuid in uuids if uuid > marker)
    return reader.records(
        query.type.name, uuids=uuids[: query.limit], properties=item.needs_properties(), **item.links()
    )
