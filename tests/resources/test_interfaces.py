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


async def test_bindings_get_a_vnic_type(client: Client, network: Object) -> None:
    pairs = {"key_value_pair": [{"key": "host_id", "value": "n1"}]}
    interface = await client.interface(NAME, network, virtual_machine_interface_bindings=pairs)
    assert interface.properties["virtual_machine_interface_bindings"]["key_value_pair"] == [
        {"key": "host_id", "value": "n1"},
        {"key": "vnic_type", "value": "normal"},
    ]
    assert "virtual_machine_interface_bindings" not in (await client.interface((DOMAIN, "p1", "j"), network)).properties


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
        ({"virtual_machine_interface_refs": [to(primary)], **tagged(100)}, 409),
        ({"virtual_machine_interface_refs": [to(primary)], **tagged(4095)}, 400),
        (tagged(101), 400),
    ):
        with pytest.raises(ApiError) as refusal:
            await client.interface((DOMAIN, "p1", "more"), network, **wrong)
        assert refusal.value.status == status
    with pytest.raises(Conflict):
        await client.delete(primary)
    await client.delete(sub)
    await client.delete(primary)
