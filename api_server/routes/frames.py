"""Chunks of the feed as frames of one watch, which may want less of some types than the feed has."""

from itertools import zip_longest

import orjson

from api_server.routes.beginning import Fields
from api_server.store.events import Chunk, Event, bookmark

NAMING = ("uuid", "fq_name", "parent_type", "parent_uuid")


def only(document: bytes, kind: str, fields: frozenset[str]) -> bytes:
    """An event's document with the names and the wanted fields of its object."""
    found = orjson.loads(document)[kind]
    return orjson.dumps({kind: {name: value for name, value in found.items() if name in NAMING or name in fields}})


def shows(event: Event, fields: Fields) -> bool:
    """Whether a watcher of these fields sees a difference: an update of others is none for it."""
    wanted = fields.get(event.type)
    if wanted is None or event.operation != "update" or event.fields is None or "id_perms" in wanted:
        return True  # `id_perms` has the time of the last change, whatever it was
    return not wanted.isdisjoint(event.fields.split(","))


def frames(chunk: Chunk, fields: Fields) -> bytes:
    """A chunk as it goes out: encoded by the feed, unless this watcher wants less of some type."""
    if not any(event.type in fields for event in chunk.events):
        return chunk.data
    framed = []
    shown = [event for event in chunk.events if shows(event, fields)]
    for event, following in zip_longest(shown, shown[1:]):
        data = event.data().encode()
        if event.type in fields and event.operation != "delete":
            data = only(data, event.type, fields[event.type])
        last = following is None or following.revision != event.revision
        number = b"id: %d\n" % event.revision if last else b""
        framed.append(b"event: %b\n%bdata: %b\n\n" % (event.operation.encode(), number, data))
    if not shown or shown[-1].revision < chunk.revision:
        framed.append(bookmark(chunk.revision).data)
    return b"".join(framed)


def stop(reason: str) -> bytes:
    """The last frame of a watch that the server ends."""
    return b"event: stop\ndata: %b\n\n" % " ".join(reason.split()).encode()
