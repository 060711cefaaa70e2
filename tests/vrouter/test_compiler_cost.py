"""What a change costs the compiler: as many looks into the cache, whatever stands beside it."""

import pytest
from object_graph import Graph
from world import World

from vrouter.cache import Cache


def pods_of_many(services: int) -> World:
    """Two pods that answer for all of so many services, and one to spare."""
    graph = Graph()
    graph.lab()
    graph.pod("c", "vn", "10.0.0.3")
    graph.node("n1", "vm-a", "vm-b", "vm-c")
    for number in range(services):
        name = f"s{number}"
        graph.service(name, "vn", f"10.0.1.{number}", 80)
        graph.member(f"{name}-a", f"pool-{name}-80", vmi="if-a")
        graph.member(f"{name}-b", f"pool-{name}-80", vmi="if-b")
        graph.link(name, "if-a", "if-b")
    return World(graph)


def come(graph: Graph) -> None:
    graph.member("new", "pool-s0-80", vmi="if-c")
    graph.change("fip-s0", virtual_machine_interface_refs=[{"uuid": f"if-{one}"} for one in "abc"])


def go(graph: Graph) -> None:
    graph.delete("s0-a")
    graph.change("fip-s0", virtual_machine_interface_refs=[{"uuid": "if-b"}])


def looks(services: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Objects and links that are looked at when a member comes, and when one goes."""
    world, seen = pods_of_many(services), 0
    get, linked = Cache.get, Cache.linked

    def counted_get(cache: Cache, uuid: str) -> object:
        nonlocal seen
        seen += 1
        return get(cache, uuid)

    def counted_linked(cache: Cache, fact: object) -> object:
        nonlocal seen
        found = linked(cache, fact)  # type: ignore[arg-type]
        seen += 1 + len(found)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Cache, "get", counted_get)
        patch.setattr(Cache, "linked", counted_linked)
        counts = []
        for change in (come, go):
            change(world.graph)
            before = seen
            world.compiler.touch(world.cache.apply(world.graph.events()))
            world.compiler.compile()
            assert world.compiler.take_changed() == {("vip", 5, "10.0.1.0")}
            counts.append(seen - before)
    return counts


def test_a_change_looks_at_no_other_service(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = looks(2, monkeypatch), looks(60, monkeypatch)
    assert few == many
    assert max(few) < 100
