"""What a write does: objects, references, names, times, events."""

import asyncio

import pytest
from store_objects import body, create, deleting, get, link, logged, make, seen, updating

from api_server.errors import BadRequest, Conflict, NotFound
from api_server.store import Create, Object, Origin, Point, Store, Transaction, Update


async def test_created_object_reads_back_as_it_was(store: Store) -> None:
    domain = make("domain", "d")
    project = make("project", "p", domain)
    network = make("virtual-network", "n", project, mtu=9000, nested={"null": None, "big": 2**64 - 1, "nul": "\0"})
    network.positions = {"virtual_network_fat_flow_protocols": ["0", "x"]}
    port = link(make("virtual-machine-interface", "i", project), network, attr={"a": [1, None]}, origin=Origin.RELAXED)
    assert await create(store, domain, project, network, port) == 1

    found = await get(store, network.uuid)
    assert found is not None
    assert (found.fq_name, found.parent_type, found.parent_uuid) == (("d", "p", "n"), "project", project.uuid)
    assert found.properties["nested"] == network.properties["nested"]
    assert found.positions == network.positions
    assert found.revision == 1
    assert found.created == found.modified == found.properties["id_perms"]["last_modified"]
    assert found.created == found.properties["id_perms"]["created"]
    found = await get(store, port.uuid)
    assert found is not None
    assert found.references == port.references


async def test_one_request_is_one_revision_whose_events_follow_each_other(store: Store) -> None:
    domain, other = make("domain", "d"), make("domain", "e")
    await create(store, domain, other)

    def call(tx: Transaction) -> None:
        updating(domain.uuid, lambda one: one.properties.update(display_name="x"))(tx)
        updating(other.uuid, lambda one: one.properties.update(display_name="y"))(tx)

    assert (await store.write(call))[1] == 2
    events = await logged(store)
    assert [(one.revision, one.sequence, one.operation) for one in events] == [
        (1, 0, "create"), (1, 1, "create"), (2, 0, "update"), (2, 1, "update"),
    ]  # fmt: skip


async def test_taken_names_and_uuids_are_refused_in_contrails_words(store: Store) -> None:
    domain = make("domain", "d")
    await create(store, domain)
    twin = make("domain", "d")
    with pytest.raises(Conflict, match=rf"^\['d'\] already exists with uuid: {domain.uuid}$"):
        await create(store, twin)
    twin = make("domain", "other")
    twin.uuid = domain.uuid
    with pytest.raises(Conflict, match=rf"^{domain.uuid} already exists with fq_name: \['d'\]$"):
        await create(store, twin)
    assert store.feed.revision == 1


async def test_name_of_a_type_without_parents_is_one_element_whatever_its_colons(store: Store) -> None:
    target = make("route-target", "target:64512:8000001")
    await create(store, target)
    assert (await get(store, target.uuid)).fq_name == ("target:64512:8000001",)  # type: ignore[union-attr]
    assert await store.read(lambda reader: reader.find("route-target", target.fq_name)) == target.uuid
    assert await store.read(lambda reader: reader.identify(target.uuid)) == ("route-target", target.fq_name)


async def test_nul_in_names_is_refused_and_finds_nothing(store: Store) -> None:
    with pytest.raises(BadRequest):
        await create(store, make("domain", "a\0b"))
    assert await store.read(lambda reader: reader.find("domain", ("a\0b",))) is None
    assert await store.read(lambda reader: reader.get("\0")) is None
    assert (await store.record(Point("domain", "\0")))[0] is None
    assert (await store.write(lambda tx: tx.get_many(["\0"])))[0] == []


async def test_modified_grows_strictly_even_within_one_request(store: Store) -> None:
    domain = make("domain", "d")
    await create(store, domain)
    times = [(await get(store, domain.uuid)).modified]  # type: ignore[union-attr]

    def call(tx: Transaction) -> None:
        for value in "abc":
            after = updating(domain.uuid, lambda one, value=value: one.properties.update(display_name=value))(tx)  # type: ignore[misc]
            assert after.properties["id_perms"]["last_modified"] == after.modified
            times.append(after.modified)

    await store.write(call)
    assert times == sorted(set(times))
    assert (await get(store, domain.uuid)).modified == times[-1]  # type: ignore[union-attr]


async def test_update_logs_the_fields_that_changed_and_the_object_after(store: Store) -> None:
    domain = make("domain", "d")
    project, tag = make("project", "p", domain), make("tag", "label=x")
    await create(store, domain, project, tag)
    await store.write(updating(project.uuid, lambda one: link(one, tag).properties.update(quota={"defaults": 1})))
    event = (await logged(store, 1))[0]
    assert body(event)["quota"] == {"defaults": 1}
    assert body(event)["tag_refs"] == [{"to": ["label=x"], "uuid": tag.uuid, "attr": None}]
    assert body(event)["parent_uuid"] == domain.uuid


async def test_references_are_added_changed_and_removed(store: Store) -> None:
    domain = make("domain", "d")
    project = make("project", "p", domain)
    first, second = make("network-ipam", "a", project), make("network-ipam", "b", project)
    network = link(make("virtual-network", "n", project), first, attr={"x": 1})
    await create(store, domain, project, first, second, network)

    def change(one: Object) -> None:
        one.references.clear()
        link(one, first, attr={"x": 2})
        link(one, second)

    await store.write(updating(network.uuid, change))
    found = await get(store, network.uuid)
    assert found is not None
    links = {one.uuid: one.attr for one in found.references["network_ipam_refs"]}
    assert links == {first.uuid: {"x": 2}, second.uuid: None}
    await store.write(updating(network.uuid, lambda one: one.references.clear()))
    assert (await get(store, network.uuid)).references == {}  # type: ignore[union-attr]


async def test_same_type_references_stand_on_both_sides(store: Store) -> None:
    domain = make("domain", "d")
    project = make("project", "p", domain)
    one, other = make("virtual-network", "a", project), make("virtual-network", "b", project)
    link(one, other, attr={"k": 1})
    await create(store, domain, project, other, one)
    found = await get(store, other.uuid)
    assert found is not None
    assert [(link.uuid, link.attr) for link in found.references["virtual_network_refs"]] == [(one.uuid, {"k": 1})]
    assert seen(await logged(store))[2:] == [
        (1, "create", "virtual-network", other.uuid),
        (1, "create", "virtual-network", one.uuid),
        (1, "update", "virtual-network", other.uuid),
    ]
    record, _ = await store.record(Point("virtual-network", one.uuid))
    assert record is not None
    assert [link.uuid for link in record.references] == [other.uuid]
    assert not record.back_references

    await store.write(updating(other.uuid, lambda one: one.references.clear()))
    assert (await get(store, one.uuid)).references == {}  # type: ignore[union-attr]


async def test_transaction_sees_its_own_writes(store: Store) -> None:
    domain = make("domain", "d")
    projects = [make("project", name, domain) for name in "abc"]
    tag = make("tag", "t", projects[0])

    def call(tx: Transaction) -> None:
        tx.apply(Create(domain.copy()))
        for project in projects:
            tx.apply(Create(project.copy()), [f"key:{project.fq_name[-1]}", "all"])
        tx.apply(Create(tag.copy()))
        updating(projects[1].uuid, lambda one: link(one, tag))(tx)
        assert tx.find("project", ("d", "b")) == projects[1].uuid
        assert tx.identify(projects[0].uuid) == ("project", ("d", "a"))
        assert {one.uuid for one in tx.children(domain.uuid, "project")} == {one.uuid for one in projects}
        assert [one.uuid for one in tx.referrers(tag.uuid, "project")] == [projects[1].uuid]
        assert tx.by_key("key:c") == [projects[2].uuid]
        assert tx.by_key("all", "project") == sorted(one.uuid for one in projects)
        assert tx.by_key("all", "domain") == []
        assert [one.uuid for one in tx.get_many([projects[2].uuid, "none", domain.uuid])] == [
            projects[2].uuid, domain.uuid,
        ]  # fmt: skip
        deleting(projects[2].uuid)(tx)
        assert tx.get(projects[2].uuid) is None
        assert tx.find("project", ("d", "c")) is None
        assert tx.by_key("key:c") == []

    await store.write(call)


async def test_search_keys_follow_their_object(store: Store) -> None:
    domain = make("domain", "d")
    await store.write(lambda tx: tx.apply(Create(domain.copy()), ["a", "b"]))

    def call(tx: Transaction) -> None:
        before = tx.get(domain.uuid)
        assert before is not None
        tx.apply(Update(before, before.copy()), ["b", "c", "c"])
        assert [tx.by_key(key) for key in "abc"] == [[], [domain.uuid], [domain.uuid]]
        updating(domain.uuid, lambda one: None)(tx)
        assert tx.by_key("c") == [domain.uuid]

    await store.write(call)
    await store.write(deleting(domain.uuid))
    assert (await store.write(lambda tx: tx.by_key("c")))[0] == []


async def test_update_of_a_stale_version_is_a_programming_error(store: Store) -> None:
    domain = make("domain", "d")
    await create(store, domain)

    def call(tx: Transaction) -> None:
        before = tx.get(domain.uuid)
        assert before is not None
        tx.apply(Update(before, before.copy()))
        tx.apply(Update(before, before.copy()))

    with pytest.raises(RuntimeError):
        await store.write(call)
    assert store.feed.revision == 1


async def test_update_and_delete_of_what_is_not_there(store: Store) -> None:
    domain = make("domain", "d")
    with pytest.raises(NotFound, match=f"Unknown id: {domain.uuid}"):
        await store.write(lambda tx: tx.apply(Update(domain, domain.copy())))


async def test_strings_by_name(store: Store) -> None:
    assert (await store.write(lambda tx: tx.store_value("b", "1")))[1] == 0
    await asyncio.gather(
        store.write(lambda tx: tx.store_value("b", "2")), store.write(lambda tx: tx.store_value("a", "3"))
    )
    assert await store.read(lambda reader: reader.values(None)) == {"a": "3", "b": "2"}
    assert await store.read(lambda reader: reader.values(["b", "none"])) == {"b": "2"}
    await store.write(lambda tx: tx.delete_value("b"))
    assert await store.read(lambda reader: reader.values(None)) == {"a": "3"}
