"""Nodes: who there is and how far, over silence, restarts and an older database. On both databases."""

import orjson
import pytest
import sqlalchemy as sa
from store_objects import Clock, create, make, updating
from store_schema import take_back

from api_server.errors import BadRequest
from api_server.store import NewStatus, Node, Report, Store, nodes, statuses
from api_server.store.engine import Database
from api_server.store.objects import Delete


async def known(store: Store) -> dict[str, Node]:
    return {node.name: node for node in await store.read(lambda reader: list(reader.nodes()))}


async def test_a_node_is_a_virtual_router_or_who_reports(store: Store, clock: Clock) -> None:
    config = make("global-system-config", "default-global-system-config")
    router = make("virtual-router", "n1", config)
    revision = await create(store, config, router, make("virtual-router", "n2", config))
    await store.report(Report("n1", revision))
    await store.report(Report("guest", revision, agent='{"version":"1"}'))
    found = await known(store)
    assert sorted(found) == ["guest", "n1", "n2"]
    assert found["n1"] == Node("n1", router.uuid, revision, clock.now, clock.now)
    assert (found["guest"].router, found["guest"].agent) == (None, '{"version":"1"}')
    assert (found["n2"].reported, found["n2"].has(0)) == (0, False)


async def test_how_far_a_node_is(store: Store, clock: Clock) -> None:
    first = await create(store, make("domain", "a"))
    await store.report(Report("n1", first, agent='{"version":"1"}'))
    began = clock.now
    second = await create(store, make("domain", "b"))
    clock.pass_by(10)
    await store.report(Report("n1", first))
    node = (await known(store))["n1"]
    assert (node.reached, node.reported, node.agent) == (began, clock.now, '{"version":"1"}')
    assert node.due is not None
    assert node.due.revision == second
    assert (node.due.at or "") > "2026"
    assert (node.has(first), node.has(second)) == (True, False)
    clock.pass_by(10)
    await store.report(Report("n1", second))
    node = (await known(store))["n1"]
    assert (node.reached, node.due, node.has(second)) == (clock.now, None, True)


async def test_who_watches_a_part_has_what_is_not_for_it(store: Store) -> None:
    """By what is due for its scopes, whatever revision it has reported."""
    one, other = make("virtual-network", "one"), make("virtual-network", "other")
    first = await create(store, one)
    second = await create(store, other)
    for name, scopes in (("one", [one.uuid]), ("other", [other.uuid]), ("none", []), ("all", None)):
        await store.report(Report(name, first - 1, scopes=orjson.dumps(scopes).decode()))
    has = {name: (node.has(first), node.has(second)) for name, node in (await known(store)).items()}
    assert has == {"one": (False, False), "other": (True, False), "none": (True, True), "all": (False, False)}
    behind = {name: node.behind(second) for name, node in (await known(store)).items()}
    assert behind == {"one": 2, "other": 1, "none": 0, "all": 2}

    await store.report(Report("one", first))  # without scopes: those are as they were
    node = (await known(store))["one"]
    assert (node.has(second), node.due) == (True, None)
    third = (await store.write(updating(one.uuid, lambda found: found.properties.update(display_name="new"))))[1]
    node = (await known(store))["one"]
    assert node.due is not None
    assert (node.due.revision, node.behind(third)) == (third, 1)
    arrived = await store.read(lambda reader: {node.name: node.due for node in reader.nodes({"one", "all"})})
    assert arrived["one"] is arrived["all"] is None


async def test_only_a_step_is_announced(store: Store, clock: Clock) -> None:
    async def moved(report: Report) -> bool:
        return (await store.write(lambda tx: tx.report(report)))[0].moved

    assert await moved(Report("n1", 1))
    assert not await moved(Report("n1", 1, agent='{"version":"2"}'))
    assert await moved(Report("n1", 2))
    clock.pass_by(nodes.STALE + 1)
    before = store.steps.newest
    await store.sweep()
    assert store.steps.newest > before
    assert await moved(Report("n1", 2))


async def test_who_has_a_virtual_router_is_silent_for_ever(store: Store, url: str, clock: Clock) -> None:
    one = make("domain", "a")
    config = make("global-system-config", "default-global-system-config")
    router = make("virtual-router", "n1", config)
    await create(store, one, config, router)
    said = [NewStatus(one.uuid, "ONLINE", "ACTIVE", "", 5, 1)]
    for name in ("n1", "guest"):
        await store.report(Report(name, 1, said))
    reported = clock.now
    for seconds in (nodes.STALE, nodes.FORGOTTEN, statuses.KEPT, statuses.KEPT):
        clock.pass_by(seconds + 1)
        await store.sweep()
    found = await known(store)
    assert list(found) == ["n1"]
    assert (found["n1"].stale, found["n1"].reported) == (nodes.LEFT, reported)

    await store.write(lambda tx: (tx.apply(Delete(router)), tx.forget_node("n1")))
    assert await known(store) == {}
    await store.sweep()
    await store.sweep()
    with Database.at(url).engine.connect() as connection:
        assert connection.execute(sa.text("select count(*) from node")).scalar() == 0


async def test_what_is_forgotten_comes_back_with_a_report(store: Store, clock: Clock) -> None:
    one = make("domain", "a")
    await create(store, one)
    await store.report(Report("n1", 1, [NewStatus(one.uuid, "ONLINE", "ACTIVE", "", 5, 1)]))
    assert await store.forget_node("n1")
    assert not await store.forget_node("n1")
    assert not await store.forget_node("nobody")
    assert await known(store) == {}
    await store.report(Report("n1", 1))
    assert (await known(store))["n1"].reported == clock.now

    await store.forget_node("n1")
    await store.sweep()
    await store.sweep()
    assert await store.read(lambda reader: reader.status_rows([one.uuid])) == {}


async def test_there_is_an_end_to_nodes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "MOST", 2)
    for name in ("n1", "n2"):
        await store.report(Report(name, 1))
    with pytest.raises(BadRequest, match="node n3 would be one too many: there are 2"):
        await store.report(Report("n3", 1))
    await store.report(Report("n1", 2))
    assert sorted(await known(store)) == ["n1", "n2"]


async def test_nodes_of_an_older_database(url: str) -> None:
    store = await Store.open(url)
    await store.close()
    with Database.at(url).engine.begin() as connection:
        take_back(connection, "0005")
        connection.execute(sa.text("insert into node (name, revision, reported, stale) values ('n1', 7, 1000, 1)"))
    store = await Store.open(url)
    assert await known(store) == {"n1": Node("n1", None, 7, 0, 1000, nodes.SILENT)}
    await store.report(Report("n1", 8, agent='{"version":"1"}'))
    assert (await known(store))["n1"].agent == '{"version":"1"}'
    await store.close()
