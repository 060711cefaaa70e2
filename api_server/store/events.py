"""Events: what a write did to one object, encoded once, as the log keeps it and as watchers get it (contract 4.21).

Unlike upstream an event carries neither children nor back references: they are no part of the object that changed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, NamedTuple

import orjson

from api_server.store.objects import Object, Reference

Operation = Literal["create", "update", "delete"]


class Event(NamedTuple):
    """object: the object after the write, before it for a delete: JSON as `encode` makes it. fields: what an update
    changed, joined by commas; None if that is not said."""

    revision: int
    sequence: int
    operation: Operation
    type: str
    uuid: str
    object: str
    fields: str | None = None

    def data(self) -> str:
        """The `data:` of its frame; of a deleted object only the uuid."""
        subject = f'{{"uuid":"{self.uuid}"}}' if self.operation == "delete" else self.object
        return f'{{"{self.type}":{subject}}}'

    def frame(self, *, last: bool) -> str:
        """last: of the events of its revision that this watcher gets; only that one carries the id to resume from."""
        mark = f"id: {self.revision}\n" if last else ""
        return f"event: {self.operation}\n{mark}data: {self.data()}\n\n"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Frames ready to send, up to and including `revision`; the events of one revision are never in two chunks.

    events: those in `data`; empty for a bookmark (`event: bookmark`: nothing up to its id was for this watcher) or a
    keep-alive comment.
    """

    revision: int
    data: bytes
    events: tuple[Event, ...] = ()


def chunk(events: tuple[Event, ...]) -> Chunk:
    frames = []
    for _, group in groupby(events, key=lambda event: event.revision):
        *some, last = group
        frames += [event.frame(last=False) for event in some]
        frames.append(last.frame(last=True))
    return Chunk(events[-1].revision, "".join(frames).encode(), events)


def bookmark(revision: int) -> Chunk:
    return Chunk(revision, b'event: bookmark\nid: %d\ndata: {"revision":%d}\n\n' % (revision, revision))


def keep_alive(revision: int) -> Chunk:
    return Chunk(revision, b":\n\n")


def encode(object: Object, properties: bytes) -> str:
    """An object as JSON, without what depends on who asks (hrefs, children, back references).

    properties: `object.properties` encoded, which the caller needs anyway.
    """
    head: dict[str, Any] = {"uuid": object.uuid, "fq_name": object.fq_name, "name": object.fq_name[-1]}
    if object.parent_uuid:
        head["parent_type"] = object.parent_type
        head["parent_uuid"] = object.parent_uuid
    for name, references in object.references.items():
        if references:
            head[name] = [_link(reference) for reference in _sorted(references)]
    text = orjson.dumps(head)
    return (text if properties == b"{}" else text[:-1] + b"," + properties[1:]).decode()


def _link(reference: Reference) -> dict[str, Any]:
    return {"to": reference.fq_name, "uuid": reference.uuid, "attr": reference.attr}


def _sorted(references: Iterable[Reference]) -> list[Reference]:
    return sorted(references, key=lambda reference: reference.uuid)
