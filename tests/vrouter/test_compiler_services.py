from typing import Any

import pytest
from object_graph import Graph, pass_rule, refs, subnet
from world import World

from vrouter.state import Link


@pytest.fixture
def world() -> World:
    graph = Graph()
    graph.lab()
    return World(graph)


@pytest.mark.parametrize("uuid", ["lb", "ls-lb-80", "pool-lb-80"])
def test_admin_state_down_refuses_at_once(world: World, uuid: str) -> None:
    field = f"{world.graph.objects[uuid][0].replace('-', '_')}_properties"
    world.graph.change(uuid, **{field: {**world.graph.objects[uuid][1].get(field, {}), "admin_state": False}})
    world.follow()
    (listener,) = world.unit("vip", 5, "10.0.0.100").listeners
    assert listener.members == ()
    assert f"{uuid} is down" in world.reasons["ma"]


def test_a_vip_without_member_stands_to_be_refused(world: World) -> None:
    world.graph.delete("ma", "mb", "fip-lb")
    world.follow()
    vip = world.unit("vip", 5, "10.0.0.100")
    assert [(one.port, one.members) for one in vip.listeners] == [(80, ())]


def test_a_loadbalancer_without_listener_is_no_vip(world: World) -> None:
    world.graph.delete("ma", "mb", "pool-lb-80", "ls-lb-80")
    world.follow()
    assert world.unit("vip", 5, "10.0.0.100") is None
    assert world.reasons == {"lb": "loadbalancer lb has no listener"}


@pytest.mark.parametrize(
    ("protocol", "kernel"), [("UDP", "udp"), ("HTTP", "tcp"), ("HTTPS", "tcp"), ("TERMINATED_HTTPS", "tcp")]
)
def test_protocols(world: World, protocol: str, kernel: str) -> None:
    world.graph.listener("lb", 80, protocol)
    world.follow()
    assert world.unit("vip", 5, "10.0.0.100").listeners[0].protocol == kernel


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"protocol": "SCTP", "protocol_port": 80}, "has the protocol SCTP, which is not supported"),
        ({"protocol_port": 80}, "has no protocol"),
        ({"protocol": "TCP"}, "has no protocol_port"),
        ({"protocol": "TCP", "protocol_port": 0}, "has the protocol_port 0, which is not in 1..65535"),
    ],
)
def test_a_listener_that_cannot_be(world: World, properties: dict[str, Any], text: str) -> None:
    world.graph.change("ls-lb-80", loadbalancer_listener_properties=properties)
    world.follow()
    assert world.reasons["ls-lb-80"] == f"listener ls-lb-80 {text}"
    assert world.reasons["ma"] == f"member ma: listener ls-lb-80 {text}"


def test_several_listeners_have_their_own_members(world: World) -> None:
    world.graph.listener("lb", 443)
    world.graph.member("mc", "pool-lb-443", vmi="if-b", protocol_port=8443)
    world.follow()
    first, second = world.unit("vip", 5, "10.0.0.100").listeners
    assert [one.interface for one in first.members] == ["if-a", "if-b"]
    assert [(one.interface, one.port) for one in second.members] == [("if-b", 8443)]


def test_two_listeners_of_one_port(world: World) -> None:
    world.graph.put(
        "loadbalancer-listener", "zz", loadbalancer_refs=refs("lb"),
        loadbalancer_listener_properties={"protocol": "TCP", "protocol_port": 80},
    )  # fmt: skip
    world.follow()
    assert world.backends() == ["if-a", "if-b"]
    assert world.reasons["zz"] == "listener zz has the protocol and port of listener ls-lb-80"


def test_parts_that_belong_to_nothing(world: World) -> None:
    world.graph.change("pool-lb-80", loadbalancer_listener_refs=[])
    world.graph.put("loadbalancer-listener", "alone")
    world.follow()
    assert world.reasons["pool-lb-80"] == "pool pool-lb-80 has no listener"
    assert world.reasons["alone"] == "listener alone has no loadbalancer"


def test_what_a_loadbalancer_may_lack(world: World) -> None:
    world.graph.change("lb", virtual_machine_interface_refs=[])
    world.follow()
    assert world.reasons["lb"] == "loadbalancer lb has no virtual-machine-interface, so it has no VIP"
    assert world.reasons["ma"].startswith("member ma: loadbalancer lb has no virtual-machine-interface")
    world.graph.change("lb", virtual_machine_interface_refs=refs("vip-lb"))
    world.graph.delete("ip-vip-lb")
    world.follow()
    assert world.reasons["lb"] == "loadbalancer lb has no VIP: its interface vip-lb has no instance-ip with an address"


def test_another_provider_is_left_alone_unless_somebody_links_it(world: World) -> None:
    world.graph.change("lb", loadbalancer_provider="opencontrail")
    world.follow()
    assert world.backends() == ["if-a", "if-b"]
    world.graph.delete("fip-lb")
    world.follow()
    assert world.unit("vip", 5, "10.0.0.100") is None
    assert "provider opencontrail" in world.reasons["lb"]


def test_a_foreign_floating_ip_without_loadbalancer(world: World) -> None:
    world.graph.delete("ma", "mb", "pool-lb-80", "ls-lb-80", "lb")
    mapping = {"port_mappings": [
        {"protocol": "TCP", "src_port": 80, "dst_port": 8080}, {"protocol": "UDP", "src_port": 53, "dst_port": 5353},
        {"protocol": "SCTP", "src_port": 1, "dst_port": 1},
    ]}  # fmt: skip
    fields = {"floating_ip_port_mappings": mapping, "floating_ip_port_mappings_enable": True}
    world.graph.link("lb", "if-a", "if-b", "vip-lb", **fields)
    world.follow()
    vip = world.unit("vip", 5, "10.0.0.100")
    listeners = [(one.protocol, one.port, [(member.interface, member.port) for member in one.members])
                 for one in vip.listeners]  # fmt: skip
    assert listeners == [("tcp", 80, [("if-a", 8080), ("if-b", 8080)]), ("udp", 53, [("if-a", 5353), ("if-b", 5353)])]
    texts = {reason.text for reason in world.compiler.reasons()}
    assert texts == {
        "a port mapping of floating-ip fip has the protocol SCTP, which is not supported",
        "floating-ip fip: interface vip-lb has no virtual-machine",
    }


# --- networks joined by policies

POD, SERVICE = {"virtual_network": "d:p:pods"}, {"virtual_network": "d:p:services"}


def joined(rule: dict[str, Any], *, server_policies: tuple[str, ...] = ("np",)) -> World:
    graph = Graph()
    graph.network("pods", 5, subnet("10.0.0.0/24", "10.0.0.254"), policies=["np"])
    graph.network("services", 6, subnet("10.96.0.0/12", "10.111.255.254"), policies=server_policies)
    graph.policy("np", rule)
    graph.node("n1", graph.pod("a", "pods", "10.0.0.1"))
    graph.service("lb", "services", "10.96.0.1", 80)
    graph.member("ma", "pool-lb-80", vmi="if-a")
    graph.link("lb", "if-a")
    return World(graph)


@pytest.mark.parametrize(
    "rule",
    [
        pass_rule(POD, SERVICE), pass_rule(SERVICE, POD), pass_rule(POD, SERVICE, ">"),
        pass_rule({"virtual_network": "any"}, {"virtual_network": "any"}),
        pass_rule({"virtual_network": "local"}, SERVICE),
        pass_rule({"network_policy": "d:p:np"}, SERVICE),
    ],
)  # fmt: skip
def test_a_policy_brings_the_vip_into_the_pods_vrf(rule: dict[str, Any]) -> None:
    world = joined(rule)
    assert world.backends(5, "10.96.0.1") == ["if-a"]
    assert world.unit("vrf", 6) is None
    assert world.reasons == {}


@pytest.mark.parametrize(
    "rule",
    [
        pass_rule(SERVICE, POD, ">"), pass_rule(POD, POD), pass_rule({"virtual_network": "d:p:x"}, SERVICE),
        pass_rule({"network_policy": "d:p:x"}, SERVICE), pass_rule({"security_group": "any"}, SERVICE),
        pass_rule(POD, SERVICE) | {"action_list": {"simple_action": "deny"}},
    ],
)  # fmt: skip
def test_a_policy_that_does_not(rule: dict[str, Any]) -> None:
    world = joined(rule)
    assert world.unit("vip", 5, "10.96.0.1") is None
    assert "no interface of this node is in a VRF" in world.reasons["lb"]
    assert world.reasons["ma"].endswith("to which no network-policy joins the VIP's network d:p:services")


def test_a_policy_must_be_attached_to_both() -> None:
    world = joined(pass_rule(POD, SERVICE), server_policies=())
    assert world.unit("vip", 5, "10.96.0.1") is None
    world.graph.network("services", 6, policies=["np"])
    assert world.follow() == {("vip", 5, "10.96.0.1")}
    assert world.backends(5, "10.96.0.1") == ["if-a"]


def test_a_vip_stands_in_each_vrf_with_all_its_members() -> None:
    world = joined(pass_rule(POD, SERVICE))
    world.graph.node("n1", "vm-a", world.graph.pod("c", "services", "10.96.0.9"))
    world.graph.member("mc", "pool-lb-80", vmi="if-c")
    world.graph.link("lb", "if-a", "if-c")
    world.follow()
    assert world.backends(5, "10.96.0.1") == world.backends(6, "10.96.0.1") == ["if-a", "if-c"]
    assert world.unit("remote", 5, "if-c").via == Link(6)
    assert world.unit("remote", 6, "if-a").via == Link(5)
    assert world.reasons == {}


def dual(world: World) -> None:
    """The lab's service with a VIP of each family; of its pods only `a` has both addresses."""
    graph = world.graph
    for uuid, interface, address in (("six-a", "if-a", "fd00::1"), ("six-vip", "vip-lb", "fd00::100")):
        graph.put(
            "instance-ip", uuid, instance_ip_address=address, virtual_network_refs=refs("vn"),
            virtual_machine_interface_refs=refs(interface),
        )  # fmt: skip
    graph.put(
        "floating-ip", "fip-six", fq_name=["six-vip", "fip"], parent_type="instance-ip", parent_uuid="six-vip",
        floating_ip_address="fd00::100", virtual_machine_interface_refs=refs("if-a", "if-b"),
    )  # fmt: skip
    world.follow()


def test_a_vip_of_each_family(world: World) -> None:
    dual(world)
    (four,), (six,) = (world.unit("vip", 5, vip).listeners for vip in ("10.0.0.100", "fd00::100"))
    assert [str(one.address) for one in four.members] == ["10.0.0.1", "10.0.0.2"]
    assert [(one.interface, str(one.address), one.port) for one in six.members] == [("if-a", "fd00::1", 8080)]
    assert world.reasons == {
        "mb": "member mb: interface if-b has no IPv6 address, so it does not answer for VIP fd00::100"
    }


def test_each_family_has_its_floating_ip(world: World) -> None:
    dual(world)
    world.graph.change("fip-six", virtual_machine_interface_refs=refs("if-b"))
    world.follow()
    assert world.unit("vip", 5, "fd00::100").listeners[0].members == ()
    assert len(world.unit("vip", 5, "10.0.0.100").listeners[0].members) == 2
    assert world.reasons["ma"] == "member ma: interface if-a is referenced by no floating-ip of VIP fd00::100"


def test_the_vip_address_chooses_among_one_family(world: World) -> None:
    dual(world)
    world.graph.delete("fip-lb", "ip-vip-lb")
    world.follow()
    assert world.unit("vip", 5, "10.0.0.100") is None
    assert world.unit("vip", 5, "fd00::100") is not None
