"""virtual-network; its subnets are in test_network_subnets."""

from typing import Any

import pytest
from resource_client import DOMAIN, Client, to

from api_server.errors import BadRequest, Conflict, Forbidden
from api_server.store.objects import Object

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
    assert refusal.value.text == "Cannot set the virtual network ID"
    network = await client.create("virtual-network", VN)
    with pytest.raises(Forbidden) as refusal:
        await client.update(network, virtual_network_network_id=77)
    assert refusal.value.text == "Cannot update the virtual network ID"
    await client.update(network, virtual_network_network_id=5)
    network = await client.update(network, virtual_network_network_id=None)
    assert network.properties["virtual_network_network_id"] == 5
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
        ({"perms2": {"global_access": 7}}, True, 7),
        ({"perms2": {"global_access": 4}}, False, 4),
        ({"router_external": True, "is_shared": True, "perms2": {"global_access": 5}}, True, 7),
    ],
)
async def test_is_shared_and_global_access_go_together(
    client: Client, fields: dict[str, Any], shared: bool, access: int
) -> None:
    network = await client.create("virtual-network", VN, **fields)
    assert (network.properties["is_shared"], network.properties["perms2"]["global_access"]) == (shared, access)


@pytest.mark.parametrize(
    "fields",
    [{"is_shared": False, "perms2": {"global_access": 7}}, {"is_shared": True, "perms2": {"global_access": 4}}],
)
async def test_a_contradiction_about_sharing_is_refused(client: Client, fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="Inconsistent is_shared"):
        await client.create("virtual-network", VN, **fields)


async def test_an_update_of_either_changes_the_other(client: Client) -> None:
    def facts(network: Object) -> tuple[Any, Any]:
        return network.properties["is_shared"], network.properties["perms2"]["global_access"]

    def access(number: int) -> dict[str, Any]:
        return {"perms2": {"owner": "me", "global_access": number}}

    network = await client.create("virtual-network", VN)
    network = await client.update(network, is_shared=True)
    assert facts(network) == (True, 7)
    network = await client.update(network, **access(0))
    assert facts(network) == (False, 0)
    network = await client.update(network, router_external=True)
    assert facts(network) == (False, 5)
    network = await client.update(network, is_shared=True)
    assert facts(network) == (True, 7)
    network = await client.update(network, is_shared=None)
    assert facts(network) == (False, 5)
    network = await client.update(network, router_external=False)
    assert facts(network) == (False, 0)
    network = await client.update(network, is_shared=True, **access(7))
    assert facts(network) == (True, 7)
    network = await client.update(network, is_shared=False, **access(5))
    assert facts(network) == (False, 5)
    network = await client.update(network, **access(4))
    assert facts(network) == (True, 4)
    with pytest.raises(BadRequest, match="Inconsistent is_shared"):
        await client.update(network, is_shared=False, **access(7))
    network = await client.update(network, is_shared=False)
    with pytest.raises(BadRequest, match="Inconsistent router_external"):
        await client.update(network, router_external=True, **access(4))


# --- networks of the data centre


async def test_a_network_of_the_data_centre_stays_one(client: Client) -> None:
    network = await client.create("virtual-network", VN, is_provider_network=True)
    for value in (False, None):
        with pytest.raises(BadRequest, match="from True to False"):
            await client.update(network, is_provider_network=value)
    await client.update(await client.create("virtual-network", (DOMAIN, "p1", "two")), is_provider_network=True)


@pytest.mark.parametrize(
    ("details", "missing"),
    [({"physical_network": "net"}, "Segmentation ID"), ({"segmentation_id": 100}, "Physical Network")],
)
async def test_details_of_the_data_centre_are_complete(client: Client, details: dict[str, Any], missing: str) -> None:
    with pytest.raises(BadRequest, match=f"{missing} must be configured to create"):
        await client.create("virtual-network", VN, provider_properties=details)
    network = await client.create("virtual-network", VN)
    with pytest.raises(Conflict, match=f"{missing} must be configured to update"):
        await client.update(network, provider_properties=details)


async def test_details_of_a_network_of_the_data_centre_stay(client: Client) -> None:
    details = {"segmentation_id": 100, "physical_network": "net"}
    network = await client.create("virtual-network", VN, provider_properties=details, is_provider_network=True)
    network = await client.update(network, provider_properties={"segmentation_id": 100})
    assert network.properties["provider_properties"] == details
    with pytest.raises(Conflict, match="is not allowed"):
        await client.update(network, provider_properties=details | {"segmentation_id": 101})
    free = await client.create("virtual-network", (DOMAIN, "p1", "two"), provider_properties=details)
    await client.update(free, provider_properties=details | {"segmentation_id": 101})


async def test_a_network_is_connected_to_one_of_the_data_centre(client: Client) -> None:
    centre, other, plain = [
        await client.create("virtual-network", (DOMAIN, "p1", name), is_provider_network=provider)
        for name, provider in (("a", True), ("b", True), ("c", False))
    ]
    network = await client.create("virtual-network", VN, virtual_network_refs=[to(centre)])
    found = await client.get(centre)
    assert found is not None
    assert found.targets("virtual-network") == [network.uuid]  # seen from both
    for targets in ([to(plain)], [to(centre), to(other)]):
        with pytest.raises(BadRequest, match="can connect only to one provider VN"):
            await client.update(network, virtual_network_refs=targets)
    with pytest.raises(BadRequest, match="can not connect to another provider VN"):
        await client.update(found, virtual_network_refs=[to(other)])
    await client.update(network, virtual_network_refs=[to(other)])
    await client.update(network, virtual_network_refs=[])
    await client.ref_update(found, "ADD", plain)


async def test_service_chains_of_several_policies_want_targets_apart(client: Client) -> None:
    def targets(*names: str) -> dict[str, Any]:
        return {"route_target": list(names)}

    network = await client.create(
        "virtual-network", VN, multi_policy_service_chains_enabled=True,
        import_route_target_list=targets("target:1:1"), export_route_target_list=targets("target:1:2"),
    )  # fmt: skip
    for change in (
        {"route_target_list": targets("target:1:3")},
        {"export_route_target_list": targets("target:1:1")},
    ):
        with pytest.raises(Conflict, match="Multi policy service chains are not supported"):
            await client.update(network, **change)


# --- its routing instance


@pytest.mark.parametrize("field", ["route_target_list", "import_route_target_list", "export_route_target_list"])
@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("target:64512:7999999", True),
        ("target:64513:8000000", True),
        ("target:10.0.0.1:8000000", True),
        ("target:64512:16777217", True),
        ("target:64512:8000000", False),
        ("target:64512:16777216", False),
        ("target:64512:0", False),
        ("64512:1", False),
        ("target:x:1", False),
        (f"target:{'1' * 5000}:1", False),
        ("target:1:\u0666", False),
        ("target:70000:1", False),
    ],
)
async def test_a_networks_route_targets_are_its_own(client: Client, field: str, target: str, allowed: bool) -> None:
    network = await client.create("virtual-network", VN)
    change = client.update(network, **{field: {"route_target": ["target:64512:1", target]}})
    if allowed:
        await change
    else:
        with pytest.raises(BadRequest, match=r"[Rr]oute target must|ASN out of range"):
            await change


async def test_a_network_has_a_routing_instance_that_goes_with_it(client: Client) -> None:
    network = await client.create("virtual-network", VN)
    instance = await client.find("routing-instance", (*VN, "vn"))
    assert instance.properties["routing_instance_is_default"] is True
    assert instance.parent_uuid == network.uuid
    await client.create("routing-instance", (*VN, "more"))
    await client.delete(network)
    assert await client.get(instance) is None


async def test_route_targets_have_one_spelling(client: Client) -> None:
    network = await client.create(
        "virtual-network", VN, route_target_list={"route_target": ["target:00100:7", "target:200L:8"]}
    )
    assert network.properties["route_target_list"] == {"route_target": ["target:100:7", "target:200:8"]}
    with pytest.raises(BadRequest, match="4 byte ASN"):
        await client.update(network, route_target_list={"route_target": ["target:200L:65536"]})


async def test_the_routing_instance_translates_as_its_network_does(client: Client) -> None:
    network = await client.create("virtual-network", VN, fabric_snat=True)
    for value in (True, False, True):
        await client.update(network, fabric_snat=value)
        instance = await client.find("routing-instance", (*VN, "vn"))
        assert instance.properties["routing_instance_fabric_snat"] is value


async def test_networks_of_the_system_stay(client: Client) -> None:
    for name in ("ip-fabric", "__link_local__"):
        with pytest.raises(Conflict):
            await client.delete(await client.find("virtual-network", (DOMAIN, "default-project", name)))


# --- routed networks


ROUTER = {
    "physical_router_uuid": "11111111-2222-4333-8444-555555555555",
    "logical_router_uuid": "11111111-2222-4333-8444-666666666666",
    "routed_interface_ip_address": "10.9.0.7",
    "routing_protocol": "bgp",
    "bgp_params": {"peer_ip_address_list": ["10.8.0.1"], "peer_autonomous_system": 7},
}


def routed(**changes: Any) -> dict[str, Any]:
    return {"virtual_network_routed_properties": {"routed_properties": [ROUTER | changes]}}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"physical_router_uuid": None}, "Physical router Id not present for routed VN"),
        ({"logical_router_uuid": ""}, "Logical Router Id not present for routed VN"),
        ({"routed_interface_ip_address": None}, "routed-interface-ip-address is required"),
        ({"routed_interface_ip_address": "10.7.0.7"}, "IP 10.7.0.7 does not belong to any subnet"),
        ({"bgp_params": {"peer_ip_address": "fd00::1"}}, "an IPv4 address is expected, not fd00::1"),
        ({"routing_protocol": "pim", "pim_params": {"mode": "dense"}}, "PIM mode only sparse-dense supported"),
        (
            {"routing_protocol": "ospf", "ospf_params": {"area_id": "0.0.0.0", "area_type": "stub"}},
            "Area id zero should have area type as backbone",
        ),
    ],
)
async def test_each_router_of_a_routed_network_is_told_what_it_has_to_know(
    client: Client, changes: dict[str, Any], text: str
) -> None:
    network = await client.network(VN, "10.9.0.0/24", virtual_network_category="routed", **routed())
    with pytest.raises(Conflict, match=text):
        await client.update(network, **routed(**changes))
    await client.network((*VN[:2], "tenants"), "10.9.0.0/24", **routed(**changes))  # nobody routes by it


async def test_a_network_of_loopback_addresses_has_no_interfaces(client: Client) -> None:
    name = (*VN[:2], "f-overlay-loopback")
    network = await client.network(name, "10.9.0.0/24", virtual_network_category="routed")
    without = routed(routed_interface_ip_address=None)
    with pytest.raises(Conflict):
        await client.update(network, **without)
    fields = {"virtual_network_refs": [to(network, {"network_type": "overlay-loopback"})]}
    await client.create("fabric", ("default-global-system-config", "f"), **fields)
    await client.update(network, **without)
