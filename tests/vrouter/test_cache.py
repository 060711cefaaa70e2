from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from object_graph import Graph, refs

from vrouter.cache import SLICE, Cache, children_of, holders_of, name_of, referrers_of


def load(cache: Cache, graph: Graph) -> set[Any]:
    return {fact for facts in cache.replace(graph.snapshot()) for fact in facts}


def loaded(graph: Graph) -> Cache:
    cache = Cache()
    load(cache, graph)
    return cache


def test_it_holds_what_is_read_and_nothing_else() -> None:
    graph = Graph()
    graph.put("virtual-machine", "vm", fq_name=["web-0"], perms2={"owner": "x"}, annotations={}, display_name="w")
    graph.put(
        "loadbalancer", "lb", fq_name=["d", "p", "lb"], parent_type="project", parent_uuid="p",
        loadbalancer_provider="native", id_perms={"created": "2026-01-02T03:04:05.000006", "enable": True},
        virtual_machine_interface_refs=refs("i"),
    )  # fmt: skip
    cache = loaded(graph)
    machine, service = cache.get("vm"), cache.get("lb")
    assert machine is not None
    assert service is not None
    assert msgspec.to_builtins(machine) == {
        "uuid": "vm", "fq_name": ("web-0",), "parent_type": None, "parent_uuid": None,
    }  # fmt: skip
    assert service.get("loadbalancer_provider") == "native"
    assert service.get("loadbalancer_properties") is None
    assert service.created == "2026-01-02T03:04:05.000006"
    assert service.targets("virtual-machine-interface") == ["i"]
    assert (service.parent_type, service.parent) == ("project", "p")
    assert cache.counts()["loadbalancer"] == 1


def test_back_references_children_and_addresses_are_computed() -> None:
    graph = Graph()
    graph.lab()
    cache = loaded(graph)
    assert cache.linked(referrers_of("if-a", "instance-ip")) == ["ip-if-a"]
    assert cache.linked(referrers_of("if-a", "floating-ip")) == ["fip-lb"]
    assert cache.linked(children_of("pool-lb-80", "loadbalancer-member")) == ["ma", "mb"]
    assert cache.linked(holders_of("10.0.0.100")) == ["ip-vip-lb"]
    assert cache.linked(referrers_of("nothing", "instance-ip")) == []


def test_a_change_names_the_facts_it_changed() -> None:
    graph = Graph()
    graph.lab()
    cache = loaded(graph)
    graph.link("lb", "if-b")
    below = children_of("ip-vip-lb", "floating-ip")  # who reads the children reads what they say, too
    assert cache.apply(graph.events()) == {"fip-lb", referrers_of("if-a", "floating-ip"), below}
    graph.change("ip-if-a", instance_ip_address="10.0.0.9")
    assert cache.apply(graph.events()) == {"ip-if-a", holders_of("10.0.0.1"), holders_of("10.0.0.9")}
    graph.delete("ma")
    assert cache.apply(graph.events()) == {"ma", name_of("ma"), children_of("pool-lb-80", "loadbalancer-member")}
    assert cache.get("ma") is None
    assert cache.revision == 3


def test_what_does_not_matter_changes_nothing() -> None:
    graph = Graph()
    graph.lab()
    cache = loaded(graph)
    graph.change("ma", display_name="new", perms2={"owner": "x"})
    assert cache.apply(graph.events()) == set()
    assert cache.revision == 1


def test_a_later_snapshot_is_compared_with_what_is_held() -> None:
    graph = Graph()
    graph.lab()
    cache = loaded(graph)
    graph.delete("mb")
    graph.member("ma", "pool-lb-80", vmi="if-b")
    assert load(cache, graph) == {"ma", "mb", name_of("mb"), children_of("pool-lb-80", "loadbalancer-member")}
    assert load(cache, graph) == set()


def test_a_large_snapshot_comes_in_slices() -> None:
    graph = Graph()
    for number in range(2 * SLICE + 1):
        graph.put("virtual-machine", f"vm{number}")
    slices = list(Cache().replace(graph.snapshot()))
    assert len(slices) == 3
    assert sum(map(len, slices)) == 2 * SLICE + 1


def test_a_delta_may_begin_before_the_rest_is_there() -> None:
    graph = Graph()
    graph.lab()
    events = graph.events()
    together, apart = Cache(), Cache()
    middle = len(events.events) // 2
    changed = {fact for one in events.events[:middle] for fact in apart.begin(one.type, [one.object])}
    assert not apart.whole
    assert changed | apart.apply(replace(events, events=events.events[middle:])) == together.apply(events)
    assert apart.whole
    assert [apart.get(one.uuid) for one in events.events] == [together.get(one.uuid) for one in events.events]


def test_an_unknown_object_may_be_deleted() -> None:
    graph = Graph()
    graph.put("virtual-machine", "vm")
    graph.delete("vm")
    cache = Cache()
    assert cache.apply(graph.events()) == {"vm", name_of("vm")}
    assert cache.apply(graph.events()) == set()


def test_people_find_objects_by_uuid_and_by_name() -> None:
    graph = Graph()
    graph.lab()
    cache = loaded(graph)
    assert [found.uuid for found in cache.find("lb")] == ["lb"]
    assert [found.uuid for found in cache.find("d:p:if-a")] == ["if-a"]
    assert [found.type for found in cache.find("n1")] == ["virtual-router"]
    assert cache.find("nobody") == []


UUIDS = st.sampled_from("abcdef")
TARGETS = st.lists(UUIDS, max_size=3, unique=True)
STEPS = st.lists(st.tuples(UUIDS, TARGETS, UUIDS | st.none(), st.booleans()), max_size=40)


@given(STEPS)
def test_indexes_agree_with_the_objects(steps: list[Any]) -> None:
    graph, cache = Graph(), Cache()
    for uuid, targets, parent, keep in steps:
        if keep:
            graph.put("floating-ip", uuid, virtual_machine_interface_refs=refs(*targets), parent_uuid=parent)
        elif uuid in graph.objects:
            graph.delete(uuid)
        cache.apply(graph.events())
    for uuid in "abcdef":
        bodies = {other: body for other, (_, body) in graph.objects.items()}
        referring = [other for other, body in bodies.items()
                     if uuid in [row["uuid"] for row in body["virtual_machine_interface_refs"]]]  # fmt: skip
        children = [other for other, body in bodies.items() if body["parent_uuid"] == uuid]
        assert cache.linked(referrers_of(uuid, "floating-ip")) == sorted(referring)
        assert cache.linked(children_of(uuid, "floating-ip")) == sorted(children)
    assert cache.of_type("floating-ip") == sorted(graph.objects)
