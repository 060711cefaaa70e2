"""network-ipam and its flat subnets, which networks share."""

from typing import Any

import pytest
from resource_client import DOMAIN, IPAM, Client, subnet, subnets, to

from api_server.errors import ApiError, BadRequest, Conflict
from api_server.resources import elements
from api_server.store.objects import Object

VN = (DOMAIN, "p1", "vn")


def stored(network: Object) -> list[dict[str, Any]]:
    return list(network.references["network_ipam_refs"][0].attr["ipam_subnets"])


async def test_a_flat_ipam_is_filled_in_without_subnet_uuid(client: Client) -> None:
    ipam = await client.flat_ipam("pods", "10.32.0.0/12")
    (entry,) = ipam.properties["ipam_subnets"]["subnets"]
    assert (entry["default_gateway"], entry["dns_server_address"]) == ("10.47.255.254", "10.47.255.253")
    assert "subnet_uuid" not in entry


async def test_the_reference_to_a_flat_ipam_gets_a_subnet_uuid_for_good(client: Client) -> None:
    ipam = await client.flat_ipam("pods", "10.32.0.0/12")
    fields = {
        "virtual_network_properties": {"forwarding_mode": "l3"},
        "network_ipam_refs": [to(ipam, {"ipam_subnets": [], "host_routes": None})],
    }
    network = await client.create("virtual-network", VN, **fields)
    (entry,) = stored(network)
    assert list(entry) == ["subnet_uuid"]
    network = await client.update(network, network_ipam_refs=fields["network_ipam_refs"])
    assert stored(network) == [entry]


@pytest.mark.parametrize("properties", [None, {"forwarding_mode": "l2_l3"}])
async def test_flat_subnets_are_for_l3_networks(client: Client, properties: dict[str, Any] | None) -> None:
    ipam = await client.flat_ipam("pods", "10.32.0.0/12")
    with pytest.raises(BadRequest) as refusal:
        await client.create(
            "virtual-network", VN, virtual_network_properties=properties,
            network_ipam_refs=[to(ipam, {"ipam_subnets": []})],
        )  # fmt: skip
    assert refusal.value.text == "flat-subnet is allowed only with l3 network"


async def test_flat_subnets_in_use_stay(client: Client) -> None:
    ipam = await client.flat_ipam("pods", "10.32.0.0/24", "10.33.0.0/24")
    network = await client.flat_network("vn", ipam)
    await client.instance_ip("a", network)
    with pytest.raises(Conflict):
        await client.update(ipam, ipam_subnets={"subnets": [subnet("10.33.0.0/24")]})
    changed = await client.update(ipam, ipam_subnets={"subnets": [subnet("10.32.0.0/24")]})
    assert len(changed.properties["ipam_subnets"]["subnets"]) == 1
    with pytest.raises(Conflict):
        await client.delete(ipam)


@pytest.mark.parametrize("kind", ["instance-ip", "floating-ip", "alias-ip"])
async def test_what_is_taken_of_a_flat_ipam_stays_taken_without_the_network(client: Client, kind: str) -> None:
    """Contrail's client changes a reference by removing it, then adding it."""
    ipam = await client.flat_ipam("pods", "10.32.0.0/24")
    network, other = [await client.flat_network(name, ipam) for name in ("vn", "two")]
    if kind == "instance-ip":
        held = await client.instance_ip("a", network)
    else:
        await client.create(f"{kind}-pool", (*VN, "pool"))
        held = await client.create(kind, (*VN, "pool", "one"), parent_type=f"{kind}-pool")
    await client.ref_update(network, "DELETE", ipam)
    with pytest.raises(Conflict, match="IP address already in use"):
        await client.instance_ip("b", other, instance_ip_address="10.32.0.252")
    await client.ref_update(network, "ADD", ipam, {"ipam_subnets": []})
    with pytest.raises(Conflict, match="IP address already in use"):
        await client.instance_ip("b", network, instance_ip_address="10.32.0.252")
    for one in (network, other):
        await client.ref_update(one, "DELETE", ipam)
    with pytest.raises(Conflict, match=r"Cannot Delete IP Block, .*IP\(10.32.0.252\) is in use"):
        await client.delete(ipam)
    await client.ref_update(other, "ADD", ipam, {"ipam_subnets": []})
    await client.delete(held)
    held = await client.instance_ip("b", other, instance_ip_address="10.32.0.252")
    with pytest.raises(Conflict, match="Delete when resource still referred"):
        await client.delete(ipam)
    await client.delete(held)
    await client.ref_update(other, "DELETE", ipam)
    await client.delete(ipam)


async def test_a_network_has_no_subnets_of_its_own_from_a_flat_ipam(client: Client) -> None:
    ipam = await client.flat_ipam("pods", "10.32.0.0/24")
    with pytest.raises(BadRequest) as refusal:
        await client.create(
            "virtual-network", VN, virtual_network_properties={"forwarding_mode": "l3"},
            network_ipam_refs=[to(ipam, subnets("10.9.0.0/24"))],
        )  # fmt: skip
    assert refusal.value.text == "with flat-subnet, network can not have user-defined subnet"


async def test_a_network_of_flat_subnets_stays_l3(client: Client) -> None:
    ipam = await client.flat_ipam("pods", "10.32.0.0/24")
    network = await client.flat_network("vn", ipam)
    with pytest.raises(BadRequest):
        await client.update(network, virtual_network_properties={"forwarding_mode": "l2"})


@pytest.mark.parametrize(
    ("fields", "change", "text"),
    [
        ({}, {"ipam_subnet_method": "flat-subnet"}, "ipam_subnet_method can not be changed"),
        ({}, {"ipam_subnet_method": "user-defined-subnet"}, "ipam_subnet_method can not be changed"),
        (
            {"ipam_subnet_method": "flat-subnet"},
            {"ipam_subnet_method": None},
            "ipam_subnet_method can not be changed",
        ),
        ({"ipam_subnet_method": "flat-subnet"}, {"ipam_subnetting": True}, "ipam_subnetting can not be changed"),
        (
            {"ipam_subnet_method": "auto-subnet"},
            {"ipam_subnets": {"subnets": [subnet("10.1.0.0/24")]}},
            "ipam-subnets are allowed only with flat-subnet",
        ),
    ],
)
async def test_the_kind_of_an_ipam_stays(
    client: Client, fields: dict[str, Any], change: dict[str, Any], text: str
) -> None:
    ipam = await client.create("network-ipam", (DOMAIN, "p1", "i"), **fields)
    with pytest.raises(BadRequest) as refusal:
        await client.update(ipam, **change)
    assert refusal.value.text == text
    assert (await client.update(ipam, display_name="x", **fields)).properties["display_name"] == "x"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"ipam_subnets": {"subnets": [subnet("10.1.0.0/24")]}}, "ipam-subnets are allowed only with flat-subnet"),
        ({"ipam_subnetting": True}, "subnetting is allowed only with flat-subnet"),
    ],
)
async def test_subnets_of_an_ipam_are_for_flat_ones(client: Client, fields: dict[str, Any], text: str) -> None:
    for method in (None, "user-defined-subnet", "auto-subnet"):
        with pytest.raises(BadRequest) as refusal:
            await client.create("network-ipam", (DOMAIN, "p1", "i"), ipam_subnet_method=method, **fields)
        assert refusal.value.text == text


async def test_flat_subnets_of_an_ipam_lie_apart_and_are_subnets(client: Client) -> None:
    with pytest.raises(BadRequest) as refusal:
        await client.flat_ipam("pods", "10.32.0.0/24", "10.32.0.0/25")
    assert refusal.value.text == "Overlapping addresses: [IPNetwork('10.32.0.0/24'), IPNetwork('10.32.0.0/25')]"
    with pytest.raises(Conflict) as malformed:
        await client.create(
            "network-ipam", (DOMAIN, "p1", "pods"), ipam_subnet_method="flat-subnet",
            ipam_subnets={"subnets": [{"subnet": None}]},
        )  # fmt: skip
    assert malformed.value.text == "Invalid subnet: None/None"


async def test_the_gateway_of_a_flat_subnet_stays(client: Client) -> None:
    ipam = await client.flat_ipam("pods", "10.32.0.0/24")
    with pytest.raises(BadRequest) as refusal:
        await client.update(ipam, ipam_subnets={"subnets": [subnet("10.32.0.0/24", default_gateway="10.32.0.1")]})
    assert refusal.value.text == "default gateway change is not allowed orig:10.32.0.254, new: 10.32.0.1"


async def test_a_flat_ipam_gets_its_subnets_later(client: Client) -> None:
    """As kube-manager does when it finds one without."""
    ipam = await client.flat_ipam("pods")
    network = await client.flat_network("vn", ipam, address_allocation_mode="flat-subnet-only")
    (entry,) = stored(network)
    await client.update(ipam, ipam_subnets={"subnets": [subnet("10.32.0.0/12")]})
    held = await client.instance_ip("a", network, subnet_uuid=entry["subnet_uuid"])
    assert held.properties["instance_ip_address"] == "10.47.255.252"


@pytest.mark.parametrize(
    ("old", "new", "allowed"),
    [
        ("default-dns-server", "virtual-dns-server", True),
        ("virtual-dns-server", "none", True),
        ("none", "tenant-dns-server", True),
        ("default-dns-server", "tenant-dns-server", False),
        ("virtual-dns-server", None, False),
        ("tenant-dns-server", "default-dns-server", False),
        (None, "default-dns-server", False),
    ],
)
async def test_the_dns_method_stays_where_machines_rely_on_it(
    client: Client, old: str | None, new: str | None, allowed: bool
) -> None:
    def management(method: str | None) -> dict[str, Any]:
        return {"network_ipam_mgmt": {"ipam_method": "dhcp", "ipam_dns_method": method}}

    ipam = await client.create("network-ipam", (DOMAIN, "p1", "i"), **management(old))
    network = await client.create("virtual-network", VN, network_ipam_refs=[to(ipam, subnets("10.9.0.0/24"))])
    await client.update(ipam, **management(new))
    await client.update(ipam, **management(old))
    await client.interface((DOMAIN, "p1", "port"), network)
    if allowed:
        await client.update(ipam, **management(new))
        return
    with pytest.raises(BadRequest) as refusal:
        await client.update(ipam, **management(new))
    assert refusal.value.text == "Cannot change DNS Method  with active VMs referring to the IPAM"


async def test_an_ipam_must_not_grow_into_its_networks_other_subnets(client: Client) -> None:
    ipam = await client.flat_ipam("pods", "10.32.0.0/24")
    await client.flat_network("vn", ipam, "10.9.0.0/24")
    with pytest.raises(BadRequest):
        await client.update(ipam, ipam_subnets={"subnets": [subnet("10.32.0.0/24"), subnet("10.9.0.0/25")]})


async def test_single_subnets_of_an_ipam_come_and_go(client: Client) -> None:
    """By prop-collection-update, under the same rules."""
    ipam = await client.flat_ipam("pods", "10.32.0.0/24")
    await client.instance_ip("a", await client.flat_network("vn", ipam))

    async def change(operation: str, position: str, **value: Any) -> int:
        update = {"field": "ipam_subnets", "operation": operation, "position": position, "value": value}
        try:
            await client.call(lambda tx: elements.collection_update(client.operations, tx, ipam.uuid, [update]))
        except ApiError as refusal:
            return refusal.status
        return 200

    assert await change("add", "9", **subnet("10.33.0.5/24")) == 200
    assert await change("add", "10", **subnet("10.33.0.0/25")) == 400
    assert await change("modify", "9", **subnet("10.33.0.0/24", default_gateway="10.33.0.1")) == 400
    assert await change("delete", "0") == 409
    found = await client.get(ipam)
    assert found is not None
    prefixes = [entry["subnet"]["ip_prefix"] for entry in found.properties["ipam_subnets"]["subnets"]]
    assert prefixes == ["10.32.0.0", "10.33.0.0"]
    assert await change("delete", "9") == 200


async def test_single_references_to_ipams_come_and_go(client: Client) -> None:
    """By ref-update, under the same rules."""
    ipam = await client.flat_ipam("pods", "10.32.0.0/24")
    network = await client.flat_network("vn", ipam)
    await client.ref_update(network, "ADD", await client.find("network-ipam", IPAM), subnets("10.9.0.0/24"))
    held = await client.instance_ip("a", network, instance_ip_address="10.32.0.9")
    await client.ref_update(network, "DELETE", ipam)
    await client.delete(held)
    assert (await client.instance_ip("b", network)).properties["instance_ip_address"] == "10.9.0.252"
