"""What a write transaction finds beside single objects: by name, by number, by text, and what goes along."""

from store_objects import create, link, make

from api_server.store import Object, Store, Transaction, Update


async def small(store: Store) -> tuple[Object, Object, list[Object]]:
    """A project with two pools, the first of which has two members, one of them hidden."""
    domain = make("domain", "d")
    project = make("project", "p", domain)
    pools = [make("loadbalancer-pool", name, project) for name in "ab"]
    members = [make("loadbalancer-member", name, pools[0]) for name in ("seen", "hidden")]
    members[1].properties["id_perms"] = {"user_visible": False}
    await create(store, domain, project, *pools, *members)
    return domain, project, pools


async def test_an_object_is_found_with_its_parent(store: Store) -> None:
    _, project, pools = await small(store)

    def call(tx: Transaction) -> None:
        found = tx.named("loadbalancer-pool", pools[0].fq_name)
        assert found is not None
        assert found.uuid == pools[0].uuid
        assert project.uuid in tx.known.objects
        assert tx.find("loadbalancer-pool", pools[0].fq_name) == pools[0].uuid
        assert tx.named("loadbalancer-pool", ("d", "p", "nothing")) is None
        assert tx.named("project", pools[0].fq_name) is None
        assert tx.named("domain", ("d",)) is not None

    await store.write(call)


async def test_what_the_transaction_has_done_is_seen_by_name(store: Store) -> None:
    domain, project, _ = await small(store)

    def call(tx: Transaction) -> None:
        before = tx.get(project.uuid)
        assert before is not None
        after = before.copy()
        after.properties["display_name"] = "new"
        tx.apply(Update(before, after))
        found = tx.named("project", project.fq_name)
        assert found is not None
        assert found.properties["display_name"] == "new"
        assert tx.named("domain", domain.fq_name) is not None

    await store.write(call)


async def test_counts(store: Store) -> None:
    _, project, pools = await small(store)
    monitor = make("loadbalancer-healthmonitor", "m", project)
    users = [link(make("loadbalancer-pool", name, project), monitor) for name in ("x", "y")]
    users[0].properties["id_perms"] = {"user_visible": False}
    users[1].properties["display_name"] = '"user_visible":false'
    await create(store, monitor, *users)

    def call(tx: Transaction) -> None:
        assert tx.count("child", project.uuid, "loadbalancer-pool") == 4
        assert tx.count("child", project.uuid, "loadbalancer-pool", hidden=False) == 3
        assert tx.count("child", pools[1].uuid, "loadbalancer-member") == 0
        assert tx.count("grandchild", project.uuid, "loadbalancer-member") == 2
        assert tx.count("grandchild", project.uuid, "loadbalancer-member", hidden=False) == 1
        assert tx.count("referrer", monitor.uuid, "loadbalancer-pool") == 2
        assert tx.count("referrer", monitor.uuid, "loadbalancer-pool", hidden=False) == 1
        assert tx.count("referrer", monitor.uuid, "loadbalancer") == 0

    await store.write(call)


async def test_a_text_inside_of_objects(store: Store) -> None:
    _, project, _ = await small(store)
    named = make("virtual-network", "n", project, route_target_list={"route_target": ["target:100:1"]})
    await create(store, named, make("virtual-network", "m", project))

    def call(tx: Transaction) -> None:
        assert [one.uuid for one in tx.holding("virtual-network", '"target:100:')] == [named.uuid]
        assert tx.holding("virtual-network", '"target:10:') == []
        assert tx.holding("logical-router", '"target:100:') == []
        assert len(tx.holding("virtual-network", "")) == 2

    await store.write(call)


async def test_what_goes_along_because_of_its_name(store: Store) -> None:
    domain, project, _ = await small(store)
    network = make("virtual-network", "default-virtual-network", project)
    instance = make("routing-instance", "default-routing-instance", network)  # derived: goes anyway
    pool = make("floating-ip-pool", "default-floating-ip-pool", network)
    others = [make("virtual-network", name, project) for name in ("default-network-ipam", "default-virtual-network-2")]
    await create(store, network, instance, pool, *others)

    def call(tx: Transaction) -> None:
        found = tx.get(project.uuid)
        assert found is not None
        assert [one.uuid for one in tx.implied(found)] == [network.uuid, pool.uuid]
        assert tx.implied(domain) == []

    await store.write(call)
