"""Point reads and lists."""

from uuid import UUID

import orjson
import pytest
from store_objects import create, link, make, updating

from api_server.store import Create, Link, Object, Point, Store


async def graph(store: Store) -> dict[str, Object]:
    domain = make("domain", "d")
    project = make("project", "p", domain)
    one = {
        "domain": domain,
        "project": project,
        "ipam": make("network-ipam", "ipam", project),
        "policy": make("network-policy", "policy", project),
        "tag": make("tag", "label=x"),
    }
    one["network"] = link(make("virtual-network", "n", project), one["ipam"], attr={"ipam_subnets": []})
    link(one["network"], one["policy"], one["tag"])
    one["instance"] = make("routing-instance", "ri", one["network"])
    one["pool"] = make("floating-ip-pool", "fp", one["network"])
    for name in ("b", "a"):
        one[name] = link(make("virtual-machine-interface", name, project), one["network"], one["instance"])
    await create(store, *one.values())
    return one


async def test_point_read_has_properties_as_text_and_all_links_in_order(store: Store) -> None:
    objects = await graph(store)
    network = objects["network"]
    found, revision = await store.record(Point("virtual-network", network.uuid))
    assert revision == 1
    assert found is not None
    assert (found.type, found.fq_name, found.parent_type) == ("virtual-network", "d:p:n", "project")
    assert found.parent_uuid == objects["project"].uuid
    properties = orjson.loads(found.properties)
    assert properties["display_name"] == "n"
    assert properties["id_perms"]["last_modified"] == found.modified
    ipam, policy, tag = (objects[name] for name in ("ipam", "policy", "tag"))
    assert found.references == [
        Link("network-ipam", ipam.uuid, "d:p:ipam", '{"ipam_subnets":[]}'),
        Link("network-policy", policy.uuid, "d:p:policy", None),
        Link("tag", tag.uuid, "label=x", None),
    ]
    assert [one.uuid for one in found.back_references] == sorted(objects[name].uuid for name in "ab")
    assert {one.uuid for one in found.children} == {objects["instance"].uuid, objects["pool"].uuid}


async def test_point_read_gives_only_what_is_asked(store: Store) -> None:
    objects = await graph(store)
    uuid = objects["network"].uuid
    nothing, _ = await store.record(
        Point("virtual-network", uuid, references=False, back_references=False, children=())
    )
    some, _ = await store.record(
        Point(
            "virtual-network",
            uuid,
            references={"tag"},
            back_references=["instance-ip"],
            children=["floating-ip-pool"],
        )
    )
    assert nothing is not None
    assert some is not None
    assert not any((nothing.references, nothing.back_references, nothing.children))
    assert [[one.type for one in links] for links in (some.references, some.back_references, some.children)] == [
        ["tag"], [], ["floating-ip-pool"],
    ]  # fmt: skip


async def test_point_read_of_nothing_still_knows_the_revision(store: Store) -> None:
    await graph(store)
    found = await store.record(Point("tag", str(UUID(int=0))))
    assert found == (None, 1)


@pytest.mark.parametrize("anchor", ["parents", "back_refs", "uuids", "none"])
async def test_lists_by_each_anchor(store: Store, anchor: str) -> None:
    objects = await graph(store)
    a, b = objects["a"], objects["b"]
    anchors: dict[str, dict[str, list[str]]] = {
        "parents": {"parents": [objects["project"].uuid, "none"]},
        "back_refs": {"back_refs": [objects["network"].uuid]},
        "uuids": {"uuids": [b.uuid, "none", a.uuid, b.uuid]},
        "none": {},
    }
    given = anchors[anchor]
    kind = "virtual-machine-interface"
    found = await store.read(lambda reader: reader.records(kind, **given))
    uuids = [one.uuid for one in found]
    if anchor == "uuids":
        assert uuids == [b.uuid, a.uuid]
    elif anchor == "none":
        assert uuids == [a.uuid, b.uuid]
    else:
        assert uuids == sorted([a.uuid, b.uuid])
    assert await store.read(lambda reader: reader.count(kind, **given)) == 2
    assert (
        await store.read(
            lambda reader: reader.records(kind, **given, parents=["none"]) if "parents" not in given else []
        )
        == []
    )


async def test_uuids_by_names_and_by_keys(store: Store) -> None:
    objects = await graph(store)
    a, b = objects["a"], objects["b"]
    kind = "virtual-machine-interface"
    assert await store.read(lambda reader: reader.by_name(kind, ["d:p:b", "d:p:none", "d:p:a"])) == [b.uuid, a.uuid]
    assert await store.read(lambda reader: reader.by_name("tag", ["d:p:b"])) == []
    made = [make("project", name, objects["domain"]) for name in ("x", "y")]
    await store.write(lambda tx: tx.apply(Create(made[0].copy()), ["first", "both"]))
    await store.write(lambda tx: tx.apply(Create(made[1].copy()), ["second", "both"]))
    both = sorted(one.uuid for one in made)
    assert await store.read(lambda reader: reader.by_keys(["both"])) == both
    second, first = made[1].uuid, made[0].uuid
    assert await store.read(lambda reader: reader.by_keys(["second", "none", "both"])) == [second, first]
    assert await store.read(lambda reader: reader.by_keys([])) == []


async def test_lists_bring_links_by_set(store: Store) -> None:
    objects = await graph(store)
    found = await store.read(
        lambda reader: reader.records(
            "virtual-network", references=True, back_references=["virtual-machine-interface"], children=True
        )
    )
    assert len(found) == 1
    assert [one.type for one in found[0].references] == ["network-ipam", "network-policy", "tag"]
    assert [one.uuid for one in found[0].back_references] == sorted(objects[name].uuid for name in "ab")
    assert len(found[0].children) == 2
    assert [one.properties for one in await store.read(lambda reader: reader.records("tag", properties=False))] == [
        "{}"
    ]


async def test_names_that_mean_something_in_a_list_are_names(store: Store) -> None:
    names = ["NULL", 'a"b', "a\\b", "\\", '"', "{x}", "a,b", " ", "", "'", "\n", "%s", "\\x41", "é", "\N{SNOWMAN}"]
    made = [make("virtual-machine", name) for name in names]
    await create(store, *made)
    found = await store.read(lambda reader: reader.by_name("virtual-machine", names))
    assert found == [one.uuid for one in made]


async def test_unanchored_order_is_by_name_and_uuid_as_one_text(store: Store) -> None:
    names = ["a", "a-b", "a.b", "B", "é", "z", "Z", "a b", "aé"]
    await create(store, *[make("virtual-machine", name) for name in names])
    found = await store.read(lambda reader: reader.records("virtual-machine", properties=False))
    keys = [f"{one.fq_name}:{one.uuid}" for one in found]
    assert keys == sorted(keys)
    pages: list[str] = []
    while True:
        after = pages[-1] if pages else ""
        page = await store.read(lambda reader, after=after: reader.records("virtual-machine", after=after, limit=2))  # type: ignore[misc]
        pages += [f"{one.fq_name}:{one.uuid}" for one in page]
        if len(page) < 2:
            break
    assert pages == keys


async def test_a_snapshot_sees_one_revision(store: Store) -> None:
    domain = make("domain", "d")
    await create(store, domain)
    with_all = await store.read(lambda reader: [reader.count("domain"), len(reader.records("domain")), reader.revision])
    assert with_all == [1, 1, 1]

    def several(reader):  # type: ignore[no-untyped-def]
        with reader.snapshot() as revision:
            return revision, reader.revision, [one.fq_name for one in reader.records("domain")]

    await store.write(updating(domain.uuid, lambda one: None))
    assert await store.read(several) == (2, 2, ["d"])


async def test_many_uuids_in_one_list(store: Store) -> None:
    machines = [make("virtual-machine", f"v{number}") for number in range(3000)]
    await store.write(lambda tx: None)
    await create(store, *machines)
    uuids = [one.uuid for one in machines]
    found = await store.read(lambda reader: reader.records("virtual-machine", uuids=uuids, references=True))
    assert [one.uuid for one in found] == uuids
