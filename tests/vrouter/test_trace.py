"""The way of one packet in words, asked of an agent on the simulator; what the back-ends say of it is held to real
packets in conformance/test_conformance_lookup.py."""

from ipaddress import IPv4Address
from typing import Any

import pytest
from introspected import Node
from object_graph import pass_rule, subnet
from test_compiler_routes import own

from vrouter.backends.lookup import Header
from vrouter.backends.protocol import BackendSettings
from vrouter.backends.simulator import Connection, SimulatorBackend
from vrouter.reconciler import Reconciler
from vrouter.trace import tell


async def trace(node: Node, source: str, to: str, **more: Any) -> list[str]:
    page = await node.get("/trace", pod=source, to=to, **{"sport": 40_000, **more})
    return [f"{one['step']}: {one['text']}" for one in page["steps"]]


async def test_every_step_of_a_new_connection(node: Node) -> None:
    node.graph.change("ma", loadbalancer_member_properties={"protocol_port": 8080, "weight": 3})
    await node.publish()
    page = await node.get("/trace", pod="c", to="10.0.0.100:80", sport=40_001)
    chosen, other = page["member"], "if-b" if page["member"] == "if-a" else "if-a"
    address = {"if-a": "10.0.0.1", "if-b": "10.0.0.2"}[chosen]
    group = next(one for one in await node.get("/routes") if one["prefix"] == "10.0.0.100/32")["nexthop"]
    hops = {one["interface"]: one["id"] for one in await node.get("/nexthops") if one["type"] == "Encap"}
    shares = f"{hops['if-a']}(3) {hops['if-b']}(1)"
    assert [one["text"] for one in page["steps"]] == [
        "c sends tcp 10.0.0.3:40001 => 10.0.0.100:80 into vif tapif-c",
        "VRF 5 d:p:vn:vn",
        "10.0.0.100 is the VIP of d:p:lb",
        "no flow has this 5-tuple: it is a new one",
        f"route 10.0.0.100/32 leads to nexthop {group} Composite, sub NH(weight): {shares}",
        f"the hash takes nexthop {hops[chosen]} Encap, Oif:tap{chosen} interface d:p:{chosen} {address}",
        f"NAT DPd: 10.0.0.3:40001 => 10.0.0.100:80 becomes 10.0.0.3:40001 => {address}:8080",
        f"out of vif tap{chosen} to interface d:p:{chosen} {address}, workload {chosen[-1]}",
        (
            f"the answer {address}:8080 => 10.0.0.3:40001 comes in at vif tap{chosen}, "
            "NAT SPs to 10.0.0.100:80 => 10.0.0.3:40001, out of vif tapif-c"
        ),
    ]
    assert [one["step"] for one in page["steps"]] == [
        "vif", "vrf", "service", "flow", "route", "nexthop", "nat", "out", "return",
    ]  # fmt: skip
    assert page["translated"] == {
        "protocol": "tcp", "source": "10.0.0.3", "source_port": 40_001, "destination": address,
        "destination_port": 8080,
    }  # fmt: skip
    assert (page["refused"], page["known_flow"], page["member_name"]) == (None, False, f"d:p:{chosen}")
    connection = node.backend.connect("if-c", IPv4Address("10.0.0.100"), 80, 40_001)
    assert isinstance(connection, Connection)
    assert connection.member == chosen != other


async def test_a_source_port_is_drawn_where_none_is_given(node: Node) -> None:
    pages = [await node.get("/trace", pod="c", to="lb:80") for _ in range(20)]
    assert {page["member"] for page in pages} == {"if-a", "if-b"}
    assert all(32_768 <= page["header"]["source_port"] < 61_000 for page in pages)


@pytest.mark.parametrize("source", ["c", "if-c", "d:p:if-c", "10.0.0.3"])
@pytest.mark.parametrize("to", ["10.0.0.100:80", "lb:80", "d:p:lb:80"])
async def test_both_ends_go_by_several_names(node: Node, source: str, to: str) -> None:
    assert (await trace(node, source, to))[0] == "vif: c sends tcp 10.0.0.3:40000 => 10.0.0.100:80 into vif tapif-c"


async def test_a_flow_that_is_known(node: Node) -> None:
    connection = node.backend.connect("if-c", IPv4Address("10.0.0.100"), 80, 40_000)
    assert isinstance(connection, Connection)
    member = {"if-a": "ma", "if-b": "mb"}[connection.member]
    node.graph.delete(member)
    await node.publish()
    lines = await trace(node, "c", "lb:80")
    address = {"ma": "10.0.0.1", "mb": "10.0.0.2"}[member]
    assert (
        f"flow: on the flow 10.0.0.3:40000 => 10.0.0.100:80 to interface d:p:{connection.member} {address}: "
        "2 packets there, 1 back, 180s left"
    ) in lines
    assert any(line.startswith("choice: the flow keeps its member; a new connection from this port") for line in lines)
    back = await node.get("/trace", pod=connection.member, to="10.0.0.3:40000", sport=8080)
    assert [one["step"] for one in back["steps"]] == ["vif", "vrf", "flow", "nat", "out", "return"]
    assert back["steps"][2]["text"].startswith("an answer on the flow")
    assert back["translated"]["source"] == "10.0.0.100"


async def test_pod_to_pod(node: Node) -> None:
    lines = await trace(node, "c", "a:8080", protocol="udp")
    assert lines[2].startswith("route: route 10.0.0.1/32 leads to nexthop")
    assert lines[3:] == [
        "out: out of vif tapif-a to interface d:p:if-a 10.0.0.1, workload a",
        "return: the answer 10.0.0.1:8080 => 10.0.0.3:40000 comes in at vif tapif-a, out of vif tapif-c",
    ]


async def test_refusals_say_why(node: Node) -> None:
    assert (await trace(node, "c", "10.0.0.100:81"))[-1] == (
        "refused: NoFipPortMap: no listener of 10.0.0.100 has tcp port 81; it has tcp 80. "
        "The sender gets a TCP reset at once."
    )
    assert (await trace(node, "c", "10.0.0.99:81"))[-1] == (
        "refused: NoDstRt: nobody in this VRF has 10.0.0.99. The sender gets an ICMP error at once."
    )
    node.graph.change("lb", loadbalancer_properties={"vip_address": "10.0.0.100", "admin_state": False})
    await node.publish()
    lines = await trace(node, "c", "10.0.0.100:80")
    assert "refused: NoDstRt: no member of the listener is usable. The sender gets a TCP reset at once." in lines
    assert "why: member ma: admin_state of loadbalancer lb is down" in lines


async def test_a_vip_of_another_vrf(node: Node) -> None:
    node.graph.network("other", 6, subnet("10.0.1.0/24", "10.0.1.254"))
    node.graph.put("virtual-machine", "vm-d", fq_name=["d"])
    node.graph.interface("if-d", "other", "10.0.1.4", machine="vm-d")
    node.graph.change("router-n1", virtual_machine_refs=[
        {"to": [uuid], "uuid": uuid} for uuid in ("vm-a", "vm-b", "vm-c", "vm-d")
    ])  # fmt: skip
    await node.publish()
    assert (await trace(node, "d", "10.0.0.100:80"))[-1] == (
        "hint: 10.0.0.100 is a VIP in VRF d:p:vn:vn, to which no network-policy joins this one"
    )
    side = {"virtual_network": "any"}
    node.graph.policy("join", pass_rule(side, side))
    for network in ("vn", "other"):
        node.graph.change(network, network_policy_refs=[{"to": ["join"], "uuid": "join", "attr": None}])
    await node.publish()
    assert "service: 10.0.0.100 is the VIP of d:p:lb" in await trace(node, "d", "10.0.0.100:80")


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"to": "lb:80"}, "pod is missing: who sends"),
        ({"pod": "c"}, "to is missing: VIP:PORT"),
        ({"pod": "c", "to": "10.0.0.100"}, "to has no port: '10.0.0.100' (VIP:PORT, or [VIP]:PORT for IPv6)"),
        ({"pod": "nobody", "to": "lb:80"}, "pod: no pod that the agent knows is called 'nobody'"),
        ({"pod": "c", "to": "nobody:80"}, "to: no service or pod in a VRF of 'c' is called 'nobody'"),
        ({"pod": "c", "to": "lb:80", "protocol": "sctp"}, "protocol is not tcp or udp: 'sctp'"),
        ({"pod": "c", "to": "lb:80", "sport": 0}, "sport is not in 1..65535: 0"),
        ({"pod": "c", "to": "[fd00::1]:80"}, "pod: interface d:p:if-c has no IPv6 address"),
    ],
)
async def test_a_bad_question_names_the_field(node: Node, parameters: dict[str, str], text: str) -> None:
    assert (await node.get("/trace", status=400, **parameters))["error"] == text


async def test_a_pod_of_another_node(node: Node) -> None:
    node.graph.node("n2", node.graph.pod("e", "vn", "10.0.0.5"))
    await node.publish()
    answer = await node.get("/trace", status=400, pod="e", to="lb:80")
    assert answer["error"] == "pod: interface if-e is on node n2, whose virtual-router has no virtual_router_ip_address"


async def test_the_way_outside() -> None:
    world, backend = own(), SimulatorBackend(BackendSettings("n1"))
    reconciler = Reconciler(backend, world.compiler.desired)
    await reconciler.start()
    await reconciler.reconcile(reconciler.everything())
    header = Header("tcp", IPv4Address("10.0.0.1"), 40_000, IPv4Address("192.0.2.7"), 443)
    steps = [(step.kind, step.text) for step in tell(backend.lookup("if-a", header), world.compiler.desired)]
    await reconciler.close()
    assert steps[2:] == [
        ("route", "the route of what nobody has here leads outside, by join9"),
        ("out", "out of join9, to outside"),
    ]
