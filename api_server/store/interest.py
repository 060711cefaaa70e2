"""What a watcher wants of the log. Those who want the same share what is sent."""

from collections.abc import Iterable
from typing import NamedTuple

import orjson

from api_server.store.events import Event


class Interest(NamedTuple):
    """types: hyphenated; parents: uuids of those below which an object stands; None: all.

    What is below what never changes, and an event has the object as it was: so the creates, updates and deletes that
    are sent are exactly those of the objects that a list below these parents has.
    """

    types: frozenset[str] | None = None
    parents: frozenset[str] | None = None

    def of(self, events: Iterable[Event]) -> tuple[Event, ...]:
        types, parents = self
        if types is not None:
            events = [event for event in events if event.type in types]
        if parents is not None:
            events = [event for event in events if _parent(event, parents) in parents]
        return tuple(events)


def _parent(event: Event, parents: frozenset[str]) -> str | None:
    """Only what may be below one of them is parsed."""
    if not any(parent in event.object for parent in parents):
        return None
    found: str | None = orjson.loads(event.object).get("parent_uuid")
    return found
