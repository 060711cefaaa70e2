"""Which networks are joined, what is reached through a join, and what clashes."""

from ipaddress import ip_address
from typing import Any

import pytest
from object_graph import Graph, pass_rule, refs
from world import World

from vrouter.state import Egress, Exit, Join, Link, Outside, Remote, Uplink

ANY = {"virtual_network": "any"}
POD, SERVICE, OTHER = ({"virtual_network": f"d:p:{name}"} for name in ("pods", "services", "other"))
TCP = {"protocol": "tcp"}
DENY = {"action_list": {"simple_action": "deny"}}


def two(*rules: dict[str, Any], pods: str = "10.0.0.1", others: str = "10.0.1.1") -> World:
    """Networks `pods` (VRF 5) and `other` (VRF 7) with an interface each, and a policy of these rules on both."""
    graph = Graph()
    graph.network("pods", 5, policies=["np"])
    graph.network("other", 7, policies=["np"])
    graph.policy("np", *rules)
    graph.node("n1", graph.pod("a", "pods", pods), graph.pod("b", "other", others))
    return World(graph)


def reached(world: World) -> dict[tuple[int, str], bool]:
    """(VRF, interface of another network) -> guarded."""
    return {(unit.vrf, unit.uuid): unit.guarded for unit in world.compiler.desired.values() if isinstance(unit, Remote)}


def test_both_reach_each_other() -> None:
    world = two(pass_rule(POD, OTHER))
    assert world.unit("join", 5, 7) == Join(5, 7)
    assert world.unit("remote", 5, "if-b") == Remote("if-b", "d:p:if-b", 5, (ip_address("10.0.1.1"),), Link(7))
    assert reached(world) == {(5, "if-b"): False, (7, "if-a"): False}


def test_who_may_only_answer_is_guarded() -> None:
    assert reached(two(pass_rule(POD, OTHER, ">"))) == {(5, "if-b"): False, (7, "if-a"): True}


@pytest.mark.parametrize(
    "rules",
    [
        [], [pass_rule(POD, POD)], [pass_rule(POD, OTHER) | DENY], [pass_rule(POD, OTHER) | DENY, pass_rule(ANY, ANY)],
    ],
)  # fmt: skip
def test_what_no_rule_lets_pass_is_not_joined(rules: list[dict[str, Any]]) -> None:
    world = two(*rules)
    assert reached(world) == {}
    assert world.unit("join", 5, 7) is None
    assert world.reasons == {}


def test_the_first_rule_decides() -> None:
    assert reached(two(pass_rule(POD, OTHER), pass_rule(ANY, ANY) | DENY))
    only = two(pass_rule(POD, OTHER, ">") | DENY, pass_rule(ANY, ANY))
    assert reached(only) == {(5, "if-b"): True, (7, "if-a"): False}


@pytest.mark.parametrize(
    ("narrow", "text"),
    [
        ({"protocol": "tcp"}, "protocol tcp"),
        ({"dst_ports": [{"start_port": 80, "end_port": 80}]}, "dst_ports 80-80"),
        ({"src_addresses": [{**POD, "subnet": {"ip_prefix": "10.0.0.0"}}]}, "a subnet of its src_addresses"),
        ({"action_list": {"simple_action": "pass", "apply_service": ["d:p:firewall"]}}, "a service instance"),
    ],
)
def test_what_a_route_knows_nothing_of_joins_nothing_and_is_told(narrow: dict[str, Any], text: str) -> None:
    world = two(pass_rule(POD, OTHER) | narrow)
    assert reached(world) == {}
    assert text in world.reasons["np"]
    assert "joins nothing" in world.reasons["np"]


def test_what_is_denied_in_part_is_denied() -> None:
    world = two(pass_rule(POD, OTHER) | TCP | DENY, pass_rule(ANY, ANY))
    assert reached(world) == {}
    assert "all is denied" in world.reasons["np"]


def test_what_passes_in_part_and_then_whole_passes() -> None:
    world = two(pass_rule(POD, OTHER) | TCP, pass_rule(ANY, ANY))
    assert reached(world) == {(5, "if-b"): False, (7, "if-a"): False}
    assert world.reasons == {}


def test_policies_have_a_sequence() -> None:
    world = two(pass_rule(POD, OTHER))
    world.graph.policy("a-deny", pass_rule(ANY, ANY) | DENY)
    last = [*refs("a-deny", attr={"sequence": {"major": 2, "minor": 0}}), *refs("np", attr={"sequence": {"major": 1}})]
    world.graph.change("pods", network_policy_refs=last)
    world.follow()
    assert reached(world)
    world.graph.change("pods", network_policy_refs=[*refs("a-deny"), *refs("np", attr={"sequence": {"major": 1}})])
    world.follow()
    assert reached(world) == {}


def test_ports_that_are_all_ports_are_none() -> None:
    every = [{"start_port": -1, "end_port": -1}, {"start_port": 0, "end_port": 65535}]
    assert reached(two(pass_rule(POD, OTHER) | {"src_ports": every, "dst_ports": every}))


def test_nothing_is_made_in_a_network_without_an_interface_here() -> None:
    world = two(pass_rule(POD, OTHER))
    world.graph.node("n1", "vm-a")
    assert world.follow() == {
        ("interface", "if-b"), ("vrf", 7), ("join", 5, 7), ("remote", 5, "if-b"), ("remote", 7, "if-a"),
    }  # fmt: skip


def test_two_networks_with_one_address_are_not_joined() -> None:
    world = two(pass_rule(POD, OTHER), others="10.0.0.1")
    assert reached(world) == {}
    assert world.reasons["pods"] == (
        "network d:p:pods is not joined with d:p:other, for the address 10.0.0.1 is that of interface if-a here and of "
        "interface if-b there"
    )
    assert "interface if-b here and of interface if-a there" in world.reasons["other"]
    world.graph.change("ip-if-b", instance_ip_address="10.0.1.1")
    world.follow()
    assert reached(world)
    assert world.reasons == {}


def test_an_address_of_no_node_clashes_all_the_same() -> None:
    """Every node must come to the same."""
    world = two(pass_rule(POD, OTHER))
    world.graph.interface("if-x", "other", "10.0.0.1")
    world.follow()
    assert reached(world) == {}
    assert "if-x" in world.reasons["pods"]


def three(*, older: str) -> World:
    """`pods` is joined with `other` and with `services`, which share an address."""
    graph = Graph()
    graph.network("pods", 5, policies=["np", "nq"])
    graph.network("other", 7, policies=["np"])
    graph.network("services", 6, policies=["nq"])
    for policy in ("np", "nq"):
        graph.policy(policy, pass_rule(ANY, ANY))
    graph.node("n1", graph.pod("a", "pods", "10.0.0.1"), graph.pod("b", "other", "10.9.0.1"),
               graph.pod("c", "services", "10.9.0.1"))  # fmt: skip
    for uuid in ("if-b", "if-c"):
        graph.change(uuid, id_perms={"created": "1" if uuid == older else "2"})
    return World(graph)


@pytest.mark.parametrize(("older", "vrf", "newer"), [("if-b", 7, "services"), ("if-c", 6, "other")])
def test_of_two_that_share_an_address_the_older_is_joined_with_a_third(older: str, vrf: int, newer: str) -> None:
    world = three(older=older)
    assert set(reached(world)) == {(5, older), (vrf, "if-a")}
    assert f"network d:p:{newer} is not joined with d:p:pods" in world.reasons[newer]
    assert "10.9.0.1" in world.reasons[newer]


# --- a service for networks that nothing joins to its members'


def isolated() -> World:
    """Clients in `pods`, the member in `other`; both are joined with `services` only."""
    graph = Graph()
    graph.network("services", 6, policies=["np", "nq"])
    graph.network("pods", 5, policies=["np"])
    graph.network("other", 7, policies=["nq"])
    graph.policy("np", pass_rule(POD, SERVICE))
    graph.policy("nq", pass_rule(OTHER, SERVICE))
    graph.node("n1", graph.pod("a", "pods", "10.0.0.1"), graph.pod("b", "other", "10.0.1.1"),
               graph.pod("c", "other", "10.0.1.2"))  # fmt: skip
    graph.service("dns", "services", "10.96.0.10", 53)
    graph.member("mb", "pool-dns-53", vmi="if-b")
    graph.link("dns", "if-b")
    return World(graph)


def test_members_are_shown_to_clients_guarded_and_nobody_else_is() -> None:
    world = isolated()
    assert world.backends(5, "10.96.0.10") == world.backends(7, "10.96.0.10") == ["if-b"]
    assert reached(world) == {(5, "if-b"): True, (7, "if-a"): True}
    assert world.reasons == {}


def test_they_are_hidden_again_when_the_service_ends() -> None:
    world = isolated()
    world.graph.delete("mb")
    world.graph.link("dns")
    world.follow()
    assert reached(world) == {}
    assert world.unit("join", 5, 7) is None


def test_a_member_whose_network_the_service_does_not_know_has_a_reason() -> None:
    world = isolated()
    world.graph.network("other", 7)
    world.follow()
    assert world.backends(5, "10.96.0.10") == []
    assert world.reasons["mb"].endswith("to which no network-policy joins the VIP's network d:p:services")
    assert reached(world) == {}


# --- addresses outside


def second(world: World, interface: str) -> None:
    """A floating-ip of another external network (VRF 10)."""
    world.graph.network("second", 10)
    world.graph.change("second", router_external=True)
    world.graph.put("floating-ip-pool", "pool2", fq_name=["d", "p", "second", "pool2"], parent_type="virtual-network",
                    parent_uuid="second")  # fmt: skip
    world.graph.put("floating-ip", "out2", parent_type="floating-ip-pool", parent_uuid="pool2",
                    floating_ip_address="203.0.114.5", virtual_machine_interface_refs=refs(interface),
                    id_perms={"created": "2"})  # fmt: skip
    world.follow()


@pytest.mark.parametrize(
    ("interface", "text"),
    [
        ("vip-web", "its members answer by another external network already, so 203.0.114.5 is not served"),
        ("if-a", "VRF 5 has its way out by VRF 9, not by 10: what comes from outside by the latter is not answered"),
    ],
)
def test_a_vrf_has_one_way_out(interface: str, text: str) -> None:
    world = public()
    second(world, interface)
    assert world.unit("exit", 5, 4) == Exit(5, 4, 9)
    assert text in world.reasons["out2"]


def public(*, device: str | None = "eth9") -> World:
    """A service whose VIP has a floating-ip of the external network `public` (VRF 9), with a member here and one on
    node n2."""
    graph = Graph()
    graph.network("services", 6, policies=["np"])
    graph.network("pods", 5, policies=["np"])
    graph.policy("np", pass_rule(POD, SERVICE))
    graph.network("public", 9)
    graph.change("public", router_external=True)
    graph.put("floating-ip-pool", "pool", fq_name=["d", "p", "public", "pool"], parent_type="virtual-network",
              parent_uuid="public")  # fmt: skip
    graph.node("n1", graph.pod("a", "pods", "10.0.0.1"), address="192.0.2.1")
    graph.node("n2", graph.pod("b", "pods", "10.0.0.2"), address="192.0.2.2")
    graph.service("web", "services", "10.96.0.1", 80)
    for name in "ab":
        graph.member(f"m{name}", "pool-web-80", vmi=f"if-{name}")
    graph.link("web", "if-a", "if-b")
    graph.put("floating-ip", "out", parent_type="floating-ip-pool", parent_uuid="pool",
              floating_ip_address="203.0.113.5", virtual_machine_interface_refs=refs("vip-web"))  # fmt: skip
    return World(graph, external=device)


def test_an_address_outside_is_served_by_the_members_of_this_node() -> None:
    world = public()
    assert world.reasons == {}
    address = ip_address("203.0.113.5")
    assert world.unit("outside", 9, "203.0.113.5") == Outside(9, address, "d:p:web", announced=True)
    assert world.unit("uplink", 9) == Uplink(9, "eth9")
    assert world.unit("exit", 9, 4) == Exit(9, 4, None)
    assert world.unit("exit", 5, 4) == Exit(5, 4, 9)
    assert world.unit("join", 5, 9) == Join(5, 9)
    assert world.unit("vrf", 9).name == "d:p:public:public"
    assert world.backends(9, "203.0.113.5") == ["if-a"]
    assert reached(world)[9, "if-a"] is True
    assert (9, "if-b") not in reached(world)


def test_pods_reach_it_without_going_out() -> None:
    assert public().backends(5, "203.0.113.5") == ["if-a", "if-b"]
    assert public(device=None).backends(5, "203.0.113.5") == ["if-a", "if-b"]


def test_a_node_without_members_serves_nothing_outside() -> None:
    world = public()
    world.graph.link("web", "if-b")
    world.follow()
    assert not any(key[0] in ("outside", "uplink", "exit") or 9 in key for key in world.compiler.desired)


def test_the_first_node_with_a_member_announces() -> None:
    world = public()
    world.graph.node("n0", "vm-b", address="192.0.2.3")
    world.graph.node("n2", address="192.0.2.2")
    world.follow()
    assert world.unit("outside", 9, "203.0.113.5").announced is False


def test_what_is_not_served_outside_has_a_reason() -> None:
    world = public(device=None)
    assert world.reasons["out"] == (
        "floating-ip out: this node has no external interface, so 203.0.113.5 is not reached from outside by it"
    )
    world = public()
    world.graph.change("public", router_external=False)
    world.follow()
    assert "is not external (router_external)" in world.reasons["out"]
    assert world.unit("vrf", 9) is None


def own(interface: str = "if-a", *, device: str | None = "eth9", **fields: Any) -> World:
    """The floating-ip is a pod's."""
    world = public(device=device)
    world.graph.change("out", virtual_machine_interface_refs=refs(interface), **fields)
    world.follow()
    return world


def test_a_pods_own_address_outside() -> None:
    world = own()
    assert world.reasons == {}
    inside = ip_address("10.0.0.1")
    assert world.unit("outside", 9, "203.0.113.5") == Outside(
        9, ip_address("203.0.113.5"), "d:p:if-a", announced=True, inside=inside, home=5
    )
    assert world.unit("egress", 5, "10.0.0.1") == Egress(5, inside)
    assert reached(world)[9, "if-a"] is True
    assert world.unit("vip", 9, "203.0.113.5") is world.unit("vip", 5, "203.0.113.5") is None
    world.graph.delete("out")
    world.follow()
    assert not any(key[0] in ("outside", "uplink", "exit", "egress") for key in world.compiler.desired)


def test_a_pod_of_another_node_is_that_nodes_affair() -> None:
    world = own("if-b")
    assert world.reasons == {}
    assert world.unit("uplink", 9) is None


@pytest.mark.parametrize(
    ("world", "text"),
    [
        (lambda: own(device=None), "this node has no external interface"),
        (lambda: own(floating_ip_address="2001:db8::5"), "has no IPv6 address"),
        (lambda: own(floating_ip_port_mappings_enable=True), "port mappings are of VIPs only"),
    ],
)
def test_what_a_pods_own_address_lacks_is_told(world: Any, text: str) -> None:
    assert text in world().reasons["out"]


def test_of_several_pods_it_is_of_none() -> None:
    world = public()
    world.graph.change("out", virtual_machine_interface_refs=refs("if-a", "if-b"))
    world.follow()
    assert "several interfaces" in world.reasons["out"]
    assert world.unit("uplink", 9) is None
