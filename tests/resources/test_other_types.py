"""Types with a rule or two of their own (contract 5.11)."""

from typing import Any

import pytest
from resource_client import DOMAIN, Client, to

from api_server.errors import BadRequest, Conflict, Forbidden, NotFound
from api_server.resources.elements import collection_update
from api_server.store.objects import Object

SYSTEM = "default-global-system-config"
PROJECT = (DOMAIN, "p1")
FABRIC = (DOMAIN, "default-project", "ip-fabric", "__default__")


async def refused(client: Client, kind: str, name: tuple[str, ...], text: str, **fields: Any) -> None:
    with pytest.raises(BadRequest, match=text):
        await client.create(kind, name, **fields)


# --- BGP


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"hold_time": 2}, "Hold Time MUST be either zero or at least three seconds"),
        ({"autonomous_system": 70000}, "ASN out of range, should be between 1-0xFFFF"),
        ({"local_autonomous_system": 70000}, "ASN out of range"),
    ],
)
async def test_numbers_of_a_bgp_router(client: Client, parameters: dict[str, Any], text: str) -> None:
    await refused(client, "bgp-router", (*FABRIC, "r"), text, bgp_router_parameters=parameters)
    fine = {"hold_time": 3, "autonomous_system": 64512, "local_autonomous_system": 1}
    router = await client.create("bgp-router", (*FABRIC, "r"), bgp_router_parameters=fine)
    with pytest.raises(BadRequest, match=text):
        await client.update(router, bgp_router_parameters=parameters)


async def test_a_bgp_router_is_of_its_sub_cluster_and_zone(client: Client) -> None:
    cluster = await client.create("sub-cluster", ["s"], sub_cluster_asn=100)
    zones = [await client.create("control-node-zone", (SYSTEM, name)) for name in "ab"]
    control = {"autonomous_system": 100, "router_type": "control-node"}
    await client.create("bgp-router", (*FABRIC, "r"), bgp_router_parameters=control,
                        sub_cluster_refs=[to(cluster)], control_node_zone_refs=[to(zones[0])])  # fmt: skip
    for fields, text in (
        ({"bgp_router_parameters": {"autonomous_system": 101}, "sub_cluster_refs": [to(cluster)]}, "should be same"),
        ({"bgp_router_parameters": control, "control_node_zone_refs": list(map(to, zones))}, "only one control-node"),
        ({"bgp_router_parameters": {}, "control_node_zone_refs": [to(zones[0])]}, "type should be 'control-node'"),
    ):
        await refused(client, "bgp-router", (*FABRIC, "q"), text, **fields)


async def test_bgp_as_a_service(client: Client) -> None:
    name = (*PROJECT, "b")
    for fields, text in (
        ({"bgpaas_session_attributes": {"hold_time": 1}}, "Hold Time"),
        ({"autonomous_system": 70000}, "ASN out of range"),
        ({"bgpaas_shared": True}, "IP Address needs to be configured if BGPaaS is shared"),
    ):
        await refused(client, "bgp-as-a-service", name, text, **fields)
    service = await client.create("bgp-as-a-service", name, bgpaas_shared=True, bgpaas_ip_address="10.0.0.1")
    with pytest.raises(BadRequest, match="BGPaaS sharing cannot be modified"):
        await client.update(service, bgpaas_shared=False)
    zones = [await client.create("control-node-zone", (SYSTEM, zone)) for zone in "ab"]
    attr = {"bgpaas_control_node_zone_type": "primary"}
    with pytest.raises(BadRequest, match="more than one primary control-node-zones"):
        await client.update(service, control_node_zone_refs=[to(zone, attr) for zone in zones])


async def test_sub_clusters_have_numbers(client: Client) -> None:
    first = await client.create("sub-cluster", ["a"], sub_cluster_asn=1)
    second = await client.create("sub-cluster", ["b"], sub_cluster_id=70000)
    assert [each.properties["sub_cluster_id"] for each in (first, second)] == [1, 70000]
    with pytest.raises(BadRequest, match="'1' is already used"):
        await client.update(second, sub_cluster_id=1)
    with pytest.raises(BadRequest, match="can not be modified"):
        await client.update(first, sub_cluster_asn=2)
    second = await client.update(second, sub_cluster_id=2)
    assert (await client.create("sub-cluster", ["c"])).properties["sub_cluster_id"] == 3
    await client.delete(first)
    assert (await client.create("sub-cluster", ["d"])).properties["sub_cluster_id"] == 1


# --- QoS, alarms, devices


@pytest.mark.parametrize(
    ("field", "most", "title"),
    [("dscp_entries", 63, "DSCP"), ("vlan_priority_entries", 7, "802.1p"), ("mpls_exp_entries", 7, "MPLS EXP")],
)
async def test_values_that_a_packet_has_room_for(client: Client, field: str, most: int, title: str) -> None:
    def entries(key: int) -> dict[str, Any]:
        return {field: {"qos_id_forwarding_class_pair": [{"key": key, "forwarding_class_id": 1}]}}

    config = await client.create("qos-config", (*PROJECT, "q"), parent_type="project", **entries(most))
    assert [each.fq_name for each in config.references["global_system_config_refs"]] == [(SYSTEM,)]
    for key in (-1, most + 1):
        with pytest.raises(BadRequest, match=f"Invalid {title} value {key}"):
            await client.update(config, **entries(key))


async def test_forwarding_classes_have_numbers_of_their_own(client: Client) -> None:
    above = (SYSTEM, "default-global-qos-config")
    first = await client.create("forwarding-class", (*above, "a"))
    await refused(client, "forwarding-class", (*above, "b"), "is configured with a id 0")
    second = await client.create("forwarding-class", (*above, "b"), forwarding_class_id=1)
    with pytest.raises(BadRequest, match="is configured with a id 1"):
        await client.update(first, forwarding_class_id=1)
    await client.update(second, forwarding_class_id=1)


def rules(operation: str = "==", **operand2: str) -> dict[str, Any]:
    condition = {"operation": operation, "operand1": "a.b", "operand2": operand2}
    return {"alarm_rules": {"or_list": [{"and_list": [condition]}]}}


async def test_alarms_have_rules(client: Client) -> None:
    name = (*PROJECT, "a")
    for fields, text in (
        ({}, "alarm_rules not specified or null"),
        (rules(), "should have 'uve_attribute' or 'json_value'"),
        (rules(uve_attribute="x", json_value="1"), "not both"),
        (rules(json_value="{"), "Invalid json_value"),
        (rules("range", uve_attribute="x"), "json_value not specified"),
        (rules("range", json_value="[2, 1]"), "should be specified as"),
        (rules("range", json_value="7"), "should be specified as"),
    ):
        await refused(client, "alarm", name, text, parent_type="project", **fields)
    alarm = await client.create("alarm", name, parent_type="project", **rules("range", json_value="[1, 2.5]"))
    with pytest.raises(BadRequest, match="alarm_rules cannot be removed"):
        await client.update(alarm, alarm_rules=None)
    last = [{"field": "alarm_rules", "operation": "delete", "position": "0"}]
    await client.call(lambda tx: collection_update(client.operations, tx, alarm.uuid, last))


async def test_a_new_physical_router_is_not_on_its_way_out(client: Client) -> None:
    name = (SYSTEM, "leaf")
    await refused(client, "physical-router", name, "Managed state cannot be rma", physical_router_managed_state="rma")
    profiles = [await client.create("telemetry-profile", (*PROJECT, each)) for each in "ab"]
    references = [to(profile) for profile in profiles]
    await refused(client, "physical-router", name, "more than one telemetry", telemetry_profile_refs=references)
    router = await client.create("physical-router", name, telemetry_profile_refs=references[:1])
    await client.update(router, physical_router_managed_state="rma")


async def test_interfaces_of_a_router_have_names_and_tags_of_their_own(client: Client) -> None:
    router = await client.create("physical-router", (SYSTEM, "leaf"), physical_router_product_name="qfx5120")
    port = await client.create("physical-interface", (*router.fq_name, "xe-0"))
    with pytest.raises(Forbidden, match="Display name already used in another interface"):
        await client.create("physical-interface", (*router.fq_name, "other"), display_name="xe-0")
    with pytest.raises(Forbidden, match="Cannot change display name"):
        await client.update(port, display_name="xe-1")

    async def unit(name: str, tag: int, **fields: Any) -> Object:
        name_of = (*port.fq_name, name)
        fields |= {"parent_type": "physical-interface", "logical_interface_vlan_tag": tag}
        return await client.create("logical-interface", name_of, **fields)

    ten = await unit("xe-0.10", 10)
    for tag, text in ((10, "Vlan tag  10  already used"), (4095, "Invalid Vlan id"), (-1, "Invalid Vlan id")):
        with pytest.raises(Forbidden, match=text):
            await unit("xe-0.x", tag)
    with pytest.raises(BadRequest, match="Vlan ids 1, 2, 4094 are not allowed"):
        await unit("xe-0.2", 2, logical_interface_type="l2")
    await unit("xe-0.2", 2, logical_interface_type="l3")
    with pytest.raises(Forbidden, match="Cannot change Vlan id"):
        await client.update(ten, logical_interface_vlan_tag=11)
    await client.update(ten, logical_interface_vlan_tag=10)


async def test_access_interfaces_are_configured_otherwise(client: Client) -> None:
    router = await client.create("physical-router", (SYSTEM, "leaf"))
    name = (*router.fq_name, "xe-0")
    for fields, text in (
        ({"physical_interface_type": "access", "physical_interface_flow_control": True}, "Cannot set mtu or flow"),
        ({"physical_interface_type": "access", "physical_interface_port_params": {"port_mtu": 9000}}, "Cannot set mtu"),
        ({"physical_interface_lacp_force_up": True}, "Cannot set LACP Force-Up"),
        ({"ethernet_segment_identifier": "00:11"}, "Invalid ESI string format"),
    ):
        await refused(client, "physical-interface", name, text, **fields)
    port = await client.create("physical-interface", name, physical_interface_type="access")
    with pytest.raises(BadRequest, match="Cannot set physical interface type: fabric on already existing access"):
        await client.update(port, physical_interface_type="fabric")


async def test_the_same_machines_are_behind_an_ethernet_segment(client: Client) -> None:
    network = await client.create("virtual-network", (*PROJECT, "vn"))
    one, other = [to(await client.interface((*PROJECT, name), network)) for name in "ab"]
    router = await client.create("physical-router", (SYSTEM, "leaf"))
    segment = ":".join(["00"] * 10)

    async def port(name: str, **fields: Any) -> Object:
        return await client.create("physical-interface", (*router.fq_name, name), **fields)

    async def unit(above: Object, *machines: dict[str, Any]) -> Object:
        fields = {"parent_type": "physical-interface", "logical_interface_vlan_tag": 7}
        name = (*above.fq_name, f"{above.fq_name[-1]}.7")
        return await client.create("logical-interface", name, virtual_machine_interface_refs=list(machines), **fields)

    first, second = [await port(name, ethernet_segment_identifier=segment) for name in ("xe-0", "xe-1")]
    await unit(first, one)
    with pytest.raises(Forbidden, match="same set of VMIs"):
        await unit(second, other)
    empty = await unit(second)
    with pytest.raises(Forbidden, match="same set of VMIs"):
        await client.update(empty, virtual_machine_interface_refs=[other])
    await client.update(empty, virtual_machine_interface_refs=[one])
    third = await port("xe-2")
    wrong = await unit(third, other)
    with pytest.raises(Forbidden, match="same ESI family"):
        await client.update(third, ethernet_segment_identifier=segment)
    await client.update(wrong, virtual_machine_interface_refs=[one])
    await client.update(third, ethernet_segment_identifier=segment)


async def test_a_fabric_keeps_its_style(client: Client) -> None:
    fabric = await client.create("fabric", (SYSTEM, "f"), fabric_enterprise_style=False)
    with pytest.raises(Forbidden, match="Cannot change from sp-style"):
        await client.update(fabric, fabric_enterprise_style=True)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"bandwidth_percent": 101}, "Invalid bandwidth percentage 101"),
        ({"no_multicast": True}, "Invalid bandwidth percentage None"),
        ({"bandwidth_percent": 20, "recovery_timeout": 9}, "Invalid recovery timeout 9"),
        ({"bandwidth_percent": 20, "no_multicast": True, "no_registered_multicast": True}, "more than one multicast"),
    ],
)
async def test_storm_control(client: Client, parameters: dict[str, Any], text: str) -> None:
    await refused(client, "storm-control-profile", (*PROJECT, "s"), text, storm_control_parameters=parameters)
    fine = {"bandwidth_percent": 100, "recovery_timeout": 10, "no_multicast": True}
    profile = await client.create("storm-control-profile", (*PROJECT, "s"), storm_control_parameters=fine)
    with pytest.raises(BadRequest, match=text):
        await client.update(profile, storm_control_parameters=parameters)


async def test_a_port_has_one_storm_control(client: Client) -> None:
    storms = [to(await client.create("storm-control-profile", (*PROJECT, name))) for name in "ab"]
    text = "has more than one storm profile refs"
    await refused(client, "port-profile", (*PROJECT, "p"), text, storm_control_profile_refs=storms)


# --- services, layer 2


async def test_a_host_based_service_has_networks(client: Client) -> None:
    await client.update(await client.find("project", PROJECT), quota={"host_based_service": 1})
    network = await client.create("virtual-network", (*PROJECT, "vn"))
    left = to(network, {"virtual_network_type": "left"})
    await refused(client, "host-based-service", (*PROJECT, "h"), "cannot be created", virtual_network_refs=[left])
    service = await client.create("host-based-service", (*PROJECT, "h"))
    assert service.properties["host_based_service_type"] == "firewall"
    sides = {each.attr["virtual_network_type"]: each for each in service.references["virtual_network_refs"]}
    assert [sides[side].fq_name[-1] for side in ("left", "right")] == ["__h-hbf-left__", "__h-hbf-right__"]
    own = [await client.find("virtual-network", each.fq_name) for each in sides.values()]
    prefixes = [each.references["network_ipam_refs"][0].attr["ipam_subnets"][0]["subnet"]["ip_prefix"] for each in own]
    assert sorted(prefixes) == ["0.1.0.0", "0.2.0.0"]
    for references in ([], [left]):
        with pytest.raises(BadRequest, match="cannot be updated"):
            await client.update(service, virtual_network_refs=references)
    with pytest.raises(BadRequest, match="cannot be referenced by more than one"):
        await client.ref_update(service, "ADD", network, {"virtual_network_type": "left"})
    interface = await client.interface((*PROJECT, "i"), own[0])
    with pytest.raises(BadRequest, match="got interfaces, cannot be removed"):
        await client.delete(service)
    await client.delete(interface)
    await client.delete(service)
    assert [await client.get(each) for each in own] == [None, None]


async def test_a_route_aggregate_is_of_one_family_and_service(client: Client) -> None:
    name = (*PROJECT, "a")
    for routes, text in ((["10.0.0.0/8", "fd00::/8"], "same ip family"), (["somewhere"], "Invalid route")):
        await refused(client, "route-aggregate", name, text, aggregate_route_entries={"route": routes})
    services = [to(await client.create("service-instance", (*PROJECT, each)), None) for each in "ab"]
    await refused(client, "route-aggregate", name, "only one service instance",
                  service_instance_refs=[one | {"attr": {"interface_type": "left"}} for one in services])  # fmt: skip
    await client.create("route-aggregate", name, aggregate_route_entries={"route": ["10.0.0.0/8", "10.1.0.1/32"]})


async def test_a_network_has_one_bridge_domain(client: Client) -> None:
    network = await client.create("virtual-network", (*PROJECT, "vn"))
    await client.create("bridge-domain", (*network.fq_name, "a"))
    await refused(client, "bridge-domain", (*network.fq_name, "b"), "can have only one bridge domain")


async def test_port_tuples_go_with_their_service(client: Client) -> None:
    service = await client.create("service-instance", (*PROJECT, "s"))
    ports = await client.create("port-tuple", (*service.fq_name, "pt"))
    network = await client.create("virtual-network", (*PROJECT, "vn"))
    interface = await client.interface((*PROJECT, "i"), network, port_tuple_refs=[to(ports)])
    await client.delete(service)
    found: Object | None = await client.get(interface)
    assert found is not None
    assert found.targets("port-tuple") == []


async def test_a_service_template_in_use_stays(client: Client) -> None:
    template = await client.create("service-template", (DOMAIN, "t"))
    await client.create("service-instance", (*PROJECT, "s"), service_template_refs=[to(template)])
    with pytest.raises(Conflict, match="still referred"):
        await client.delete(template)


# --- routing policies


def terms(*conditions: dict[str, Any], **actions: Any) -> dict[str, Any]:
    return {"term": [{"term_match_condition": condition, "term_action_list": actions} for condition in conditions]}


def filtered(**wanted: Any) -> dict[str, Any]:
    return {"route_filter": {"route_filter_properties": [wanted]}}


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        (terms({"protocol": ["xmpp"]}), "xmpp protocol value is not valid value for network-device term"),
        (terms({}, {"nlri_route_type": [11]}), "11 nlri-route-type is not valid value"),
        (terms(filtered(route_type="exact")), "route_filter must have non-empty route value"),
        (terms(filtered(route="10.0.0.0/8")), "route_filter must have valid route_type"),
        (terms(filtered(route="10.0.0.0/x", route_type="exact")), "invalid route in route_filter"),
        (terms(filtered(route="10.0.0.0/8", route_type="upto", route_type_value="/33")), "'/33' is invalid"),
        (terms(filtered(route="10.0.0.0/8", route_type="through")), "should be non-empty string"),
        (
            terms(filtered(route="10.0.0.0/8", route_type="prefix-length-range", route_type_value="/8")),
            "value /8 invalid. prefix-length-range should be in format '/minlength-/maxlength'",
        ),
        (terms({}, as_path_prepend="64513,64514"), "as_path_prepend has invalid value 64513,64514"),
    ],
)
async def test_what_a_network_device_could_not_be_told(client: Client, entries: dict[str, Any], text: str) -> None:
    fields = {"term_type": "network-device", "routing_policy_entries": entries}
    await refused(client, "routing-policy", (*PROJECT, "r"), text, **fields)
    policy = await client.create("routing-policy", (*PROJECT, "r"), term_type="network-device")
    with pytest.raises(BadRequest, match=text):
        await client.update(policy, routing_policy_entries=entries)
    await client.create("routing-policy", (*PROJECT, "v"), routing_policy_entries=entries)  # a vRouter's are not its


async def test_a_routing_policy_is_for_vrouters_or_for_devices(client: Client) -> None:
    policy = await client.create("routing-policy", (*PROJECT, "r"), term_type="network-device")
    with pytest.raises(Forbidden, match="Cannot change term_type of routing policy!"):
        await client.update(policy, term_type="vrouter")


async def test_the_systems_own_number_does_not_go_into_a_path(client: Client) -> None:
    entries = terms({}, update={"as_path": {"expand": {"asn_list": [64512]}}})
    text = "ASN can't be same as global system config asn"
    await refused(client, "routing-policy", (*PROJECT, "r"), text, routing_policy_entries=entries)


async def test_tables_that_a_prefix_list_names_are_referred_to(client: Client) -> None:
    tables = [await client.create("interface-route-table", (*PROJECT, name)) for name in "ab"]

    def named(*uuids: str) -> dict[str, Any]:
        return terms({"prefix_list": [{"interface_route_table_uuid": list(uuids)}]})

    fields = {"term_type": "network-device", "routing_policy_entries": named(*(table.uuid for table in tables))}
    policy = await client.create("routing-policy", (*PROJECT, "r"), **fields)
    assert set(policy.targets("interface-route-table")) == {table.uuid for table in tables}
    policy = await client.update(policy, display_name="the same")
    assert len(policy.targets("interface-route-table")) == 2
    with pytest.raises(Conflict):
        await client.delete(tables[0])
    policy = await client.update(policy, routing_policy_entries=named(tables[1].uuid))
    assert policy.targets("interface-route-table") == [tables[1].uuid]
    await client.delete(tables[0])
    for uuid in (tables[0].uuid, policy.uuid):
        with pytest.raises(NotFound):
            await client.update(policy, routing_policy_entries=named(uuid))
    loose = await client.create("routing-policy", (*PROJECT, "v"), routing_policy_entries=named(policy.uuid))
    assert "interface_route_table_refs" not in loose.references  # a vRouter's names what it likes
