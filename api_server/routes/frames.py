"""Chunks of the feed as frames of one watch, which may want less of some types than the feed has."""

from itertools import zip_longest

import orjson

from api_server.routes.beginning import Fields
from api_server.store.events import Chunk

NAMING = ("uuid", "fq_name", "parent_type", "parent_uuid")


def only(document: bytes, kind: str, fields: frozenset[str]) -> bytes:
    """An event's document with the names and the wanted fields of its object."""
    found = orjson.loads(document)[kind]
    return orjson.dumps({kind: {name: value for name, value in found.items() if name in NAMING or name in fields}})


def frames(chunk: Chunk, fields: Fields) -> bytes:
    """A chunk as it goes out: encoded by the feed, unless this watcher wants less of some type."""
    if not any(event.type in fields for event in chunk.events):
        return chunk.data
    framed = []
    for event, following in zip_longest(chunk.events, chunk.events[1:]):
        data = event.data().encode()
        if event.type in fields and event.operation != "delete":
            data = only(data, event.type, fields[event.type])
        last = following is None or following.revision != event.revision
        number = b"id: %d\n" % event.revision if last else b""
        framed.append(b"event: %b\n%bdata: %b\n\n" % (event.operation.encode(), number, data))
    return b"".join(framed)


def stop(reason: str) -> bytes:
    """The last frame of a watch that the server ends."""
    return b"event: stop\ndata: %b\n\n" % " ".join(reason.split()).encode()
