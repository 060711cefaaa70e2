"""virtual-machine-interface."""

from typing import Any

import pytest
from resource_client import DOMAIN, Client, to

from api_server.errors import ApiError, BadRequest, Conflict
from api_server.resources.interfaces import FORWARDING_RULE, mac_of
from api_server.store.objects import Object

NAME = (DOMAIN, "p1", "i")


@pytest.fixture
async def network(client: Client) -> Object:
    return await client.network((DOMAIN, "p1", "vn"), "10.9.0.0/24")


def macs(interface: Object) -> list[str]:
    return list(interface.properties["virtual_machine_interface_mac_addresses"]["mac_address"])


def test_a_mac_comes_from_the_uuid() -> None:
    assert mac_of("635dda31-9936-4b3a-8f1e-000000000000") == "02:63:5d:da:31:99"


async def test_an_interface_gets_a_mac_or_keeps_its_own(client: Client, network: Object) -> None:
    first = await client.interface(NAME, network)
    assert macs(first) == [mac_of(first.uuid)]
    given = {"mac_address": ["02-AB-cd-00-00-01"]}
    second = await client.interface((DOMAIN, "p1", "j"), network, virtual_machine_interface_mac_addresses=given)
    assert macs(second) == ["02:AB:cd:00:00:01"]
    with pytest.raises(BadRequest):
        await client.update(second, virtual_machine_interface_mac_addresses={"mac_address": ["nobody"]})


async def test_an_interface_needs_a_network(client: Client) -> None:
    with pytest.raises(BadRequest):
        await client.create("virtual-machine-interface", NAME, parent_type="project")


async def test_an_interface_follows_its_networks_routing_instance(client: Client, network: Object) -> None:
    interface = await client.interface(NAME, network)
    (reference,) = interface.references["routing_instance_refs"]
    assert reference.fq_name == (*network.fq_name, "vn")
    assert reference.attr == FORWARDING_RULE
    other = await client.network((DOMAIN, "p1", "other"), "10.9.0.0/24")
    interface = await client.update(interface, virtual_network_refs=[to(other)])
    assert [each.fq_name for each in interface.references["routing_instance_refs"]] == [(*other.fq_name, "other")]
    await client.delete(network)


async def test_a_network_with_interfaces_stays(client: Client, network: Object) -> None:
    await client.interface(NAME, network)
    with pytest.raises(Conflict) as refusal:
        await client.delete(network)
    assert refusal.value.text.startswith("Delete when resource still referred: ")


async def test_address_pairs_need_port_security(client: Client, network: Object) -> None:
    pairs = {"allowed_address_pair": [{"ip": {"ip_prefix": "10.9.0.9", "ip_prefix_len": 32}}]}
    with pytest.raises(BadRequest):
        await client.interface(
            NAME, network, port_security_enabled=False, virtual_machine_interface_allowed_address_pairs=pairs
        )
    interface = await client.interface(NAME, network, virtual_machine_interface_allowed_address_pairs=pairs)
    with pytest.raises(BadRequest):
        await client.update(interface, port_security_enabled=False)


async def test_sub_interfaces(client: Client, network: Object) -> None:
    def tagged(tag: int) -> dict[str, Any]:
        return {"virtual_machine_interface_properties": {"sub_interface_vlan_tag": tag}}

    primary = await client.interface(NAME, network)
    sub = await client.interface(
        (DOMAIN, "p1", "sub"), network, virtual_machine_interface_refs=[to(primary)], **tagged(100)
    )
    for wrong, status in (
        ({"virtual_machine_interface_refs": [to(primary)], **tagged(100)}, 400),
        ({"virtual_machine_interface_refs": [to(sub)], **tagged(7)}, 400),
        ({"virtual_machine_interface_refs": [to(primary)], **tagged(-1)}, 400),
        ({"virtual_machine_interface_refs": [to(primary)], **tagged(4095)}, 400),
    ):
        with pytest.raises(ApiError) as refusal:
            await client.interface((DOMAIN, "p1", "more"), network, **wrong)
        assert refusal.value.status == status
    with pytest.raises(BadRequest, match="Cannot change sub-interface VLAN tag ID"):
        await client.update(sub, **tagged(8))
    later = await client.interface((DOMAIN, "p1", "later"), network, **tagged(100))
    with pytest.raises(BadRequest, match="can't have same Vlan tag"):
        await client.update(later, virtual_machine_interface_refs=[to(primary)])
    later = await client.update(later, **tagged(101))
    later = await client.update(later, virtual_machine_interface_refs=[to(primary)])
    with pytest.raises(BadRequest, match="Cannot change sub-interface VLAN tag ID"):
        await client.update(later, **tagged(102))
    await client.delete(later)
    address = await client.instance_ip("a", network, primary)
    with pytest.raises(Conflict, match="Delete when resource still referred"):
        await client.delete(primary)
    await client.delete(address)
    with pytest.raises(Conflict) as conflict:
        await client.delete(primary)
    assert conflict.value.text == "Cannot delete vmi with existing ref to sub interface"
    assert await client.get(primary) is not None
    await client.delete(sub)
    await client.delete(primary)


@pytest.mark.parametrize("prefix", ["10.9.0.300", "nothing", None])
async def test_address_pairs_have_addresses(client: Client, network: Object, prefix: str | None) -> None:
    pairs = {"allowed_address_pair": [{"ip": {"ip_prefix": prefix, "ip_prefix_len": 32}}]}
    with pytest.raises(BadRequest):
        await client.interface(NAME, network, virtual_machine_interface_allowed_address_pairs=pairs)


# --- who uses it


async def test_a_machine_does_not_take_a_routers_interface(client: Client, network: Object) -> None:
    interface = await client.interface(NAME, network)
    router = await client.create("logical-router", (DOMAIN, "p1", "r"), virtual_machine_interface_refs=[to(interface)])
    machine = await client.create("virtual-machine", ["vm"])
    with pytest.raises(BadRequest) as refusal:
        await client.update(interface, virtual_machine_refs=[to(machine)])
    assert refusal.value.text == "Logical router interface cannot be used by VM"
    await client.delete(router)
    await client.update(interface, virtual_machine_refs=[to(machine)])


async def test_a_machine_does_not_take_the_gateways_address(client: Client, network: Object) -> None:
    interface = await client.interface(NAME, network)
    machine = await client.create("virtual-machine", ["vm"])
    gateway = await client.instance_ip("gw", network, interface, instance_ip_address="10.9.0.254")
    with pytest.raises(BadRequest, match="Gateway IP cannot be used by VM port"):
        await client.update(interface, virtual_machine_refs=[to(machine)])
    await client.delete(gateway)
    await client.instance_ip("a", network, interface)
    await client.update(interface, virtual_machine_refs=[to(machine)])


async def test_health_checks_of_a_plain_interface_are_link_local(client: Client, network: Object) -> None:
    checks = [
        await client.create(
            "service-health-check",
            (DOMAIN, "p1", kind),
            service_health_check_properties={
                "health_check_type": kind,
                "monitor_type": "PING",
                "enabled": True,
            },
        )
        for kind in ("link-local", "end-to-end")
    ]
    interface = await client.interface(NAME, network, service_health_check_refs=[to(checks[0])])
    with pytest.raises(BadRequest, match="can only refer link-local type"):
        await client.update(interface, service_health_check_refs=[to(checks[1])])
    service = await client.create("service-instance", (DOMAIN, "p1", "si"))
    ports = await client.create("port-tuple", (*service.fq_name, "pt"))
    await client.update(interface, port_tuple_refs=[to(ports)], service_health_check_refs=[to(checks[1])])


async def test_bridge_domains_are_of_its_network(client: Client, network: Object) -> None:
    other = await client.create("virtual-network", (DOMAIN, "p1", "other"))
    mine, theirs = [await client.create("bridge-domain", (*each.fq_name, "bd"), isid=1) for each in (network, other)]
    with pytest.raises(BadRequest, match="can only refer to bridge domain belonging to"):
        await client.interface(NAME, network, bridge_domain_refs=[to(theirs, {"vlan_tag": 1})])
    interface = await client.interface(NAME, network, bridge_domain_refs=[to(mine, {"vlan_tag": 1})])
    with pytest.raises(BadRequest, match="can not be removed"):
        await client.update(interface, virtual_network_refs=[])
