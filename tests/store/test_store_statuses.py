"""Statuses beside the objects: stamps, rows that are taken back, nodes that fall silent. On both databases."""

from collections.abc import Sequence

import pytest
from store_objects import Clock, create, make

from api_server.store import NewStatus, Reader, Report, Store, statuses
from api_server.store.nodes import BELIEVED, FORGOTTEN, LEFT, SILENT, STALE
from api_server.store.statuses import Row


def says(uuid: str, state: str | None = "ONLINE", *, revision: int = 1) -> NewStatus:
    return NewStatus(uuid, state, "ACTIVE", "", 5, revision)


async def rows(store: Store, uuid: str) -> Sequence[Row]:
    found: Sequence[Row] = await store.read(lambda reader: reader.status_rows([uuid]).get(uuid, ()))
    return found


async def stale(store: Store) -> dict[str, int]:
    return await store.read(lambda reader: {one.name: one.stale for one in reader.nodes()})


async def after(store: Store, stamp: int) -> tuple[int, set[str]]:
    def ask(reader: Reader) -> tuple[int, set[str]]:
        changed = reader.status_changes(stamp)
        return changed.stamp, set(changed.objects)

    return await store.read(ask)


async def test_only_what_differs_gets_a_stamp(store: Store) -> None:
    one, two = make("domain", "a"), make("domain", "b")
    await create(store, one, two)
    unknown, revision = await store.report(Report("n1", 1, [says(one.uuid), says(two.uuid), says("nobody")]))
    assert unknown == ["nobody"]
    stamp, objects = await after(store, 0)
    assert objects == {one.uuid, two.uuid}
    await store.report(Report("n1", 1, [says(one.uuid), says(two.uuid, "ERROR")]))
    stamp, objects = await after(store, stamp)
    assert objects == {two.uuid}
    await store.report(Report("n1", 2))
    assert await after(store, stamp) == (stamp, set())
    await store.report(Report("n1", 2, [says(one.uuid, None)]))
    assert await rows(store, one.uuid) == ()
    assert (await after(store, stamp))[1] == {one.uuid}
    assert (revision, store.feed.revision) == (revision, revision)  # no report has moved it


async def test_a_page_never_cuts_a_report_in_two(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [make("domain", f"d{number}") for number in range(statuses.PAGE + 20)]
    await create(store, *found)
    await store.report(Report("n1", 1, [says(one.uuid) for one in found[:10]]))
    await store.report(Report("n1", 1, [says(one.uuid) for one in found[10:]]))
    stamp, objects = await after(store, 0)
    assert objects == {one.uuid for one in found}
    assert await after(store, stamp) == (stamp, set())


async def test_a_silent_node_is_marked_then_forgotten(store: Store, clock: Clock) -> None:
    one = make("domain", "a")
    await create(store, one)
    await store.report(Report("n1", 1, [says(one.uuid)]))
    await store.report(Report("n2", 1, [says(one.uuid)]))
    clock.pass_by(STALE + 1)
    await store.report(Report("n2", 1))
    stamp, _ = await after(store, 0)
    await store.sweep()
    assert await stale(store) == {"n1": SILENT, "n2": BELIEVED}
    moved, objects = await after(store, stamp)
    assert (moved, objects) == (stamp + 1, {one.uuid})
    await store.sweep()  # nothing more to do
    assert store.stamps.newest == moved
    assert [(row.node, row.stale) for row in await rows(store, one.uuid)] == [("n1", SILENT), ("n2", BELIEVED)]

    await store.report(Report("n1", 1))
    assert await stale(store) == {"n1": BELIEVED, "n2": BELIEVED}
    assert (await after(store, moved))[1] == {one.uuid}

    clock.pass_by(FORGOTTEN + 1)
    await store.sweep()
    await store.sweep()
    assert await stale(store) == {"n1": LEFT, "n2": LEFT}
    assert await rows(store, one.uuid) == ()
    clock.pass_by(statuses.KEPT + 1)
    await store.sweep()
    assert await stale(store) == {}
