"""Networks as Contrail's client makes them: addresses of every kind, routers and routes, groups, policies, services."""

from typing import Any

import pytest
from contrail_objects import Maker, vnc_api


def uuids(references: list[dict[str, Any]] | None) -> set[str]:
    return {reference["uuid"] for reference in references or []}


def subnets(network: Any) -> list[Any]:
    return [subnet for ipam in network.get_network_ipam_refs() for subnet in ipam["attr"].ipam_subnets]


# --- networks and addresses


def test_a_network_is_filled_in(maker: Maker) -> None:
    network = maker.network("10.9.0.0/24", "fd00::/120")
    four, six = subnets(network)
    assert (four.default_gateway, four.dns_server_address) == ("10.9.0.254", "10.9.0.253")
    assert six.default_gateway.startswith("fd00::")
    assert four.subnet_uuid != six.subnet_uuid
    assert network.virtual_network_network_id > 4
    assert network.is_shared is False
    (instance,) = network.get_routing_instances()
    assert maker.vnc.routing_instance_read(id=instance["uuid"]).routing_instance_is_default is True


def test_a_network_is_deleted_when_nothing_uses_it(vnc: Any, maker: Maker) -> None:
    network = maker.network("10.9.0.0/24")
    pool = maker.make("floating-ip-pool", parent=network)
    floating_ip = maker.make("floating-ip", parent=pool)
    interface = maker.interface(network)
    address = maker.instance_ip(network, interface)

    def refused() -> None:
        with pytest.raises(vnc_api.RefsExistError):
            vnc.virtual_network_delete(id=network.uuid)

    refused()
    with pytest.raises(vnc_api.RefsExistError):
        vnc.floating_ip_pool_delete(id=pool.uuid)
    vnc.floating_ip_delete(id=floating_ip.uuid)
    vnc.floating_ip_pool_delete(id=pool.uuid)
    refused()
    vnc.instance_ip_delete(id=address.uuid)
    refused()
    vnc.virtual_machine_interface_delete(id=interface.uuid)
    vnc.virtual_network_delete(id=network.uuid)
    with pytest.raises(vnc_api.NoIdError):
        vnc.routing_instance_read([*network.fq_name, network.name])


def test_a_subnet_is_added_and_taken_away_when_it_is_free(vnc: Any, maker: Maker) -> None:
    network = maker.network("10.9.0.0/24")
    (ipam,) = network.get_network_ipam_refs()
    (first,) = subnets(network)
    second = vnc_api.IpamSubnetType(subnet=vnc_api.SubnetType("10.8.0.0", 24))

    def update(*wanted: Any) -> None:
        found = maker.read(network)
        found.set_network_ipam(vnc.network_ipam_read(id=ipam["uuid"]), vnc_api.VnSubnetsType(list(wanted)))
        vnc.virtual_network_update(found)

    update(first, second)
    kept, second = subnets(maker.read(network))
    assert kept.subnet_uuid == first.subnet_uuid
    held = maker.instance_ip(network, subnet_uuid=second.subnet_uuid)
    assert held.instance_ip_address == "10.8.0.252"
    with pytest.raises(vnc_api.RefsExistError, match="is in use"):
        update(first)
    vnc.instance_ip_delete(id=held.uuid)
    update(first)
    assert len(subnets(maker.read(network))) == 1


def test_one_address_on_several_interfaces(vnc: Any, maker: Maker) -> None:
    """As a router of two, or a service that scales, shares one."""
    network = maker.network("10.9.0.0/24")
    one, two = maker.interface(network), maker.interface(network)
    shared = maker.instance_ip(network, one, two, instance_ip_mode="active-active")
    for interface in (one, two):
        assert uuids(maker.read(interface).get_instance_ip_back_refs()) == {shared.uuid}
    shared.del_virtual_machine_interface(one)
    vnc.instance_ip_update(shared)
    assert uuids(maker.read(shared).get_virtual_machine_interface_refs()) == {two.uuid}


@pytest.mark.parametrize("kind", ["floating-ip", "alias-ip"])
def test_an_outer_address_moves_between_interfaces(kind: str, vnc: Any, maker: Maker) -> None:
    outside, inside = maker.network("198.51.100.0/24"), maker.network("10.9.0.0/24")
    pool = maker.make(f"{kind}-pool", parent=outside)
    field = kind.replace("-", "_")
    made = maker.make(kind, parent=pool)
    assert getattr(made, f"{field}_address") == "198.51.100.252"
    assert [project["to"] for project in made.get_project_refs()] == [outside.fq_name[:2]]
    chosen = maker.make(kind, parent=pool, **{f"{field}_address": "198.51.100.7"})
    assert getattr(chosen, f"{field}_address") == "198.51.100.7"
    with pytest.raises(vnc_api.RefsExistError):
        maker.make(kind, parent=pool, **{f"{field}_address": "198.51.100.7"})

    one, two = maker.interface(inside), maker.interface(inside)
    for interface in (one, two):
        found = maker.read(made)
        found.set_virtual_machine_interface(interface)
        getattr(vnc, f"{field}_update")(found)
        assert uuids(getattr(maker.read(interface), f"get_{field}_back_refs")()) == {made.uuid}
    assert getattr(maker.read(one), f"get_{field}_back_refs")() is None
    with pytest.raises(vnc_api.RefsExistError):
        vnc.virtual_machine_interface_delete(id=two.uuid)
    getattr(vnc, f"{field}_delete")(id=made.uuid)
    vnc.virtual_machine_interface_delete(id=two.uuid)


def test_addresses_of_a_flat_ipam(maker: Maker) -> None:
    ipam = maker.make(
        "network-ipam",
        ipam_subnet_method="flat-subnet",
        ipam_subnets=vnc_api.IpamSubnets([vnc_api.IpamSubnetType(subnet=vnc_api.SubnetType("10.32.0.0", 24))]),
    )
    networks = [
        maker.make(
            "virtual-network",
            virtual_network_properties=vnc_api.VirtualNetworkType(forwarding_mode="l3"),
            address_allocation_mode="flat-subnet-only",
            network_ipam_refs=[(ipam, vnc_api.VnSubnetsType([]))],
        )
        for _ in range(2)
    ]
    held = [maker.instance_ip(network, subnet_uuid=subnets(network)[0].subnet_uuid) for network in networks]
    assert [address.instance_ip_address for address in held] == ["10.32.0.252", "10.32.0.251"]


# --- interfaces and machines


def test_a_machine_on_a_node(vnc: Any, maker: Maker) -> None:
    router = maker.make("virtual-router", virtual_router_ip_address="192.0.2.1")
    machine = maker.make("virtual-machine")
    interface = maker.interface(
        maker.network("10.9.0.0/24"),
        virtual_machine_refs=[(machine,)],
        virtual_machine_interface_bindings=vnc_api.KeyValuePairs([vnc_api.KeyValuePair("host_id", router.name)]),
    )
    assert interface.get_virtual_machine_interface_mac_addresses().mac_address[0].startswith("02:")
    bindings = {pair.key: pair.value for pair in interface.get_virtual_machine_interface_bindings().key_value_pair}
    assert bindings["vnic_type"] == "normal"
    assert uuids(maker.read(machine).get_virtual_machine_interface_back_refs()) == {interface.uuid}
    vnc.ref_update("virtual-router", router.uuid, "virtual-machine", machine.uuid, None, "ADD")
    assert uuids(maker.read(machine).get_virtual_router_back_refs()) == {router.uuid}
    with pytest.raises(vnc_api.RefsExistError):
        vnc.virtual_machine_delete(id=machine.uuid)


def test_a_port_behind_another(vnc: Any, maker: Maker) -> None:
    """A sub-interface of a VLAN: the two refer to each other, and the outer one stays as long as it has others."""
    outer = maker.interface(maker.network("10.9.0.0/24"))
    tag = vnc_api.VirtualMachineInterfacePropertiesType(sub_interface_vlan_tag=7)
    inner = maker.interface(
        maker.network("10.8.0.0/24"),
        virtual_machine_interface_properties=tag,
        virtual_machine_interface_refs=[(outer,)],
    )
    assert uuids(maker.read(outer).get_virtual_machine_interface_refs()) == {inner.uuid}
    with pytest.raises(vnc_api.RefsExistError):
        vnc.virtual_machine_interface_delete(id=outer.uuid)
    vnc.virtual_machine_interface_delete(id=inner.uuid)
    vnc.virtual_machine_interface_delete(id=outer.uuid)


def test_a_service_of_two_legs(maker: Maker) -> None:
    """A service-instance with a port-tuple, whose interfaces are its left and right; a health check watches it."""
    template = maker.make("service-template")
    instance = maker.make("service-instance", service_template_refs=[(template,)])
    tuple_ = maker.make("port-tuple", parent=instance)
    legs = [
        maker.interface(
            maker.network("10.9.0.0/24"),
            port_tuple_refs=[(tuple_,)],
            virtual_machine_interface_properties=vnc_api.VirtualMachineInterfacePropertiesType(
                service_interface_type=side
            ),
        )
        for side in ("left", "right")
    ]
    assert uuids(maker.read(tuple_).get_virtual_machine_interface_back_refs()) == {leg.uuid for leg in legs}
    check = maker.make(
        "service-health-check",
        service_health_check_properties=vnc_api.ServiceHealthCheckType(
            enabled=True, health_check_type="end-to-end", monitor_type="PING", delay=3, timeout=5, max_retries=2
        ),
        service_instance_refs=[(instance, vnc_api.ServiceInterfaceTag(interface_type="left"))],
    )
    assert uuids(maker.read(instance).get_service_health_check_back_refs()) == {check.uuid}


# --- routers and routes


def test_a_router_between_networks(vnc: Any, maker: Maker) -> None:
    ports = [maker.interface(maker.network(prefix)) for prefix in ("10.8.0.0/24", "10.9.0.0/24")]
    table = maker.make(
        "route-table", routes=vnc_api.RouteTableType([vnc_api.RouteType("0.0.0.0/0", "10.9.0.9", "ip-address")])
    )
    router = maker.make(
        "logical-router",
        logical_router_type="snat-routing",
        virtual_machine_interface_refs=[(port,) for port in ports],
        route_table_refs=[(table,)],
    )
    assert uuids(router.get_virtual_machine_interface_refs()) == {port.uuid for port in ports}
    assert uuids(maker.read(table).get_logical_router_back_refs()) == {router.uuid}
    router.del_virtual_machine_interface(ports[0])
    vnc.logical_router_update(router)
    assert uuids(maker.read(router).get_virtual_machine_interface_refs()) == {ports[1].uuid}
    with pytest.raises(vnc_api.RefsExistError):
        vnc.route_table_delete(id=table.uuid)
    vnc.logical_router_delete(id=router.uuid)
    vnc.route_table_delete(id=table.uuid)


def test_routes_of_an_interface(maker: Maker) -> None:
    routes = vnc_api.RouteTableType(
        [vnc_api.RouteType("10.77.0.0/16", community_attributes=vnc_api.CommunityAttributes(["64512:7", "no-export"]))]
    )
    table = maker.make("interface-route-table", interface_route_table_routes=routes)
    interface = maker.interface(maker.network("10.9.0.0/24"), interface_route_table_refs=[(table,)])
    (route,) = maker.read(table).get_interface_route_table_routes().route
    assert route.community_attributes.community_attribute == ["64512:7", "no-export"]
    assert uuids(maker.read(table).get_virtual_machine_interface_back_refs()) == {interface.uuid}


def test_route_targets_of_a_network(maker: Maker) -> None:
    network = maker.make("virtual-network", route_target_list=vnc_api.RouteTargetList(["target:64512:4711"]))
    assert network.get_route_target_list().route_target == ["target:64512:4711"]
    with pytest.raises(vnc_api.BadRequest):
        maker.make("virtual-network", route_target_list=vnc_api.RouteTargetList(["64512:4711"]))
    with pytest.raises(vnc_api.BadRequest):
        maker.make("route-target", name="64512:4711")


# --- groups, policies, names


def rule(port: int, **ends: Any) -> Any:
    ports = {"src_ports": [vnc_api.PortType(0, 65535)], "dst_ports": [vnc_api.PortType(port, port)]}
    return vnc_api.PolicyRuleType(direction=">", protocol="tcp", ethertype="IPv4", **ports, **ends)


def test_rules_of_a_security_group(vnc: Any, maker: Maker) -> None:
    ends = {
        "src_addresses": [vnc_api.AddressType(subnet=vnc_api.SubnetType("0.0.0.0", 0))],
        "dst_addresses": [vnc_api.AddressType(security_group="local")],
    }
    group = maker.make("security-group", security_group_entries=vnc_api.PolicyEntriesType([rule(80, **ends)]))
    assert group.security_group_id > 8000001
    (first,) = group.get_security_group_entries().policy_rule
    assert len(first.rule_uuid) == 36

    group.set_security_group_entries(vnc_api.PolicyEntriesType([first, rule(443, **ends)]))
    vnc.security_group_update(group)
    kept, second = maker.read(group).get_security_group_entries().policy_rule
    assert kept.rule_uuid == first.rule_uuid != second.rule_uuid
    group.set_security_group_entries(vnc_api.PolicyEntriesType([first, rule(80, **ends)]))
    with pytest.raises(vnc_api.RefsExistError, match="Rule already exists"):
        vnc.security_group_update(group)

    interface = maker.interface(maker.network("10.9.0.0/24"), security_group_refs=[(group,)])
    with pytest.raises(vnc_api.RefsExistError):
        vnc.security_group_delete(id=group.uuid)
    vnc.ref_update("virtual-machine-interface", interface.uuid, "security-group", group.uuid, None, "DELETE")
    vnc.security_group_delete(id=group.uuid)


def test_a_policy_between_networks(vnc: Any, maker: Maker) -> None:
    one, two = maker.network("10.8.0.0/24"), maker.network("10.9.0.0/24")
    ends = {
        "src_addresses": [vnc_api.AddressType(virtual_network=one.get_fq_name_str())],
        "dst_addresses": [vnc_api.AddressType(virtual_network=two.get_fq_name_str())],
        "action_list": vnc_api.ActionListType(simple_action="pass"),
    }
    policy = maker.make("network-policy", network_policy_entries=vnc_api.PolicyEntriesType([rule(80, **ends)]))
    for number, network in enumerate((one, two)):
        sequence = vnc_api.VirtualNetworkPolicyType(vnc_api.SequenceType(number, 0))
        network.add_network_policy(policy, sequence)
        vnc.virtual_network_update(network)
    assert uuids(maker.read(policy).get_virtual_network_back_refs()) == {one.uuid, two.uuid}
    del ends["action_list"]
    with pytest.raises(vnc_api.BadRequest):
        maker.make("network-policy", network_policy_entries=vnc_api.PolicyEntriesType([rule(80, **ends)]))


def test_names_of_machines(vnc: Any, maker: Maker) -> None:
    server = maker.make("virtual-DNS")
    record = maker.make("virtual-DNS-record", parent=server)
    ipam = maker.make(
        "network-ipam",
        virtual_DNS_refs=[(server,)],
        network_ipam_mgmt=vnc_api.IpamType(
            ipam_dns_method="virtual-dns-server",
            ipam_dns_server=vnc_api.IpamDnsAddressType(virtual_dns_server_name=server.get_fq_name_str()),
        ),
    )
    assert uuids(maker.read(server).get_virtual_DNS_records()) == {record.uuid}
    assert uuids(maker.read(server).get_network_ipam_back_refs()) == {ipam.uuid}
    with pytest.raises(vnc_api.RefsExistError):
        vnc.virtual_DNS_delete(id=server.uuid)


def test_a_project_brings_and_takes_its_policy_set(vnc: Any, maker: Maker) -> None:
    project = maker.make("project", parent=None)
    (policies,) = project.get_application_policy_sets()
    assert policies["to"] == [*project.fq_name, "default-application-policy-set"]
    vnc.project_delete(id=project.uuid)
    with pytest.raises(vnc_api.NoIdError):
        vnc.application_policy_set_read(id=policies["uuid"])


def test_a_domain_is_shared_with_itself(vnc: Any, maker: Maker) -> None:
    domain = maker.make("domain")
    assert [(share.tenant, share.tenant_access) for share in domain.perms2.share] == [(f"domain:{domain.uuid}", 6)]
    vnc.domain_delete(id=domain.uuid)
