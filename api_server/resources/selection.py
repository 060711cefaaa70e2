"""Which objects a list shows, in which order, page by page (contract 3.1, 3.2, 3.4). Read in one snapshot, a slice at a
time, with pauses between. (Only the uuids of what is below a parent, or refers to an object, are read at once: 3 us
each.)

A page is full or the last one. What is shared with the caller follows the rest of the list, whatever the filter says
of it, and in pages it is walked by uuid, with markers of its own.
"""

from collections.abc import Generator, Iterator, Sequence
from typing import TypedDict

import orjson

from api_server.resources import sharing
from api_server.resources.lists import SHARED, Query
from api_server.resources.rendering import Item, Needs
from api_server.store.reader import Reader
from api_server.store.records import Record

SLICE = 1000
"""Objects that are read in one go: some 5 ms in detail."""

Slice = list[Record] | None
"""Some records, perhaps none; or None: a pause, because more is to be read."""


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


def select(reader: Reader, query: Query, item: Item) -> Generator[Slice, None, str | None]:
    """The records; returns, of a page, where the next one starts, and None if there is none."""
    given = anchors(reader, query)
    if given is None:
        return None
    if query.marker is not None:
        return (yield from page(reader, query, query.marker, given, item))
    known: set[str] = set()
    for records in own(reader, query, given, item):
        if query.shared is not None:
            known.update(record.uuid for record in records or ())
        yield records
    if query.shared is not None:
        yield from named(reader, query, shared(reader, query, known), item)
    return None


def count(reader: Reader, query: Query) -> Iterator[int | None]:
    """How many there are on all pages: their sum; None: a pause."""
    if query.filter is not None or query.shared is not None:
        for records in select(reader, query.unpaged(), Item(query.type)):
            yield None if records is None else len(records)
    elif (given := anchors(reader, query)) is not None:
        yield reader.count(query.type.name, **given)


def own(reader: Reader, query: Query, given: Anchors, item: Item, after: str = "") -> Iterator[Slice]:
    """All that is not there only because it is shared. after: of a list without anchors, the place before the first."""
    properties = item.needs_properties() or query.filter is not None
    if not given:
        size = min(SLICE, query.limit) if query.marker is not None and query.filter is None else SLICE
        kind = query.type.name
        for records in walk(reader, kind, item.links(), properties=properties, after=after, size=size):
            yield kept(query, records)
        return
    records = reader.records(query.type.name, **given, limit=SLICE + 1, properties=properties, **item.links())
    if len(records) <= SLICE:
        yield kept(query, records)
        return
    yield None
    uuids = [record.uuid for record in reader.records(query.type.name, **given, properties=False)]
    for some in named(reader, query, uuids, item, properties=properties):
        yield kept(query, some)


def walk(
    reader: Reader, type: str, links: Needs, *, properties: bool = True, after: str = "", size: int | None = None
) -> Iterator[Slice]:
    """All objects of a type in the order of a list without anchors, from the place `after` on."""
    size = size or SLICE
    while True:
        records = reader.records(type, after=after, limit=size, properties=properties, **links)
        yield records
        if len(records) < size:
            return
        yield None
        after = place(records[-1])


def named(
    reader: Reader, query: Query, uuids: Sequence[str], item: Item, *, properties: bool = False
) -> Iterator[Slice]:
    """Those with these uuids, in that order. properties: even if nothing of them is shown."""
    properties = properties or item.needs_properties()
    for start in range(0, len(uuids), SLICE):
        if start:
            yield None
        some = uuids[start : start + SLICE]
        yield reader.records(query.type.name, uuids=some, properties=properties, **item.links())


def uuids_of(slices: Iterator[Slice]) -> Generator[None, None, list[str]]:
    """With their pauses."""
    found: list[str] = []
    for records in slices:
        if records is None:
            yield None
        else:
            found += [record.uuid for record in records]
    return found


def kept(query: Query, records: Slice) -> Slice:
    if records is None or query.filter is None:
        return records
    return [record for record in records if query.filter.matches(orjson.loads(record.properties))]


def shared(reader: Reader, query: Query, known: set[str]) -> list[str]:
    """uuids of what is shared with the caller beside the known objects."""
    keys = sharing.keys(query.type.name, query.shared or ())
    return [uuid for uuid in reader.by_keys(keys) if uuid not in known]


def page(reader: Reader, query: Query, marker: str, given: Anchors, item: Item) -> Generator[Slice, None, str | None]:
    left = query.limit
    if not marker.startswith(SHARED):
        following = anchored(reader, query, marker, given, item) if given else own(reader, query, given, item, marker)
        for records in following:
            if records is None:
                yield None
                continue
            yield records[:left]
            if left <= len(records):
                last = records[left - 1]
                return last.uuid if given else place(last)
            left -= len(records)
        marker = SHARED
    if query.shared is None:
        return None
    known = set((yield from uuids_of(own(reader, query.unpaged(), given, Item(query.type)))))
    after = marker.removeprefix(SHARED)
    rest = sorted(uuid for uuid in shared(reader, query, known) if uuid > after)
    yield from named(reader, query, rest[:left], item)
    return f"{SHARED}{rest[left - 1]}" if len(rest) >= left else None


def place(record: Record) -> str:
    """In a list without anchors."""
    return f"{record.fq_name}:{record.uuid}"


def anchored(reader: Reader, query: Query, marker: str, given: Anchors, item: Item) -> Iterator[Slice]:
    """What follows a marker: by uuid, so that the next page is found whatever was deleted; a list of uuids alone in its
    own order."""
    uuids = yield from uuids_of(own(reader, query, given, Item(query.type)))
    if given.keys() == {"uuids"}:
        asked = given["uuids"]
        passed = set(asked[: asked.index(marker) + 1] if marker in asked else asked if marker else ())
        uuids = [uuid for uuid in uuids if uuid not in passed]
    else:
        uuids = sorted(uuid for uuid in uuids if uuid > marker)
    yield from named(reader, query, uuids[: query.limit], item)
