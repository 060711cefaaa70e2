import asyncio
from collections import Counter
from ipaddress import IPv4Address

import pytest
from introspected import Node

from vrouter.backends.simulator import Connection

PARAMETERS = {  # of pages that need some
    "/why": {"q": "lb"},
    "/trace": {"pod": "c", "to": "10.0.0.100:80"},
    "/wait": {"revision": "0"},
}


async def test_the_index_lists_pages_that_answer(node: Node) -> None:
    index = await node.get("/")
    assert index["node"] == "n1"
    for page in index["pages"]:
        answer = await node.http.get(page, params=PARAMETERS.get(page, {}))
        assert answer.status_code == 200, page


async def test_status(node: Node) -> None:
    status = await node.get("/status")
    assert (status["node"], status["backend"], status["connected"]) == ("n1", "simulator", True)
    assert status["api"] == node.api.url
    assert status["revision"]["applied"]["revision"] == 1
    assert status["revision"]["applied"]["at"] >= status["revision"]["seen"]["at"]
    assert status["units"] == {"vrf": 1, "join": 0, "interface": 3, "remote": 0, "vip": 1}
    assert status["states"] == {"done": 5, "pending": 0, "error": 0}
    assert status["objects"]["loadbalancer-member"] == 2
    assert status["errors"] == status["problems"] == []


async def test_tables(node: Node) -> None:
    (vrf,) = await node.get("/vrfs")
    assert (vrf["index"], vrf["name"], vrf["interfaces"], vrf["vips"], vrf["state"]) == (5, "d:p:vn:vn", 3, 1, "done")
    interfaces = await node.get("/interfaces", vrf="vn")
    assert [(one["uuid"], one["address"], one["workload"], one["name"]) for one in interfaces] == [
        ("if-a", "10.0.0.1", "a", "d:p:if-a"),
        ("if-b", "10.0.0.2", "b", "d:p:if-b"),
        ("if-c", "10.0.0.3", "c", "d:p:if-c"),
    ]
    assert all(one["device"] for one in interfaces)
    routes = {one["prefix"]: one for one in await node.get("/routes", vrf=5)}
    vip = routes["10.0.0.100/32"]
    assert (vip["type"], vip["members"], vip["name"], vip["refused"]) == ("composite", 2, "d:p:lb", False)
    nexthops = {one["id"]: one for one in await node.get("/nexthops")}
    group = nexthops[vip["nexthop"]]
    assert group["type"] == "Composite"
    assert group["flags"] == ["Valid", "Ecmp"]
    assert {nexthops[one["id"]]["interface"] for one in group["members"]} == {"if-a", "if-b"}


async def test_flows_and_drops(node: Node) -> None:
    connections = [node.backend.connect("if-c", IPv4Address("10.0.0.100"), 80) for _ in range(20)]
    assert all(isinstance(one, Connection) for one in connections)
    node.backend.connect("if-c", IPv4Address("10.0.0.100"), 81)
    answer = await node.get("/flows", vip="10.0.0.100", protocol="tcp")
    assert answer["total"] == 20
    flow = answer["flows"][0]
    assert (flow["source"], flow["port"], flow["member_port"], flow["action"]) == ("10.0.0.3", 80, 8080, "N(DPd)")
    to_a = await node.get("/flows", member="d:p:if-a")
    assert to_a["total"] == sum(isinstance(one, Connection) and one.member == "if-a" for one in connections)
    assert {one["ecmp_index"] for one in to_a["flows"]} == {0}
    limited = await node.get("/flows", limit=3)
    assert (len(limited["flows"]), limited["total"]) == (3, 20)
    assert {one["state"] for one in answer["flows"]} == {"open"}
    assert all(0 <= one["idle"] < 60 for one in answer["flows"])
    for filters, total in [
        ({"service": "lb"}, 20), ({"member": "a"}, to_a["total"]), ({"member": "10.0.0.1"}, to_a["total"]),
        ({"state": "closing"}, 0), ({"state": "unanswered"}, 0), ({"active": 60}, 20), ({"active": 0}, 0),
        ({"protocol": "udp"}, 0), ({"source": "10.0.0.3", "port": 80}, 20), ({"vrf": "vn"}, 20),
    ]:  # fmt: skip
        assert (await node.get("/flows", **filters))["total"] == total, filters
    assert (await node.get("/flows", vip="10.9.9.9"))["total"] == 0
    assert [(one["reason"], one["packets"]) for one in await node.get("/drops")] == [("NoFipPortMap", 1)]


async def test_the_busiest_flows_come_first(node: Node) -> None:
    connections = [node.backend.connect("if-c", IPv4Address("10.0.0.100"), 80) for _ in range(5)]
    for number, connection in enumerate(connections):
        assert isinstance(connection, Connection)
        for _ in range((3 * number) % 5):
            connection.exchange(100)
        if number == 2:
            connection.close()
    for order in ("packets", "bytes"):
        rows = (await node.get("/flows", sort=order, limit=3))["flows"]
        found = [one[order] + one[f"reverse_{order}"] for one in rows]
        assert found == sorted(found, reverse=True)
        every = (await node.get("/flows"))["flows"]
        assert found == sorted((one[order] + one[f"reverse_{order}"] for one in every), reverse=True)[:3]
    (closing,) = (await node.get("/flows", state="closing"))["flows"]
    assert (await node.get("/flows", sort="expires", limit=1))["flows"][0]["source_port"] == closing["source_port"]


@pytest.mark.parametrize(
    ("path", "parameters", "text"),
    [
        ("/routes", {"vrf": "nobody"}, "no VRF is called 'nobody'"),
        ("/flows", {"color": "red"}, "no such filter: color"),
        ("/flows", {"limit": "x"}, "limit is not a number from 0 on: 'x'"),
        ("/flows", {"state": "red"}, "state is not one of open, unanswered, closing: 'red'"),
        ("/flows", {"sort": "size"}, "sort is not one of packets, bytes, idle, expires: 'size'"),
        ("/flows", {"service": "nobody"}, "no service is called 'nobody'"),
        ("/flows", {"protocol": "sctp"}, "protocol is not one of tcp, udp: 'sctp'"),
        ("/flows", {"active": "x"}, "active is not a number from 0 on: 'x'"),
        ("/wait", {"revision": "x"}, "revision is not a number from 0 on: 'x'"),
        ("/flows", {"limit": "-1"}, "limit is not a number from 0 on: '-1'"),
        ("/wait", {"revision": "inf"}, "revision is not a number from 0 on: 'inf'"),
        ("/why", {}, "q is missing"),
    ],
)
async def test_a_bad_question_is_told_what_is_wrong(
    node: Node, path: str, parameters: dict[str, str], text: str
) -> None:
    assert text in (await node.get(path, status=400, **parameters))["error"]


async def test_waiting_for_a_revision(node: Node) -> None:
    waiting = asyncio.create_task(node.get("/wait", revision=2, timeout=20))
    node.graph.delete("mb")
    await node.publish()
    answer = await waiting
    assert answer["reached"]
    assert answer["applied"]["revision"] == 2
    assert not (await node.get("/wait", revision=99, timeout=0))["reached"]


async def test_reasons_are_whole_sentences_about_objects(node: Node) -> None:
    assert await node.get("/reasons") == []
    node.graph.member("mc", "pool-lb-80", address="10.0.0.9")
    await node.publish()
    assert await node.get("/reasons") == [{
        "type": "loadbalancer-member", "uuid": "mc", "name": "mc", "code": "no-interface",
        "text": "member mc: address 10.0.0.9 belongs to no interface of project p",
    }]  # fmt: skip


async def test_why_walks_from_the_service_to_the_kernel(node: Node) -> None:
    node.graph.member("mc", "pool-lb-80", address="10.0.0.9")
    await node.publish()
    group = next(one["nexthop"] for one in await node.get("/routes") if one["prefix"] == "10.0.0.100/32")
    lines = await node.why("lb")
    assert lines[:3] == [
        "+ service lb, VIP 10.0.0.100",
        f"+ VIP 10.0.0.100 in VRF 5: route 10.0.0.100/32 leads to nexthop {group}, 2 ways",
        "+ listener ls-lb-80: tcp port 80, 2 usable members",
    ]
    assert "+ member ma is used: 10.0.0.1:8080, weight 1, interface d:p:if-a" in lines
    assert lines[-2:] == [
        "- member mc is not used",
        "- address 10.0.0.9 belongs to no interface of project p",
    ]
    assert sum("is in the ECMP group" in line for line in lines) == 2


@pytest.mark.parametrize("question", ["lb", "d:p:lb", "10.0.0.100"])
async def test_a_service_goes_by_several_names(node: Node, question: str) -> None:
    assert (await node.why(question))[0] == "+ service lb, VIP 10.0.0.100"


async def test_why_a_member(node: Node) -> None:
    lines = await node.why("mb")
    assert any("member mb is used" in line for line in lines)
    assert not any("member ma" in line for line in lines)


async def test_why_an_interface(node: Node) -> None:
    lines = await node.why("if-a")
    assert lines[0] == "+ interface if-a stands; 10.0.0.1 in VRF d:p:vn:vn, workload a"
    assert lines[1] == "+ it answers for d:p:lb, VIP 10.0.0.100 in VRF 5"
    assert "is in the ECMP group" in lines[2]
    assert (await node.why("10.0.0.3"))[1:] == ["  it answers for no VIP: no member names it or its address 10.0.0.3"]
    assert (await node.why("vip-lb"))[0] == "- interface vip-lb has no virtual-machine"


async def test_why_a_member_that_leads_nowhere(node: Node) -> None:
    node.graph.change("pool-lb-80", loadbalancer_listener_refs=[])
    await node.publish()
    assert await node.why("ma") == [
        "- member ma belongs to no loadbalancer, so nothing leads to it", "- pool pool-lb-80 has no listener",
    ]  # fmt: skip


async def test_why_a_refused_service(node: Node) -> None:
    node.graph.delete("ma", "mb", "fip-lb")
    await node.publish()
    lines = await node.why("lb")
    assert lines[0] == "- service lb, VIP 10.0.0.100"
    assert "- VIP 10.0.0.100 in VRF 5: every connection is refused at once, for no member is usable" in lines
    assert "- listener ls-lb-80: tcp port 80, 0 usable members" in lines


async def test_why_nobody(node: Node) -> None:
    assert await node.get("/why", q="nobody") == {"question": "nobody", "answers": []}


async def test_stats_of_vips_listeners_and_members(node: Node) -> None:
    node.graph.listener("lb", 81)
    await node.publish()
    connections = [node.backend.connect("if-c", IPv4Address("10.0.0.100"), 80) for _ in range(9)]
    reached = Counter(one.member for one in connections if isinstance(one, Connection))
    (vip,) = await node.get("/stats", service="lb")
    assert (vip["vip"], vip["name"], vip["vrf_name"], vip["connections"]) == ("10.0.0.100", "d:p:lb", "d:p:vn:vn", 9)
    used, unused = vip["listeners"]
    assert (used["protocol"], used["port"], used["connections"], used["current"]) == ("tcp", 80, 9, True)
    assert {one["member"]: one["connections"] for one in used["members"]} == reached
    assert {one["member_name"] for one in used["members"]} == {"d:p:if-a", "d:p:if-b"}
    assert (unused["port"], unused["connections"], unused["members"]) == (81, 0, [])
    for counter in ("packets", "bytes", "reverse_packets", "reverse_bytes"):
        assert vip[counter] == used[counter] == sum(one[counter] for one in used["members"]) > 0
    node.graph.delete("ma")
    await node.publish()
    (vip,) = await node.get("/stats")
    assert vip["connections"] == 9  # what went to a member that has left stays
    assert {one["member"]: one["weight"] for one in vip["listeners"][0]["members"]} == {"if-a": 0, "if-b": 1}
    assert await node.get("/stats", vrf=6) == []
    assert (await node.get("/stats", status=400, service="nobody"))["error"] == "no service is called 'nobody'"


async def test_metrics_of_traffic(node: Node) -> None:
    for _ in range(9):
        node.backend.connect("if-c", IPv4Address("10.0.0.100"), 80)
    node.backend.connect("if-c", IPv4Address("10.0.0.100"), 81)

    async def series(name: str, **parameters: str) -> dict[str, float]:
        lines = (await node.http.get("/metrics", params=parameters)).text.splitlines()
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{")
        }

    vip = 'service="d:p:lb",vip="10.0.0.100",vrf="d:p:vn:vn"'
    members = await series("vaportrail_service_connections_total")
    assert len(members) == 2
    assert sum(members.values()) == 9
    assert any('member="d:p:if-a"' in line and 'address="10.0.0.1"' in line and 'port="80"' in line for line in members)
    (listener,) = (await series("vaportrail_service_connections_total", detail="listener")).values()
    assert listener == 9
    of_vip = await series("vaportrail_service_packets_total", detail="vip")
    assert set(of_vip) == {
        f'vaportrail_service_packets_total{{direction="{direction}",{vip}}}' for direction in ("in", "out")
    }
    assert not await series("vaportrail_service_connections_total", detail="none")
    refused = await series("vaportrail_refused_packets_total", detail="none")
    assert refused == {'vaportrail_refused_packets_total{reason="NoFipPortMap",vrf="d:p:vn:vn"}': 1}
    sent = await series("vaportrail_interface_packets_total")
    assert sum(value for line, value in sent.items() if 'workload="c"' in line and '"out"' in line) == 19
    answer = await node.http.get("/metrics", params={"detail": "all"})
    assert (answer.status_code, answer.json()["error"]) == (
        400, "detail is not one of member, listener, vip, none: 'all'",
    )  # fmt: skip


async def test_drift(node: Node) -> None:
    status = await node.get("/status")
    assert status["drift"] == {"repaired": 0, "kinds": {}, "last": None, "waiting": []}
    await node.agent.reconciler.ask(lambda: node.backend.lose(("vip", 5, "10.0.0.100")))
    async with asyncio.timeout(10):
        while not node.agent.reconciler.repairs.last:
            await asyncio.sleep(0)
    drift = (await node.get("/status"))["drift"]
    assert (drift["repaired"], drift["kinds"]) == (1, {"vip": 1})
    assert drift["last"]["found"] == "VIP 10.0.0.100 in VRF 5: was removed by somebody"
    assert 'vaportrail_agent_drift_total{kind="vip"} 1.0' in (await node.http.get("/metrics")).text


async def test_metrics(node: Node) -> None:
    text = (await node.http.get("/metrics")).text
    assert "vaportrail_agent_connected 1.0" in text
    assert 'vaportrail_agent_revision{stage="applied"} 1.0' in text
    assert 'vaportrail_agent_units{kind="vip",state="done"} 1.0' in text


async def test_a_limited_listener_is_seen_everywhere(node: Node) -> None:
    properties = {"protocol": "TCP", "protocol_port": 80, "connection_limit": 2}
    node.graph.change("ls-lb-80", loadbalancer_listener_properties=properties)
    await node.publish()
    assert "+ connection_limit: 0 of 2 connections in VRF 5 (VIP 10.0.0.100)" in await node.why("lb")
    outcomes = [node.backend.connect("if-c", IPv4Address("10.0.0.100"), 80) for _ in range(5)]
    assert [isinstance(one, Connection) for one in outcomes] == [True, True, False, False, False]
    line = (
        "- connection_limit: 2 of 2 connections in VRF 5, every other one is refused; 3 packets refused so far "
        "(VIP 10.0.0.100)"
    )
    assert line in await node.why("lb")
    (vip,) = await node.get("/stats")
    assert [one["places"] for one in vip["listeners"]] == [{"limit": 2, "taken": 2, "refused": 3}]
    assert ("ConnLim", 3) in [(drop["reason"], drop["packets"]) for drop in await node.get("/drops")]
    step = (await node.get("/trace", pod="c", to="lb:80"))["steps"][-1]
    assert (step["reason"], step["text"]) == (
        "ConnLim",
        "ConnLim: the listener has all 2 connections of its connection_limit. The sender gets a TCP reset at once.",
    )
    lines = (await node.http.get("/metrics", params={"detail": "listener"})).text.splitlines()
    labels = '{port="80",protocol="tcp",service="d:p:lb",vip="10.0.0.100",vrf="d:p:vn:vn"}'
    for name, value in (("limit", 2), ("connections", 2), ("refused_packets_total", 3)):
        assert f"vaportrail_listener_{name}{labels} {value}.0" in lines
