"""Objects at random, few enough that they meet."""

from typing import Any

from hypothesis import strategies as st
from object_graph import Graph, pass_rule, refs

ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.7", "10.0.1.1", None, "fd00::1"])
ROUTERS = st.sampled_from(["192.0.2.1", "192.0.2.2", "fd00::9", None])
SOME = {
    "network": st.sampled_from(["n1", "n2", "n3"]), "policy": st.sampled_from(["p1", "p2"]),
    "machine": st.sampled_from(["m1", "m2"]),
    "interface": st.sampled_from(["i1", "i2", "i3", "i4"]), "service": st.sampled_from(["l1", "l2"]),
    "listener": st.sampled_from(["s1", "s2"]), "pool": st.sampled_from(["o1", "o2"]),
    "monitor": st.sampled_from(["h1", "h2"]),
}  # fmt: skip


@st.composite
def an_object(draw: Any) -> tuple[str, str, dict[str, Any]]:
    def some(kind: str, most: int = 2) -> list[dict[str, Any]]:
        return refs(*draw(st.lists(SOME[kind], max_size=most, unique=True)))

    kinds = ["vr", "vn", "np", "vmi", "iip", "fip", "float", "fpool", "lb", "ls", "pool", "member", "hm"]
    kind = draw(st.sampled_from(kinds))
    created = {"id_perms": {"created": draw(st.sampled_from(["1", "2"]))}}
    if kind == "vr":
        uuid, name = draw(st.sampled_from([("r1", "n1"), ("r2", "n2"), ("r3", "n3")]))
        return "virtual-router", uuid, {
            "fq_name": ["g", name], "virtual_machine_refs": some("machine"), "virtual_router_ip_address": draw(ROUTERS),
        }  # fmt: skip
    if kind == "vn":
        uuid = draw(SOME["network"])
        index = draw(st.sampled_from([{"n1": 1, "n2": 2, "n3": 3}[uuid], None]))
        number = draw(st.sampled_from([None, 7, 1 << 24]))
        fields = {
            "virtual_network_network_id": index, "network_policy_refs": some("policy"),
            "virtual_network_properties": {"vxlan_network_identifier": number}, "router_external": draw(st.booleans()),
        }  # fmt: skip
        return "virtual-network", uuid, fields
    if kind == "np":
        names = st.sampled_from([{"virtual_network": "n1"}, {"virtual_network": "any"}, {"network_policy": "p2"}])
        rule = pass_rule(draw(names), draw(names), draw(st.sampled_from([">", "<>"])))
        rule |= draw(st.sampled_from([{}, {}, {"protocol": "tcp"}, {"action_list": {"simple_action": "deny"}}]))
        return "network-policy", draw(SOME["policy"]), {"network_policy_entries": {"policy_rule": [rule]}}
    if kind == "vmi":
        return "virtual-machine-interface", draw(SOME["interface"]), {
            "virtual_network_refs": some("network", 1), "virtual_machine_refs": some("machine", 1), "parent_uuid": "p",
            "virtual_machine_interface_mac_addresses": {"mac_address": ["02:00:00:00:00:01"]}, **created,
        }  # fmt: skip
    if kind == "iip":
        return "instance-ip", draw(st.sampled_from(["a1", "a2", "a3"])), {
            "instance_ip_address": draw(ADDRESSES), "virtual_network_refs": some("network", 1),
            "virtual_machine_interface_refs": some("interface"),
        }  # fmt: skip
    if kind == "fip":
        mapping = {"protocol": "TCP", "src_port": draw(st.integers(80, 81)), "dst_port": 8080}
        return "floating-ip", draw(st.sampled_from(["f1", "f2"])), {
            "parent_type": "instance-ip", "parent_uuid": draw(st.sampled_from(["a1", "a2"])),
            "floating_ip_address": draw(ADDRESSES), "virtual_machine_interface_refs": some("interface", 3),
            "floating_ip_port_mappings": {"port_mappings": [mapping]}, "floating_ip_port_mappings_enable": True,
            **created,
        }  # fmt: skip
    if kind == "float":
        return "floating-ip", draw(st.sampled_from(["g1", "g2"])), {
            "parent_type": "floating-ip-pool", "parent_uuid": "fp", "floating_ip_address": draw(ADDRESSES),
            "virtual_machine_interface_refs": some("interface"), **created,
        }  # fmt: skip
    if kind == "fpool":
        return "floating-ip-pool", "fp", {"parent_type": "virtual-network", "parent_uuid": draw(SOME["network"])}
    if kind == "lb":
        return "loadbalancer", draw(SOME["service"]), {
            "loadbalancer_provider": draw(st.sampled_from(["native", None])),
            "virtual_machine_interface_refs": some("interface", 1), **created,
        }  # fmt: skip
    if kind == "ls":
        limit = draw(st.sampled_from([None, -1, 3, 4]))
        protocol = draw(st.sampled_from(["TCP", "UDP", "X"]))
        properties = {"protocol": protocol, "protocol_port": 80, "connection_limit": limit}
        fields = {"loadbalancer_listener_properties": properties, "loadbalancer_refs": some("service", 1)}
        return "loadbalancer-listener", draw(SOME["listener"]), fields
    if kind == "pool":
        properties = {"admin_state": draw(st.booleans())}
        return "loadbalancer-pool", draw(SOME["pool"]), {
            "loadbalancer_pool_properties": properties, "loadbalancer_listener_refs": some("listener"),
            "loadbalancer_healthmonitor_refs": some("monitor"),
            "parent_uuid": "p", "fq_name": ["d", "p", "pool"],
        }  # fmt: skip
    if kind == "hm":
        properties = {
            "monitor_type": draw(st.sampled_from(["TCP", "HTTP", "X"])), "delay": draw(st.integers(0, 2)), "timeout": 1,
            "max_retries": 1, "admin_state": draw(st.sampled_from([True, True, False])),
        }  # fmt: skip
        return (
            "loadbalancer-healthmonitor",
            draw(SOME["monitor"]),
            {"loadbalancer_healthmonitor_properties": properties},
        )
    vmi = draw(st.sampled_from(["i1", "i2", "i3", None]))
    return "loadbalancer-member", draw(st.sampled_from(["e1", "e2", "e3"])), {
        "parent_uuid": draw(SOME["pool"]), "annotations": {"key_value_pair": [{"key": "vmi", "value": vmi}]},
        "loadbalancer_member_properties": {
            "address": draw(ADDRESSES), "protocol_port": 80, "weight": draw(st.integers(0, 2)),
        },
    }  # fmt: skip


WHAT = st.sampled_from(["put", "delete", "put and end of revision", "delete and end of revision"])
STEPS = st.lists(st.tuples(an_object(), WHAT), max_size=60)


def wired() -> Graph:
    """A graph in which the random changes find something to break."""
    graph = Graph()
    for network, index in (("n1", 1), ("n2", 2)):
        graph.put("virtual-network", network, virtual_network_network_id=index, network_policy_refs=refs("p1"))
    any_network = {"virtual_network": "any"}
    graph.put("network-policy", "p1", network_policy_entries={"policy_rule": [pass_rule(any_network, any_network)]})
    for machine, interface, holding, address, network in (
        ("m1", "i1", "a1", "10.0.0.1", "n1"),
        ("m2", "i2", "a2", "10.0.0.2", "n1"),
        ("m1", "i3", "a3", "10.0.0.3", "n2"),
    ):
        graph.put("virtual-machine", machine)
        graph.interface(interface, network, address, machine=machine)
        graph.delete(f"ip-{interface}")
        graph.put("instance-ip", holding, instance_ip_address=address, virtual_network_refs=refs(network),
                  virtual_machine_interface_refs=refs(interface))  # fmt: skip
    graph.put("virtual-router", "r1", fq_name=["g", "n1"], virtual_machine_refs=refs("m1", "m2"),
              virtual_router_ip_address="192.0.2.1")  # fmt: skip
    for service in ("l1", "l2"):  # both want one address
        graph.service(service, "n2", "10.0.1.1", 80)
    graph.member("e1", "pool-l1-80", vmi="i1")
    graph.link("l1", "i1", "i2")
    return graph
