"""What a delete takes along and what forbids it (contract 2.9)."""

import pytest
from store_objects import body, create, deleting, get, link, logged, make, seen, updating

from api_server.errors import Conflict, NotFound
from api_server.store import Create, Delete, Object, Origin, Store, Transaction

BASE = "http://host:8082"


async def small(store: Store) -> tuple[Object, Object]:
    domain = make("domain", "d")
    project = make("project", "p", domain)
    await create(store, domain, project)
    return domain, project


async def test_children_block_one_type_at_a_time(store: Store) -> None:
    _, project = await small(store)
    ipam = make("network-ipam", "i", project)
    networks = [make("virtual-network", name, project) for name in "ab"]
    await create(store, ipam, *networks)
    with pytest.raises(Conflict) as refused:
        await store.write(deleting(project.uuid), base_url=BASE)
    assert refused.value.text == f"Delete when children still present: ['{BASE}/network-ipam/{ipam.uuid}']"
    await store.write(deleting(ipam.uuid))
    with pytest.raises(Conflict) as refused:
        await store.write(deleting(project.uuid), base_url=BASE)
    hrefs = sorted(f"{BASE}/virtual-network/{network.uuid}" for network in networks)
    assert refused.value.text == f"Delete when children still present: {hrefs}"


async def test_referrers_block_until_they_let_go(store: Store) -> None:
    _, project = await small(store)
    network = make("virtual-network", "n", project)
    port = link(make("virtual-machine-interface", "i", project), network)
    await create(store, network, port)
    with pytest.raises(Conflict) as refused:
        await store.write(deleting(network.uuid), base_url=BASE)
    href = f"{BASE}/virtual-machine-interface/{port.uuid}"
    assert refused.value.text == f"Delete when resource still referred: ['{href}']"
    await store.write(updating(port.uuid, lambda one: one.references.clear()))
    await store.write(deleting(network.uuid))
    assert await get(store, network.uuid) is None


async def test_what_a_deleted_object_refers_to_is_free_again(store: Store) -> None:
    _, project = await small(store)
    network = make("virtual-network", "n", project)
    port = link(make("virtual-machine-interface", "i", project), network)
    await create(store, network, port)
    await store.write(deleting(port.uuid))
    await store.write(deleting(network.uuid))
    assert await store.read(lambda reader: reader.find("virtual-network", network.fq_name)) is None


@pytest.mark.parametrize("origin", [Origin.RELAXED, Origin.DERIVED])
async def test_relaxed_and_derived_references_vanish_with_their_target(store: Store, origin: Origin) -> None:
    _, project = await small(store)
    gone, kept = make("virtual-network", "n", project), make("virtual-network", "m", project)
    port = link(link(make("virtual-machine-interface", "i", project), gone, origin=origin), kept)
    await create(store, gone, kept, port)
    before = await get(store, port.uuid)
    _, revision = await store.write(deleting(gone.uuid))
    after = await get(store, port.uuid)
    assert before is not None
    assert after is not None
    assert [one.uuid for one in after.references["virtual_network_refs"]] == [kept.uuid]
    assert after.modified > before.modified
    events = await logged(store, revision - 1)
    assert seen(events) == [
        (revision, "update", "virtual-machine-interface", port.uuid),
        (revision, "delete", "virtual-network", gone.uuid),
    ]
    assert [one["uuid"] for one in body(events[0])["virtual_network_refs"]] == [kept.uuid]
    assert body(events[1])["fq_name"] == list(gone.fq_name)


async def test_a_reference_may_be_relaxed_before_it_is_there(store: Store) -> None:
    _, project = await small(store)
    gone, kept = make("virtual-network", "n", project), make("virtual-network", "m", project)
    ports = [make("virtual-machine-interface", name, project) for name in "ij"]
    await create(store, gone, kept, *ports)
    for _ in range(2):
        await store.write(lambda tx: tx.relax(ports[0].uuid, gone.uuid))
    await store.write(updating(ports[0].uuid, lambda one: link(one, gone)))
    await store.write(updating(ports[1].uuid, lambda one: link(one, gone)))
    with pytest.raises(Conflict) as refused:
        await store.write(deleting(gone.uuid), base_url=BASE)
    assert refused.value.text.count("/virtual-machine-interface/") == refused.value.text.count(ports[1].uuid) == 1
    await store.write(deleting(ports[1].uuid))
    await store.write(deleting(gone.uuid))
    assert (await get(store, ports[0].uuid)).references == {}  # type: ignore[union-attr]
    await store.write(updating(ports[0].uuid, lambda one: link(one, kept)))
    with pytest.raises(Conflict):
        await store.write(deleting(kept.uuid))


async def test_references_the_model_calls_derived_vanish(store: Store) -> None:
    _, project = await small(store)
    instance = make("service-instance", "s", project)
    machine = link(make("virtual-machine", "vm"), instance)
    await create(store, instance, machine)
    await store.write(deleting(instance.uuid))
    assert (await get(store, machine.uuid)).references == {}  # type: ignore[union-attr]


async def test_symmetric_references_vanish(store: Store) -> None:
    _, project = await small(store)
    one, other = make("virtual-network", "a", project), make("virtual-network", "b", project)
    link(one, other)
    await create(store, other, one)
    await store.write(deleting(one.uuid))
    assert (await get(store, other.uuid)).references == {}  # type: ignore[union-attr]


async def test_derived_and_default_named_children_go_along(store: Store) -> None:
    _, project = await small(store)
    network = make("virtual-network", "default-virtual-network", project)
    instance = make("routing-instance", "ri", network)
    other = make("routing-instance", "rj", network)
    link(instance, other)
    link(project, network)
    await create(store, network, other, instance)
    _, revision = await store.write(deleting(project.uuid))
    events = await logged(store, revision - 1)
    deleted = [one.uuid for one in events if one.operation == "delete"]
    assert set(deleted[:2]) == {instance.uuid, other.uuid}
    assert deleted[2:] == [network.uuid, project.uuid]
    assert all(one.operation == "delete" for one in events)
    assert await store.read(lambda reader: reader.count("routing-instance")) == 0


async def test_who_uses_a_default_named_child_keeps_it_and_its_parent(store: Store) -> None:
    domain, project = await small(store)
    network = make("virtual-network", "default-virtual-network", project)
    port = link(make("virtual-machine-interface", "i", make("project", "q", domain)), network)
    await create(store, make("project", "q", domain), network)
    port.parent_uuid = await store.read(lambda reader: reader.find("project", ("d", "q")))
    await create(store, port)
    with pytest.raises(Conflict, match="Delete when resource still referred"):
        await store.write(deleting(project.uuid))
    assert await get(store, network.uuid) is not None


async def test_who_uses_a_derived_child_loses_it(store: Store) -> None:
    _, project = await small(store)
    network = make("virtual-network", "n", project)
    instance = make("routing-instance", "ri", network)
    router = make("bgp-router", "r", instance)
    ports = [link(make("virtual-machine-interface", name, project), instance) for name in "ab"]
    users = [*ports, link(make("bgp-as-a-service", "s", project), router)]
    await create(store, network, instance, router, *users)
    await store.write(deleting(network.uuid))
    assert await get(store, instance.uuid) is None
    assert await get(store, router.uuid) is None
    assert [(await get(store, one.uuid)).references for one in users] == [{}, {}, {}]  # type: ignore[union-attr]


async def test_numbers_of_a_deleted_object_are_free_again(store: Store) -> None:
    _, project = await small(store)
    await store.write(lambda tx: [tx.take("pool", [(1, 3)], project.uuid) for _ in range(2)])
    await store.write(deleting(project.uuid))
    assert (await store.write(lambda tx: (tx.taken("pool"), tx.holder("pool", 1))))[0] == (0, None)


async def test_deleting_twice_in_one_request(store: Store) -> None:
    _, project = await small(store)

    def call(tx: Transaction) -> None:
        deleting(project.uuid)(tx)
        with pytest.raises(NotFound):
            tx.apply(Delete(project))

    await store.write(call)
    assert await get(store, project.uuid) is None


async def test_a_name_is_free_after_its_delete_in_the_same_request(store: Store) -> None:
    domain, project = await small(store)
    again = make("project", "p", domain)

    def call(tx: Transaction) -> None:
        deleting(project.uuid)(tx)
        tx.apply(Create(again.copy()))

    await store.write(call)
    assert await store.read(lambda reader: reader.find("project", ("d", "p"))) == again.uuid
