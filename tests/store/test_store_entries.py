"""The log as one who works through it reads it: in order, a limited number at a time, with what each change was."""

from itertools import pairwise

import orjson
from store_objects import create, deleting, link, make, updating

from api_server.store import Create, Position, Reference, Store
from api_server.store.changes import ENTRIES


async def test_entries_say_what_each_change_was(store: Store) -> None:
    domain = make("domain", "d")
    await store.write(lambda tx: tx.apply(Create(domain.copy())), request_id="req-1")
    await store.write(updating(domain.uuid, lambda one: one.properties.update(display_name="x")), request_id="req-2")
    await store.write(deleting(domain.uuid), request_id="req-3")
    entries, bounds = await store.entries(Position.after(0))
    assert [(one.revision, one.operation, one.request_id) for one in entries] == [
        (1, "create", "req-1"),
        (2, "update", "req-2"),
        (3, "delete", "req-3"),
    ]
    assert {(one.type, one.uuid, one.fq_name, one.implicit) for one in entries} == {("domain", domain.uuid, "d", 0)}
    assert [orjson.loads(one.object)["display_name"] for one in entries] == ["d", "x", "x"]
    assert bounds.newest == 3
    assert (await store.entries(Position.after(1))).entries == entries[1:]
    assert (await store.entries(Position.after(3))).entries == []


async def test_a_large_write_is_read_in_parts(store: Store) -> None:
    await create(store, *[make("domain", f"d{number}") for number in range(ENTRIES + 5)])
    await create(store, make("domain", "last"))
    first = (await store.entries(Position.after(0))).entries
    assert len(first) == ENTRIES
    rest = (await store.entries(Position(first[-1].revision, first[-1].sequence))).entries
    assert len(rest) == 6
    places = [(one.revision, one.sequence) for one in first + rest]
    assert all(one < following for one, following in pairwise(places))


async def test_the_other_side_of_a_same_type_reference_is_implicit(store: Store) -> None:
    a, b = make("virtual-network", "a"), make("virtual-network", "b")
    policy = make("network-policy", "p")
    await create(store, a, b, policy)

    async def implicit(revision: int) -> list[tuple[str, str, int]]:
        names = {a.uuid: "a", b.uuid: "b", policy.uuid: "p"}
        entries = (await store.entries(Position.after(revision - 1))).entries
        return [(one.operation, names[one.uuid], one.implicit) for one in entries]

    linked = updating(a.uuid, lambda one: link(one, b))
    assert await implicit((await store.write(linked))[1]) == [("update", "a", 0), ("update", "b", 1)]
    other = Reference(b.type, b.uuid, b.fq_name, {"x": 1})
    changed = updating(a.uuid, lambda one: one.references.update(virtual_network_refs=[other]))
    assert await implicit((await store.write(changed))[1]) == [("update", "a", 0), ("update", "b", 1)]
    _, revision = await store.write(updating(b.uuid, lambda one: link(one, policy)))
    assert await implicit(revision) == [("update", "b", 0)]
    _, revision = await store.write(deleting(a.uuid))
    assert await implicit(revision) == [("update", "b", 1), ("delete", "a", 0)]
