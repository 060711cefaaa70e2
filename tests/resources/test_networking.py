"""virtual-network; its subnets are in test_ipam."""

from typing import Any

import pytest
from resource_client import DOMAIN, Client

from api_server.errors import BadRequest, Conflict, Forbidden

VN = (DOMAIN, "p1", "vn")


# --- identifiers


async def test_the_lowest_free_network_id_is_taken_and_given_back(client: Client) -> None:
    networks = [await client.create("virtual-network", (DOMAIN, "p1", name)) for name in "abc"]
    assert [each.properties["virtual_network_network_id"] for each in networks] == [5, 6, 7]
    await client.delete(networks[1])
    again = await client.create("virtual-network", (DOMAIN, "p1", "d"))
    assert again.properties["virtual_network_network_id"] == 6


async def test_the_network_id_is_the_servers(client: Client) -> None:
    with pytest.raises(Forbidden) as refusal:
        await client.create("virtual-network", VN, virtual_network_network_id=77)
    assert refusal.value.text == "Cannot set/update the virtual network ID"
    network = await client.create("virtual-network", VN)
    await client.update(network, virtual_network_network_id=5)
    with pytest.raises(Forbidden):
        await client.update(network, virtual_network_network_id=77)


async def test_a_vxlan_identifier_shares_the_space(client: Client) -> None:
    def vxlan(number: int | None) -> dict[str, Any]:
        return {"virtual_network_properties": {"vxlan_network_identifier": number}}

    first = await client.create("virtual-network", VN, **vxlan(500))
    for taken in (500, 1):
        with pytest.raises(BadRequest) as refusal:
            await client.create("virtual-network", (DOMAIN, "p1", "two"), **vxlan(taken))
        assert refusal.value.text == f"Cannot set VXLAN_ID: {taken}, it has already been set"
    await client.update(first, **vxlan(501))
    second = await client.create("virtual-network", (DOMAIN, "p1", "two"), **vxlan(500))
    await client.update(second, **vxlan(second.properties["virtual_network_network_id"]))
    await client.update(second, virtual_network_properties=None)
    with pytest.raises(BadRequest):
        await client.update(first, **vxlan(second.properties["virtual_network_network_id"]))


# --- sharing


@pytest.mark.parametrize(
    ("fields", "shared", "access"),
    [
        ({}, False, 0),
        ({"is_shared": True}, True, 7),
        ({"router_external": True}, False, 5),
        ({"router_external": True, "is_shared": True}, True, 7),
        ({"perms2": {"global_access": 4}}, True, 4),
    ],
)
async def test_is_shared_and_global_access_go_together(
    client: Client, fields: dict[str, Any], shared: bool, access: int
) -> None:
    network = await client.create("virtual-network", VN, **fields)
    assert (network.properties["is_shared"], network.properties["perms2"]["global_access"]) == (shared, access)


async def test_a_contradiction_about_sharing_is_refused(client: Client) -> None:
    with pytest.raises(BadRequest):
        await client.create("virtual-network", VN, is_shared=False, perms2={"global_access": 7})


async def test_an_update_of_either_changes_the_other(client: Client) -> None:
    network = await client.create("virtual-network", VN)
    network = await client.update(network, is_shared=True)
    assert network.properties["perms2"]["global_access"] == 7
    network = await client.update(network, perms2={"owner": "me", "global_access": 0})
    assert network.properties["is_shared"] is False
    network = await client.update(network, router_external=True)
    assert (network.properties["is_shared"], network.properties["perms2"]["global_access"]) == (False, 5)


# --- its routing instance


@pytest.mark.parametrize("field", ["route_target_list", "import_route_target_list", "export_route_target_list"])
@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("target:64512:7999999", True),
        ("target:64513:8000000", True),
        ("target:10.0.0.1:8000000", True),
        ("target:64512:8000000", False),
        ("target:64512:16777216", False),
        ("64512:1", False),
        ("target:x:1", False),
    ],
)
async def test_a_networks_route_targets_are_its_own(client: Client, field: str, target: str, allowed: bool) -> None:
    network = await client.create("virtual-network", VN)
    change = client.update(network, **{field: {"route_target": ["target:64512:1", target]}})
    if allowed:
        await change
    else:
        with pytest.raises(BadRequest, match="Invalid route target"):
            await change


async def test_a_network_has_a_routing_instance_that_goes_with_it(client: Client) -> None:
    network = await client.create("virtual-network", VN)
    instance = await client.find("routing-instance", (*VN, "vn"))
    assert instance.properties["routing_instance_is_default"] is True
    assert instance.parent_uuid == network.uuid
    await client.create("routing-instance", (*VN, "more"))
    await client.delete(network)
    assert await client.get(instance) is None


async def test_networks_of_the_system_stay(client: Client) -> None:
    for name in ("ip-fabric", "__link_local__"):
        with pytest.raises(Conflict):
            await client.delete(await client.find("virtual-network", (DOMAIN, "default-project", name)))
