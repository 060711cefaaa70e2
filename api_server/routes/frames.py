"""Chunks of the feed as frames of one watch, which may want less of some types than the feed has."""

from itertools import zip_longest
from typing import Any

import orjson

from api_server.routes.beginning import Wanted
from api_server.store.events import Chunk, Event, bookmark

NAMING = ("uuid", "fq_name", "parent_type", "parent_uuid")


def only(document: bytes, kind: str, wanted: Wanted) -> bytes:
    """An event's document with the names and what is wanted of its object."""
    found: dict[str, Any] = orjson.loads(document)[kind]
    fields = wanted.fields.get(kind)
    if fields is not None:
        found = {name: value for name, value in found.items() if name in NAMING or name in fields}
    if not wanted.names:
        for references in (value for name, value in found.items() if name.endswith("_refs")):
            for reference in references:
                reference.pop("to", None)
    return orjson.dumps({kind: found})


def shows(event: Event, wanted: Wanted) -> bool:
    """Whether a watcher of some fields sees a difference: an update of others is none for it."""
    fields = wanted.fields.get(event.type)
    if fields is None or event.operation != "update" or event.fields is None or "id_perms" in fields:
        return True  # `id_perms` has the time of the last change, whatever it was
    return not fields.isdisjoint(event.fields.split(","))


def frames(chunk: Chunk, wanted: Wanted) -> bytes:
    """A chunk as it goes out: encoded by the feed, unless this watcher wants less of some type."""
    if all(wanted.whole(event.type) for event in chunk.events):
        return chunk.data
    framed = []
    shown = [event for event in chunk.events if shows(event, wanted)]
    for event, following in zip_longest(shown, shown[1:]):
        data = event.data().encode()
        if not wanted.whole(event.type) and event.operation != "delete":
            data = only(data, event.type, wanted)
        last = following is None or following.revision != event.revision
        number = b"id: %d\n" % event.revision if last else b""
        framed.append(b"event: %b\n%bdata: %b\n\n" % (event.operation.encode(), number, data))
    if not shown or shown[-1].revision < chunk.revision:
        framed.append(bookmark(chunk.revision).data)
    return b"".join(framed)


def stop(reason: str) -> bytes:
    """The last frame of a watch that the server ends."""
    return b"event: stop\ndata: %b\n\n" % " ".join(reason.split()).encode()
