"""What the tools tell of interfaces of other nodes, asked of an agent on the simulator."""

import pytest
from introspected import Node
from object_graph import refs

N1, N2 = "192.0.2.1", "192.0.2.2"


@pytest.fixture
async def spanning(node: Node) -> Node:
    """The lab with its node `n1`; pod b, a member, is on node n2."""
    machines = node.graph.objects["router-n1"][1]["virtual_machine_refs"]
    here = [one["uuid"] for one in machines if one["uuid"] != "vm-b"]
    node.graph.node("n1", *here, address=N1)
    node.graph.node("n2", "vm-b", address=N2)
    await node.publish()
    return node


async def test_a_packet_that_leaves_by_a_tunnel(spanning: Node) -> None:
    pages = [await spanning.get("/trace", pod="a", to="10.0.0.100:80") for _ in range(60)]
    page = next(page for page in pages if page["member"] == "if-b")
    told = {one["step"]: one for one in page["steps"]}
    assert told["tunnel"]["text"] == f"into VXLAN 5: {N1} => {N2}, where the interface is"
    assert (told["tunnel"]["vni"], told["tunnel"]["source"], told["tunnel"]["router"]) == (5, N1, N2)
    assert "Tunnel, Oif:vxlan interface d:p:if-b 10.0.0.2" in told["nexthop"]["text"]
    assert told["out"]["text"] == "out of vif vxlan to interface d:p:if-b 10.0.0.2"
    assert page["member_name"] == "d:p:if-b"


async def test_a_pod_of_another_node_by_its_name(spanning: Node) -> None:
    page = await spanning.get("/trace", pod="a", to="b:8080")
    assert [one["step"] for one in page["steps"]][-3:] == ["out", "tunnel", "return"]
    answer = await spanning.get("/trace", 400, pod="b", to="10.0.0.100:80")
    assert answer["error"] == "pod: interface if-b is on node n2: ask its agent"


async def test_nexthops_routes_and_remote_interfaces(spanning: Node) -> None:
    (nexthop,) = [one for one in await spanning.get("/nexthops") if one["type"] == "Tunnel"]
    assert (nexthop["router"], nexthop["vni"], nexthop["address"]) == (N2, 5, "10.0.0.2")
    assert nexthop["interface_name"] == "d:p:if-b"
    (route,) = [one for one in await spanning.get("/routes") if one["prefix"] == "10.0.0.2/32"]
    assert (route["type"], route["label"], route["name"]) == ("tunnel", 5, "d:p:if-b")
    assert {one["uuid"] for one in await spanning.get("/interfaces")} & {"if-b"} == set()
    (remote,) = await spanning.get("/remotes")
    assert (remote["uuid"], remote["addresses"], remote["vrf_name"]) == ("if-b", ["10.0.0.2"], "d:p:vn:vn")
    assert (remote["router"], remote["vni"], remote["through"], remote["state"]) == (N2, 5, None, "done")


async def test_why_says_where_a_member_is(spanning: Node) -> None:
    lines = await spanning.why("lb")
    assert any(f"interface d:p:if-b of node n2, VXLAN to {N2}" in line for line in lines)
    assert any(line.startswith("+ interface if-b is on node n2") and f"by VXLAN to {N2}" in line
               for line in await spanning.why("if-b"))  # fmt: skip


async def test_what_a_move_would_change_is_told_before(spanning: Node) -> None:
    graph = spanning.graph
    moved = {"n1": [*graph.objects["router-n1"][1]["virtual_machine_refs"], *refs("vm-b")], "n2": []}
    changes = [
        {"operation": "update", "type": "virtual-router", "uuid": f"router-{node}",
         "object": {**graph.objects[f"router-{node}"][1], "virtual_machine_refs": machines}}
        for node, machines in moved.items()
    ]  # fmt: skip
    base = spanning.agent.progress.applied.revision
    answer = await spanning.http.post("/plan", json={"base": base, "changes": changes})
    assert answer.status_code == 200, answer.text
    told = {
        (unit["change"], unit["title"]): [line["text"] for line in unit["lines"]] for unit in answer.json()["units"]
    }
    assert told["goes", "remote interface d:p:if-b in VRF d:p:vn:vn"] == ["10.0.0.2: connections open to it end"]
    assert told["comes", "interface d:p:if-b"] == ["10.0.0.2 in VRF d:p:vn:vn, workload b"]
