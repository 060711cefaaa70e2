"""Interfaces of other nodes: where they are reached, and where they are when they move."""

from ipaddress import IPv4Address

import pytest
from object_graph import Graph, refs
from world import World

from vrouter.state import Interface, Remote, Tunnel, Vtep

N1, N2 = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def world() -> World:
    """The lab; pod b is on node n2."""
    graph = Graph()
    graph.lab()
    graph.node("n1", "vm-a", address=N1)
    graph.node("n2", "vm-b", address=N2)
    return World(graph)


def test_an_interface_of_another_node_is_a_member(world: World) -> None:
    remote = Remote("if-b", "d:p:if-b", 5, (IPv4Address("10.0.0.2"),), Tunnel(IPv4Address(N2)))
    assert world.unit("remote", 5, "if-b") == remote
    assert world.unit("interface", "if-b") is None
    assert world.backends() == ["if-a", "if-b"]
    assert world.reasons == {}


def test_a_vrf_has_its_nodes_address_and_its_own_number(world: World) -> None:
    assert world.unit("vrf", 5).vtep == Vtep(IPv4Address(N1), 5)
    world.graph.change("vn", virtual_network_properties={"vxlan_network_identifier": 7001})
    assert world.follow() == {("vrf", 5)}
    assert world.unit("vrf", 5).vtep == Vtep(IPv4Address(N1), 7001)


def test_nothing_is_made_of_a_network_without_an_interface_here(world: World) -> None:
    world.graph.node("n2", "vm-a", "vm-b", address=N2)
    world.graph.node("n1", address=N1)
    world.follow()
    assert dict(world.compiler.desired) == {}


def test_remote_interfaces_come_and_go_with_the_first_and_last_of_this_node(world: World) -> None:
    world.graph.node("n1", address=N1)
    world.follow()
    assert world.unit("remote", 5, "if-b") is None
    world.graph.node("n1", "vm-a", address=N1)
    assert ("remote", 5, "if-b") in world.follow()


def test_an_interface_moves_to_another_node_and_back(world: World) -> None:
    world.graph.node("n1", address=N1)
    world.graph.node("n1", "vm-a", "vm-b", address=N1)
    world.graph.node("n2", address=N2)
    changed = world.follow()
    assert changed == {("interface", "if-b"), ("remote", 5, "if-b")}
    assert isinstance(world.unit("interface", "if-b"), Interface)
    assert world.unit("remote", 5, "if-b") is None
    assert world.backends() == ["if-a", "if-b"]
    world.graph.node("n1", "vm-a", address=N1)
    world.graph.node("n2", "vm-b", address=N2)
    assert world.follow() == changed
    assert world.unit("interface", "if-b") is None
    assert isinstance(world.unit("remote", 5, "if-b"), Remote)


def test_while_two_nodes_have_it_an_interface_is_on_the_first_by_name(world: World) -> None:
    world.graph.node("n0", "vm-a", address="192.0.2.9")
    world.graph.node("n2", "vm-a", "vm-b", address=N2)
    world.follow()
    assert world.unit("interface", "if-a") is None
    assert world.reasons["if-a"] == "interface if-a is on several nodes: n0, n1, n2; it counts as on n0"
    world.graph.node("n0", address="192.0.2.9")
    assert ("interface", "if-a") in world.follow()
    assert world.reasons["if-a"] == "interface if-a is on several nodes: n1, n2; it counts as on n1"


def test_a_node_that_moves_takes_its_interfaces_along(world: World) -> None:
    world.graph.node("n2", "vm-b", address="192.0.2.77")
    assert world.follow() == {("remote", 5, "if-b")}
    assert world.unit("remote", 5, "if-b").via == Tunnel(IPv4Address("192.0.2.77"))


def test_a_pod_that_starts_elsewhere_touches_itself_alone(world: World) -> None:
    world.graph.node("n2", "vm-b", world.graph.pod("c", "vn", "10.0.0.3"), address=N2)
    assert world.follow() == {("remote", 5, "if-c")}


@pytest.mark.parametrize(
    ("own", "other", "why"),
    [
        (None, N2, ", and this node's virtual-router has no virtual_router_ip_address"),
        ("nonsense", N2, ", and this node's virtual-router has no virtual_router_ip_address"),
        ("0.0.0.0", N2, ", and this node's virtual-router has no virtual_router_ip_address"),
        (N1, None, ", whose virtual-router has no virtual_router_ip_address"),
        (N1, "fd00::2", ", whose address fd00::2 is not of the family of this node's"),
        (N1, N1, f", whose virtual-router has this node's address {N1}"),
    ],
)
def test_a_node_to_which_no_tunnel_leads(world: World, own: str | None, other: str | None, why: str) -> None:
    world.graph.node("n1", "vm-a", address=own)
    world.graph.node("n2", "vm-b", address=other)
    world.follow()
    assert world.unit("remote", 5, "if-b") is None
    assert world.backends() == ["if-a"]
    assert world.reasons == {"mb": f"member mb: interface if-b is on node n2{why}"}


def test_members_are_probed_where_they_have_clients(world: World) -> None:
    world.graph.put("loadbalancer-healthmonitor", "hm", loadbalancer_healthmonitor_properties={
        "monitor_type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1,
    })  # fmt: skip
    world.graph.change("pool-lb-80", loadbalancer_healthmonitor_refs=refs("hm"))
    world.follow()
    assert {uuid: (one.interface, one.vrf) for uuid, one in world.compiler.checks.items()} == {
        "ma": ("if-a", 5), "mb": ("if-b", 5),
    }  # fmt: skip
    world.graph.node("n1", address=N1)
    world.follow()
    assert dict(world.compiler.checks) == {}


def test_an_address_of_two_nodes_is_the_oldest_ones_everywhere(world: World) -> None:
    world.graph.change("if-a", id_perms={"created": "2"})
    world.graph.change("if-b", id_perms={"created": "1"})
    world.graph.change("ip-if-a", instance_ip_address="10.0.0.2")
    world.follow()
    assert world.unit("remote", 5, "if-b") is not None
    assert world.unit("interface", "if-a") is None
    assert "is already that of interface d:p:if-b" in world.reasons["if-a"]


def test_a_member_of_another_node_that_is_not_whole_has_the_reason(world: World) -> None:
    world.graph.delete("ip-if-b")
    world.graph.member("mb", "pool-lb-80", vmi="if-b")
    world.follow()
    assert world.reasons == {"mb": "member mb: interface if-b has no instance-ip"}
