"""Objects for the tests of the store, and short ways to write them."""

import uuid
from collections.abc import Callable
from typing import Any

import orjson

from api_server.store import Create, Delete, Object, Origin, Reference, Store, Transaction, Update
from api_server.store.events import Event


class Clock:
    """Milliseconds since 1970, as the server reads them."""

    def __init__(self) -> None:
        self.now = 1_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += int(seconds * 1000)


def make(type: str, name: str, parent: Object | None = None, **properties: Any) -> Object:
    """An object that is not stored yet."""
    return Object(
        type,
        str(uuid.uuid4()),
        (*(parent.fq_name if parent else ()), name),
        parent.type if parent else None,
        parent.uuid if parent else None,
        {"id_perms": {"enable": True, "created": "", "last_modified": ""}, "display_name": name, **properties},
    )


def link(source: Object, *targets: Object, attr: Any = None, origin: Origin = Origin.CLIENT) -> Object:
    """`source`, referring to more objects."""
    for target in targets:
        field = f"{target.type.replace('-', '_')}_refs"
        reference = Reference(target.type, target.uuid, target.fq_name, attr, origin)
        source.references[field] = [*source.references.get(field, ()), reference]
    return source


async def create(store: Store, *objects: Object) -> int:
    """In one request; its revision."""
    return (await store.write(lambda tx: [tx.apply(Create(one.copy())) for one in objects]))[1]


def updating(uuid: str, change: Callable[[Object], Any]) -> Callable[[Transaction], Object]:
    def call(tx: Transaction) -> Object:
        before = tx.get(uuid)
        assert before is not None
        after = before.copy()
        change(after)
        tx.apply(Update(before, after))
        return after

    return call


def deleting(uuid: str) -> Callable[[Transaction], None]:
    def call(tx: Transaction) -> None:
        before = tx.get(uuid)
        assert before is not None
        tx.apply(Delete(before))

    return call


async def get(store: Store, uuid: str) -> Object | None:
    return await store.read(lambda reader: reader.get(uuid))


async def logged(store: Store, after: int = 0) -> list[Event]:
    """The change log, through a subscription that resumes."""
    subscription = await store.feed.subscribe(None, after)
    events: list[Event] = []
    while subscription.revision < store.feed.revision:
        events += (await anext(subscription)).events
    subscription.close()
    return events


def seen(events: list[Event]) -> list[tuple[int, str, str, str]]:
    return [(one.revision, one.operation, one.type, one.uuid) for one in events]


def body(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(event.object)
    return found
