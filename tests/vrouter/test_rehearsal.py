"""What changes would do is what they do, and asking does nothing."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from object_graph import Graph, refs
from random_objects import STEPS, wired
from world import World

from api_client import Event, Events
from vrouter.compiler import Compiler
from vrouter.differences import Line, tell
from vrouter.rehearsal import BadChange, events_of, rehearse


def state(value: Any) -> Any:
    """All that a compiler or cache holds, as values."""
    parts = vars(value).items()
    return {name: state(part) if hasattr(part, "__dict__") else deepcopy(part) for name, part in parts}


def events(steps: list[Any], graph: Graph) -> list[Event]:
    for (of_type, uuid, fields), what in steps:
        if not what.startswith("delete"):
            graph.put(of_type, uuid, **fields)
        elif uuid in graph.objects:
            graph.delete(uuid)
    return list(graph.events().events)


@settings(max_examples=200, deadline=None)
@given(STEPS, STEPS, st.booleans())
def test_what_is_rehearsed_is_what_happens_and_nothing_is_touched(pending: Any, steps: Any, start_wired: bool) -> None:
    world = World(wired() if start_wired else None)
    compiler = world.compiler
    # the agent has seen these, and not come to them
    compiler.touch(world.cache.apply(Events(events(pending, world.graph), 1)))
    changes = events(steps, world.graph)
    before = state(compiler)
    rehearsal = rehearse(compiler, changes)
    tell(compiler, rehearsal)
    assert state(compiler) == before

    compiler.compile()
    compiler.take_changed()
    desired, reasons = dict(compiler.desired), set(compiler.reasons())
    compiler.touch(world.cache.apply(Events(changes, 2)))
    compiler.compile()
    done = {key: compiler.desired.get(key) for key in compiler.take_changed()}
    assert {each.key: each.after for each in rehearsal.differences} == {
        key: unit for key, unit in done.items() if unit != desired.get(key)
    }
    assert all(each.before == desired.get(each.key) for each in rehearsal.differences)
    after = set(compiler.reasons())
    assert set(rehearsal.found) == after - reasons
    assert set(rehearsal.lost) == {one for one in reasons - after if world.cache.get(one.subject[1])}


def test_what_somebody_else_says_already_is_not_found(world: World) -> None:
    graph = world.graph
    graph.put("loadbalancer-healthmonitor", "hm", loadbalancer_healthmonitor_properties={"monitor_type": "MAGIC"})
    for pool in ("one", "two"):
        graph.put("loadbalancer-pool", pool, loadbalancer_healthmonitor_refs=refs("hm"))
        rehearsal = rehearse(world.compiler, changes := graph.events().events)
        assert {one.subject[1] for one in rehearsal.found} == ({"hm", pool} if pool == "one" else {pool})
        world.compiler.touch(world.cache.apply(Events(changes, 2)))
    graph.delete("one")
    assert not rehearse(world.compiler, graph.events().events).lost


@pytest.fixture
def world() -> World:
    graph = Graph()
    graph.lab()
    graph.pod("c", "vn", "10.0.0.3")
    graph.node("n1", "vm-a", "vm-b", "vm-c")
    return World(graph)


def told(world: World) -> dict[str, list[str]]:
    """What happened in the graph since, in words: title and change -> lines; `!` where connections end."""
    compiler: Compiler = world.compiler
    units = tell(compiler, rehearse(compiler, world.graph.events().events))
    return {f"{one.title} {one.change}": [_text(line) for line in one.lines] for one in units}


def _text(line: Line) -> str:
    return f"{'  ' * line.depth}{'!' if line.cuts else line.sign} {line.text}"


VIP = "VIP 10.0.0.100 in VRF d:p:vn:vn, service d:p:lb"


def test_members_that_come_go_and_change(world: World) -> None:
    graph = world.graph
    graph.member("mc", "pool-lb-80", vmi="if-c", weight=2)
    graph.link("lb", "if-a", "if-b", "if-c")
    graph.member("ma", "pool-lb-80", vmi="if-a", protocol_port=8081)
    graph.change("mb", loadbalancer_member_properties={"address": "10.0.0.2", "protocol_port": 8080, "weight": 0})
    assert told(world) == {f"{VIP} changes": [
        "~ tcp port 80: 2 members",
        "  ~ 10.0.0.1:8081 (d:p:if-a) instead of 10.0.0.1:8080: open connections stay with the old one",
        "  - 10.0.0.2:8080 (d:p:if-b): no new connections; its open ones go on",
        "  + 10.0.0.3:8080 (d:p:if-c), weight 2: 67 % of new connections",
    ]}  # fmt: skip


def test_a_weight(world: World) -> None:
    world.graph.member("ma", "pool-lb-80", vmi="if-a", weight=3)
    lines = told(world)[f"{VIP} changes"]
    assert lines == ["~ tcp port 80: 2 members", "  ~ 10.0.0.1:8080 (d:p:if-a): weight 1 -> 3, 75 % of new connections"]


def test_the_last_member_and_a_listener(world: World) -> None:
    world.graph.delete("ma", "mb")
    world.graph.listener("lb", 53, "UDP")
    lines = told(world)[f"{VIP} changes"]
    assert lines[0] == "~ tcp port 80: 0 members instead of 2: every new connection is refused"
    assert lines[-1] == "+ udp port 53: 0 members: every new connection is refused"
    assert not any("!" in line for line in lines)


def test_what_cuts_connections(world: World) -> None:
    graph = world.graph
    graph.node("n1", "vm-a", "vm-c")
    graph.change("ls-lb-80", loadbalancer_listener_properties={"protocol": "TCP", "protocol_port": 81})
    graph.change("ip-if-a", instance_ip_address="10.0.0.9")
    assert told(world) == {
        "interface d:p:if-a changes": [
            "~ addresses: 10.0.0.1 via 10.0.0.254 -> 10.0.0.9 via 10.0.0.254",
            "! it is made anew: connections open through it end",
        ],
        "interface d:p:if-b goes": ["! 10.0.0.2: connections open through it end"],
        f"{VIP} changes": [
            "! tcp port 80: connections open to it end, new ones are refused",
            "+ tcp port 81: 1 member",
            "  + 10.0.0.9:8080 (d:p:if-a), weight 1: 100 % of new connections",
        ],
    }  # fmt: skip


def test_a_member_goes_with_its_pod(world: World) -> None:
    world.graph.node("n1", "vm-a", "vm-c")
    assert told(world)[f"{VIP} changes"] == [
        "~ tcp port 80: 1 member instead of 2",
        "  ! 10.0.0.2:8080 (d:p:if-b): its connections end with its interface",
    ]


def test_units_that_come_and_go(world: World) -> None:
    world.graph.network("other", 6)
    world.graph.node("n1", "vm-a", "vm-b", "vm-c", world.graph.pod("d", "other", "10.1.0.1"))
    world.graph.delete("lb")
    assert told(world) == {
        "VRF d:p:other:other comes": [],
        "interface d:p:if-d comes": ["+ 10.1.0.1 in VRF d:p:other:other, workload d"],
        f"{VIP} goes": ["! tcp port 80: connections open to it end, new ones are refused"],
    }


def test_a_rename_cuts_nothing(world: World) -> None:
    world.graph.change("if-a", fq_name=["d", "p", "new"])
    assert told(world) == {"interface d:p:new changes": ["~ name: d:p:if-a -> d:p:new"]}


def test_who_would_not_get_an_address(world: World) -> None:
    world.graph.service("late", "vn", "10.0.0.100", 80)
    world.graph.change("late", id_perms={"created": "2026"})
    rehearsal = rehearse(world.compiler, world.graph.events().events)
    assert rehearsal.differences == []
    texts = {reason.code: reason.text for reason in rehearsal.found}
    assert texts["address-taken"] == ("d:p:late: the address 10.0.0.100 is already that of service d:p:lb in this VRF")


def test_a_reason_that_would_be_gone(world: World) -> None:
    world.graph.member("md", "pool-lb-80", address="10.0.0.77")
    world.follow()
    world.graph.change("ip-if-c", instance_ip_address="10.0.0.77")
    world.graph.link("lb", "if-a", "if-b", "if-c")
    rehearsal = rehearse(world.compiler, world.graph.events().events)
    assert rehearsal.found == []
    assert [reason.subject[1] for reason in rehearsal.lost] == ["md"]


def test_other_nodes_pods_change_nothing_here(world: World) -> None:
    world.graph.node("n2", world.graph.pod("far", "vn", "10.0.0.50"))
    world.graph.put("virtual-machine", "vm-elsewhere")
    assert told(world) == {}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "changes must be a list"),
        ([3], "change 1 is not an object"),
        ([{"operation": "move", "type": "loadbalancer", "uuid": "u"}], "change 1: operation must be one of create"),
        ([{"operation": "delete", "type": "loadbalancer"}], "change 1: type and uuid must be texts"),
        ([{"operation": "create", "type": "loadbalancer", "uuid": "u"}], "change 1: object is no loadbalancer"),
        (
            [{"operation": "create", "type": "loadbalancer", "uuid": "u", "object": {"uuid": "v", "fq_name": ["x"]}}],
            "change 1: object has another uuid than u",
        ),
    ],
)
def test_changes_that_are_none(changes: Any, text: str) -> None:
    with pytest.raises(BadChange, match=text):
        events_of(changes)


def test_types_that_the_agent_does_not_know_are_left_out() -> None:
    changes = [
        {"operation": "create", "type": "project", "uuid": "p", "object": {"uuid": "p"}},
        {"operation": "update", "type": "virtual_machine", "uuid": "m", "object": {"uuid": "m", "fq_name": ["m"]}},
        {"operation": "delete", "type": "loadbalancer", "uuid": "l", "object": {"fq_name": ["l"]}},
    ]
    assert [(event.kind, event.type, event.uuid) for event in events_of(changes)] == [
        ("update", "virtual-machine", "m"), ("delete", "loadbalancer", "l"),
    ]  # fmt: skip
