"""Values for every property and reference attribute that Contrail's client has, made from what it says of them."""

from typing import Any

from contrail_objects import condition, vnc_api

# Text of a certain form, by the name of its simple type or of its member; any other text is "text".
FORMS = {
    "CommunityAttribute": "64512:100",
    "IpAddress": "10.7.0.9",
    "IpAddressType": "10.7.0.9",
    "ServiceInterfaceType": "left",
    "UuidStringType": "11111111-2222-4333-8444-555555555555",
    "dateTime": "2020-01-01T00:00:00",
    "ip_prefix": "10.7.0.0",
    "ip_prefix_len": 24,
    "mac_address": "02:00:00:00:00:07",
    "route_target": "target:64512:77",
    "time": "00:00:00",
}

# The server's own, or bound to something else: a client cannot set them on any object as it likes.
NOT_FREE = {
    ("address-group", "draft_mode_state"),
    ("alias-ip", "alias_ip_address"),
    ("application-policy-set", "all_applications"),
    ("application-policy-set", "draft_mode_state"),
    ("bgp-as-a-service", "bgpaas_shared"),
    ("firewall-policy", "draft_mode_state"),
    ("firewall-rule", "address_group_refs"),
    ("firewall-rule", "draft_mode_state"),
    ("firewall-rule", "match_tag_types"),
    ("firewall-rule", "match_tags"),
    ("firewall-rule", "service_group_refs"),
    ("firewall-rule", "virtual_network_refs"),
    ("floating-ip", "floating_ip_address"),
    ("floating-ip-pool", "floating_ip_pool_subnets"),
    ("global-system-config", "enable_security_policy_draft"),
    ("host-based-service", "virtual_network_refs"),
    ("instance-ip", "instance_ip_address"),
    ("instance-ip", "subnet_uuid"),
    ("logical-interface", "display_name"),
    ("network-ipam", "ipam_subnet_method"),
    ("network-ipam", "ipam_subnets"),
    ("network-ipam", "ipam_subnetting"),
    ("physical-interface", "display_name"),
    ("project", "enable_security_policy_draft"),
    ("routing-instance", "routing_instance_is_default"),
    ("security-group", "security_group_id"),
    ("service-group", "draft_mode_state"),
    ("sub-cluster", "sub_cluster_asn"),
    ("tag", "display_name"),
    ("tag", "tag_id"),
    ("tag", "tag_type_name"),
    ("tag", "tag_type_refs"),
    ("tag", "tag_value"),
    ("tag-type", "display_name"),
    ("tag-type", "tag_type_id"),
    ("virtual-network", "address_allocation_mode"),
    ("virtual-network", "virtual_network_network_id"),
    ("virtual-router", "network_ipam_refs"),
}


def anything() -> Any:
    return vnc_api.FirewallRuleEndpointType(any=True)


def rules(**ends: Any) -> Any:
    """Of a network-policy or a security-group."""
    ports = {"src_ports": [vnc_api.PortType(0, 65535)], "dst_ports": [vnc_api.PortType(80, 80)]}
    rule = vnc_api.PolicyRuleType(
        rule_uuid="11111111-2222-4333-8444-555555555555", direction=">", protocol="tcp", **ports, **ends
    )
    return vnc_api.PolicyEntriesType([rule])


# Where the members of one value must suit each other.
VALUES = {
    ("alarm", "alarm_rules"): lambda: vnc_api.AlarmOrList([vnc_api.AlarmAndList([condition()])]),
    ("firewall-rule", "action_list"): lambda: vnc_api.ActionListType(
        simple_action="deny", gateway_name="text", log=True, alert=True, qos_action="text", host_based_service=False
    ),
    ("firewall-rule", "endpoint_1"): anything,
    ("firewall-rule", "endpoint_2"): anything,
    ("firewall-rule", "service"): lambda: vnc_api.FirewallServiceType(
        protocol="tcp", protocol_id=6, src_ports=vnc_api.PortType(0, 65535), dst_ports=vnc_api.PortType(1, 2)
    ),
    ("logical-router", "vxlan_network_identifier"): lambda: "4712",
    ("network-policy", "network_policy_entries"): lambda: rules(
        src_addresses=[vnc_api.AddressType(virtual_network="any")],
        dst_addresses=[vnc_api.AddressType(virtual_network="any")],
        action_list=vnc_api.ActionListType(simple_action="pass"),
        ethertype="IPv4",
    ),
    ("physical-interface", "ethernet_segment_identifier"): lambda: "00:11:22:33:44:55:66:77:88:99",
    ("physical-interface", "physical_interface_lacp_force_up"): lambda: False,  # true is for access interfaces
    ("route-aggregate", "aggregate_route_entries"): lambda: vnc_api.RouteListType(["10.7.0.0/24"]),
    ("security-group", "security_group_entries"): lambda: rules(
        src_addresses=[vnc_api.AddressType(subnet=vnc_api.SubnetType("0.0.0.0", 0))],
        dst_addresses=[vnc_api.AddressType(security_group="local")],
        ethertype="IPv4",
    ),
    ("service-group", "service_group_firewall_service_list"): lambda: vnc_api.FirewallServiceGroupType(
        [vnc_api.FirewallServiceType(src_ports=vnc_api.PortType(0, 65534), dst_ports=vnc_api.PortType(80, 81))]
    ),
    ("storm-control-profile", "storm_control_parameters"): lambda: vnc_api.StormControlParameters(
        storm_control_actions=["interface-shutdown"], recovery_timeout=10, no_multicast=True, bandwidth_percent=20
    ),
    ("virtual-DNS", "virtual_DNS_data"): lambda: vnc_api.VirtualDnsType(
        "example.org", True, "random", 7, "10.7.0.9", "dashed-ip", True, True
    ),
    ("virtual-DNS-record", "virtual_DNS_record_data"): lambda: vnc_api.VirtualDnsRecordType(
        "mail", "MX", "IN", "mx.example.org", 7, 10
    ),
    ("virtual-machine-interface", "virtual_machine_interface_bindings"): lambda: vnc_api.KeyValuePairs(
        [vnc_api.KeyValuePair("host_id", "text"), vnc_api.KeyValuePair("vnic_type", "normal")]
    ),
    ("virtual-machine-interface", "virtual_machine_interface_properties"): lambda: (
        vnc_api.VirtualMachineInterfacePropertiesType(service_interface_type="left", local_preference=200)
    ),
    ("virtual-network", "is_provider_network"): lambda: False,  # true is for good, as its provider_properties then
    ("virtual-network", "multi_policy_service_chains_enabled"): lambda: False,  # not with route targets
    ("virtual-network", "network_ipam_refs"): lambda: vnc_api.VnSubnetsType(
        [
            vnc_api.IpamSubnetType(
                subnet=vnc_api.SubnetType("10.7.0.0", 24),
                subnet_uuid="11111111-2222-4333-8444-555555555555",
                default_gateway="10.7.0.1",
                dns_server_address="10.7.0.2",
                allocation_pools=[vnc_api.AllocationPoolType("10.7.0.10", "10.7.0.20")],
                host_routes=vnc_api.RouteTableType([vnc_api.RouteType("10.8.0.0/16", "10.7.0.7")]),
                enable_dhcp=True,
                dns_nameservers=["10.7.0.3"],
                addr_from_start=True,
                subnet_name="text",
            )
        ]
    ),
    ("virtual-network", "virtual_network_properties"): lambda: vnc_api.VirtualNetworkType(
        allow_transit=True, vxlan_network_identifier=4711, forwarding_mode="l2_l3", rpf="enable", max_flows=7
    ),
}


def values(kind: str) -> dict[str, Any]:
    """For every property of a type that a client may set freely."""
    cls = vnc_api.get_object_class(kind)
    made = {}
    for field, described in sorted(cls.prop_field_types.items()):
        if (kind, field) in NOT_FREE or field in ("id_perms", "perms2"):
            continue
        special = VALUES.get((kind, field))
        made[field] = special() if special else value(field, described["xsd_type"], described)
    return made


def attributes(kind: str, field: str) -> list[Any]:
    """The attribute of a kind of reference, if it has one."""
    name = vnc_api.get_object_class(kind).ref_field_types[field][1]
    if name == "None":
        return []
    special = VALUES.get((kind, field))
    return [special() if special else filled(getattr(vnc_api, name))]


def filled(cls: Any) -> Any:
    """A value of a complex type, with every member."""
    members = {}
    for name, described in cls.attr_field_type_vals.items():
        one = value(name, described["attr_type"], described)
        members[name] = [one] if described["is_array"] else one
    return cls(**members)


def value(name: str, kind: str, described: dict[str, Any]) -> Any:
    if described["is_complex"]:
        return filled(getattr(vnc_api, kind))
    if described["restrictions"]:
        return described["restrictions"][0]
    for form in (name, described["simple_type"], kind):
        if form in FORMS:
            return FORMS[form]
    return {"boolean": True, "integer": 7, "unsignedLong": 7}.get(kind, "text")


CHANGES = {"text": "other", "10.7.0.0": "10.8.0.0", "10.7.0.9": "10.7.0.8", '"up"': '"down"'}


def changed(value: Any, key: str | None = None) -> Any:
    """Another value of the same kind, in its wire form. key: the member that stays."""
    if isinstance(value, dict):
        return {name: member if name == key else changed(member) for name, member in value.items()}
    if isinstance(value, list):
        return [changed(one) for one in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return value + 1
    return CHANGES.get(value, value)


def plain(value: Any) -> Any:
    """As it goes over the wire."""
    return value.exportDict("") if hasattr(value, "exportDict") else value
