from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from object_graph import Graph, refs, subnet
from world import World

from vrouter.state import HostAddress, Interface, Member, Plug, Vip, Vrf


@pytest.fixture
def world() -> World:
    graph = Graph()
    graph.lab()
    return World(graph)


def test_the_lab(world: World) -> None:
    assert world.unit("vrf", 5) == Vrf(5, "d:p:vn:vn")
    assert world.unit("interface", "if-a") == Interface(
        "if-a",
        "d:p:if-a",
        5,
        "a",
        "02:00:00:00:00:01",
        (HostAddress(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.254")),),
    )
    vip = world.unit("vip", 5, "10.0.0.100")
    assert isinstance(vip, Vip)
    assert vip.name == "d:p:lb"
    (listener,) = vip.listeners
    assert (listener.protocol, listener.port) == ("tcp", 80)
    assert listener.members == (
        Member("if-a", IPv4Address("10.0.0.1"), 8080), Member("if-b", IPv4Address("10.0.0.2"), 8080),
    )  # fmt: skip
    assert len(world.compiler.desired) == 4
    assert world.reasons == {}


# --- interfaces


def test_an_interface_of_a_node_without_address_is_not_made_and_gives_no_noise(world: World) -> None:
    world.graph.node("n2", "vm-b")
    world.graph.node("n1", "vm-a")
    world.follow()
    assert world.unit("interface", "if-b") is None
    assert world.backends() == ["if-a"]
    text = "is on node n2, whose virtual-router has no virtual_router_ip_address"
    assert world.reasons == {"mb": f"member mb: interface if-b {text}"}


def test_an_interface_whose_machine_is_nowhere(world: World) -> None:
    world.graph.node("n1", "vm-a")
    world.follow()
    assert world.reasons["mb"] == (
        "member mb: interface if-b belongs to virtual-machine b, which no virtual-router references"
    )


def test_an_interface_that_a_port_has_here_is_made_whatever_objects_say(world: World) -> None:
    world.graph.put("virtual-machine", "vm-b", fq_name=["b" * 65])
    world.graph.node("n1", "vm-a")
    world.graph.node("n2", "vm-b")
    world.follow()
    world.plug("if-b", Plug("tap0", "vm-b"))
    unit = world.unit("interface", "if-b")
    assert isinstance(unit, Interface)
    assert (unit.device, unit.workload) == ("tap0", "vm-b")  # no namespace has to be called so
    assert world.reasons["if-b"] == "interface if-b is on several nodes: n1, n2; it counts as on n1"
    assert world.backends() == ["if-a", "if-b"]
    world.plug("if-a", Plug("tap1", "vm-a"))
    unit = world.unit("interface", "if-a")
    assert isinstance(unit, Interface)
    assert (unit.device, unit.workload) == ("tap1", "a")
    world.plug("if-a", None)
    world.plug("if-b", None)
    assert world.unit("interface", "if-b") is None
    assert world.unit("interface", "if-a") == replace(unit, device="")


@pytest.mark.parametrize("name", ["web 0", "a/b", "..", "x" * 65, "ü"])
def test_a_machine_whose_name_is_no_namespace(world: World, name: str) -> None:
    world.graph.put("virtual-machine", "vm-b", fq_name=[name])
    world.follow()
    assert world.unit("interface", "if-b") is None
    assert "cannot be a namespace's" in world.reasons["if-b"]
    assert "cannot be a namespace's" in world.reasons["mb"]


def test_an_interface_without_address(world: World) -> None:
    world.graph.delete("ip-if-b")
    world.graph.member("mb", "pool-lb-80", vmi="if-b")
    world.follow()
    assert world.reasons == {
        "if-b": "interface if-b has no instance-ip", "mb": "member mb: interface if-b has no instance-ip",
    }  # fmt: skip


def test_an_interface_has_an_address_of_each_family(world: World) -> None:
    world.graph.change("ip-if-a", instance_ip_address="fd00::1")
    for number, address in enumerate(("fd00::2", "fd00::3")):
        world.graph.put(
            "instance-ip", f"v6-{number}", instance_ip_address=address,
            virtual_network_refs=refs("vn"), virtual_machine_interface_refs=refs("if-b"),
        )  # fmt: skip
    world.follow()
    assert world.unit("interface", "if-a").addresses == (HostAddress(IPv6Address("fd00::1"), IPv6Address("fe80::1")),)
    assert world.unit("interface", "if-b").addresses == (
        HostAddress(IPv4Address("10.0.0.2"), IPv4Address("10.0.0.254")),
        HostAddress(IPv6Address("fd00::2"), IPv6Address("fe80::1")),
    )


def test_of_two_addresses_that_are_wanted_twice_one_may_be_lost(world: World) -> None:
    world.graph.put(
        "instance-ip", "v6", instance_ip_address="fd00::2",
        virtual_network_refs=refs("vn"), virtual_machine_interface_refs=refs("if-b"),
    )  # fmt: skip
    world.follow()
    world.graph.change("ip-if-b", instance_ip_address="10.0.0.1")
    world.follow()
    assert [str(one.address) for one in world.unit("interface", "if-b").addresses] == ["fd00::2"]
    assert "the address 10.0.0.1 is already that of interface d:p:if-a" in world.reasons["if-b"]
    world.graph.change("ip-if-a", instance_ip_address="10.0.0.7")
    world.follow()
    assert [str(one.address) for one in world.unit("interface", "if-b").addresses] == ["10.0.0.1", "fd00::2"]
    assert "if-b" not in world.reasons


def test_an_interface_with_two_addresses_has_the_primary_one(world: World) -> None:
    world.graph.put(
        "instance-ip", "aaa", instance_ip_address="10.0.0.77", instance_ip_secondary=True,
        virtual_network_refs=refs("vn"), virtual_machine_interface_refs=refs("if-a"),
    )  # fmt: skip
    world.follow()
    assert world.unit("interface", "if-a").address == IPv4Address("10.0.0.1")


def test_a_shared_address_is_one_interface_s(world: World) -> None:
    world.graph.change("ip-if-a", virtual_machine_interface_refs=refs("if-b", "if-a"))
    world.graph.delete("ip-if-b")
    world.follow()
    assert world.unit("interface", "if-a").address == IPv4Address("10.0.0.1")
    assert world.unit("interface", "if-b") is None
    assert "shares the address 10.0.0.1 with interface if-a" in world.reasons["if-b"]


@pytest.mark.parametrize(("given_mac", "text"), [("zz", "which is none"), ("01:00:00:00:00:01", "group's")])
def test_a_mac_that_is_none(world: World, given_mac: str, text: str) -> None:
    world.graph.change("if-b", virtual_machine_interface_mac_addresses={"mac_address": [given_mac]})
    world.follow()
    assert text in world.reasons["if-b"]


def test_a_network_without_id_has_no_vrf_yet(world: World) -> None:
    world.graph.change("vn", virtual_network_network_id=None)
    world.follow()
    assert world.compiler.desired == {}
    world.graph.change("vn", virtual_network_network_id=9)
    world.follow()
    assert world.unit("vip", 9, "10.0.0.100") is not None


def test_gateways() -> None:
    graph = Graph()
    graph.put("network-ipam", "ipam", ipam_subnets={"subnets": [
        subnet("10.1.0.0/16", "10.1.0.1"), subnet("10.2.0.0/16", "10.2.255.254"),
    ]})  # fmt: skip
    graph.network("flat", 5, {"subnet": None, "subnet_uuid": "flat-sub"})
    graph.network("own", 6, subnet("10.0.0.0/24", "10.0.0.1", "s1"), subnet("10.0.1.0/24", "0.0.0.0", "s2"))
    graph.node(
        "n1", graph.pod("a", "flat", "10.2.0.7"), graph.pod("b", "own", "10.0.0.7"), graph.pod("c", "own", "10.0.1.7"),
        graph.pod("d", "own", "10.0.0.1"), graph.pod("e", "own", "172.16.0.1"),
    )  # fmt: skip
    world = World(graph)
    gateways = {name: str(world.unit("interface", f"if-{name}").addresses[0].gateway) for name in "abcde"}
    assert gateways == {
        "a": "10.2.255.254",  # of the flat ipam's subnet that has the address
        "b": "10.0.0.1",
        "c": "169.254.1.1",  # 0.0.0.0 says there is none
        "d": "169.254.1.1",  # it is the gateway's own address
        "e": "169.254.1.1",  # no subnet has the address
    }


# --- members


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"address": "10.0.0.9"}, "address 10.0.0.9 belongs to no interface of project p"),
        ({}, "names neither an interface (annotation vmi) nor an address"),
        ({"address": "10.0.0.2", "admin_state": False}, "admin_state is down"),
        ({"address": "10.0.0.2", "weight": 0}, "weight is 0: it takes no new connections"),
        ({"address": "10.0.0.2", "weight": -3}, "weight -3 is not a number from 0 on"),
        ({"address": "10.0.0.2", "protocol_port": None}, "has no protocol_port"),
        ({"address": "10.0.0.2", "protocol_port": 99999}, "has the protocol_port 99999, which is not in 1..65535"),
        ({"vmi": "nowhere"}, "interface nowhere does not exist"),
        ({"vmi": "if-a"}, "is the same back-end as member ma: interface d:p:if-a"),
        ({"vmi": "vip-lb"}, "interface vip-lb has no virtual-machine"),
    ],
)
def test_a_member_that_is_not_used_has_a_reason(world: World, properties: dict[str, Any], text: str) -> None:
    world.graph.member("mb", "pool-lb-80", **properties)
    world.follow()
    assert world.backends() == ["if-a"]
    assert world.reasons["mb"] == f"member mb: {text}"


def test_an_address_is_looked_for_in_the_member_s_project_only(world: World) -> None:
    world.graph.change("if-b", parent_uuid="another")
    world.follow()
    assert world.reasons["mb"] == "member mb: address 10.0.0.2 belongs to no interface of project p"


def test_an_address_that_several_interfaces_have(world: World) -> None:
    world.graph.interface("if-z", "other", "10.0.0.2")
    world.follow()
    assert world.reasons["mb"] == "member mb: address 10.0.0.2 belongs to several interfaces of project p: if-b, if-z"


def test_an_interface_that_no_floating_ip_links_does_not_answer(world: World) -> None:
    world.graph.link("lb", "if-a")
    world.follow()
    assert world.backends() == ["if-a"]
    assert world.reasons["mb"] == "member mb: interface if-b is referenced by no floating-ip of the VIP"


def test_a_wrong_port_is_the_reason_and_not_that_the_driver_left_the_member_out_for_it(world: World) -> None:
    world.graph.link("lb", "if-a")
    world.graph.member("mb", "pool-lb-80", vmi="if-b", protocol_port=0)
    world.follow()
    assert world.reasons["mb"] == "member mb: has the protocol_port 0, which is not in 1..65535"


def test_weights_and_ports(world: World) -> None:
    world.graph.member("ma", "pool-lb-80", vmi="if-a", weight=7, protocol_port="81")
    world.graph.member("mb", "pool-lb-80", vmi="if-b", weight=1000)
    world.follow()
    members = world.unit("vip", 5, "10.0.0.100").listeners[0].members
    assert [(one.port, one.weight) for one in members] == [(81, 7), (8080, 256)]
    assert "weight 1000 counts as 256" in world.reasons["mb"]


def test_an_annotation_in_a_second_request(world: World) -> None:
    world.graph.member("mb", "pool-lb-80")
    world.follow()
    assert world.backends() == ["if-a"]
    world.graph.member("mb", "pool-lb-80", vmi="if-b")
    assert world.follow() == {("vip", 5, "10.0.0.100")}
    assert world.backends() == ["if-a", "if-b"]


# --- one address wanted twice


def test_the_older_service_keeps_an_address(world: World) -> None:
    world.graph.change("lb", id_perms={"created": "2026-01-02T00:00:00"})
    world.graph.service("aaa", "vn", "10.0.0.100", 81)
    world.graph.change("aaa", id_perms={"created": "2026-01-03T00:00:00"})
    world.follow()
    assert world.unit("vip", 5, "10.0.0.100").name == "d:p:lb"
    assert world.reasons["aaa"] == "d:p:aaa: the address 10.0.0.100 is already that of service d:p:lb in this VRF"
    world.graph.change("aaa", id_perms={"created": "2026-01-01T00:00:00"})
    world.follow()
    assert world.unit("vip", 5, "10.0.0.100").name == "d:p:aaa"
    world.graph.change("lb", id_perms={"created": "2025-01-01T00:00:00"})
    world.follow()
    assert world.unit("vip", 5, "10.0.0.100").name == "d:p:lb"
    world.graph.delete("lb")
    assert ("vip", 5, "10.0.0.100") in world.follow()
    assert world.unit("vip", 5, "10.0.0.100").name == "d:p:aaa"


def test_an_interface_goes_before_a_vip(world: World) -> None:
    world.graph.node("n1", "vm-a", "vm-b", world.graph.pod("c", "vn", "10.0.0.100"))
    world.follow()
    assert world.unit("vip", 5, "10.0.0.100") is None
    assert world.unit("interface", "if-c") is not None
    assert "is already that of interface d:p:if-c" in world.reasons["lb"]


# --- only what is touched


def test_a_change_touches_its_own_units_only(world: World) -> None:
    world.graph.service("other", "vn", "10.0.0.101", 80)
    world.graph.member("mo", "pool-other-80", vmi="if-a")
    world.graph.link("other", "if-a")
    world.follow()
    world.graph.member("ma", "pool-lb-80", vmi="if-a", weight=3)
    assert world.follow() == {("vip", 5, "10.0.0.100")}
    world.graph.change("mo", display_name="nothing that matters")
    assert world.follow() == set()
    world.graph.node("n1", "vm-a", "vm-b", world.graph.pod("c", "vn", "10.0.0.3"))
    assert world.follow() == {("interface", "if-c")}
