"""network-ipam, and the subnets of a virtual-network."""

from typing import Any

import pytest
from resource_client import DOMAIN, IPAM, Client, subnet, subnets, to

from api_server.errors import ApiError, BadRequest, Conflict
from api_server.store.objects import Object

VN = (DOMAIN, "p1", "vn")


def link(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"to": list(IPAM), "attr": {"ipam_subnets": list(entries)}}]


def stored(network: Object) -> list[dict[str, Any]]:
    return list(network.references["network_ipam_refs"][0].attr["ipam_subnets"])


# --- subnets of its own


async def test_subnets_are_filled_in_and_stay_the_same(client: Client) -> None:
    network = await client.network(VN, "10.9.0.5/24")
    (entry,) = stored(network)
    assert entry["subnet"] == {"ip_prefix": "10.9.0.0", "ip_prefix_len": 24}
    assert (entry["default_gateway"], entry["dns_server_address"]) == ("10.9.0.254", "10.9.0.253")
    network = await client.update(network, network_ipam_refs=link(subnet("10.9.0.0/24"), subnet("10.8.0.0/24")))
    assert stored(network)[0] == entry
    assert stored(network)[1]["subnet_uuid"] not in (None, entry["subnet_uuid"])


@pytest.mark.parametrize(
    ("entries", "status", "text"),
    [
        ([subnet("10.9.0.0/24"), subnet("10.9.0.128/25")], 400, "Overlapping addresses: "),
        ([subnet("10.9.0.0/24", default_gateway="10.8.0.1")], 409, "gateway Ip 10.8.0.1 out of cidr: 10.9.0.0/24"),
        (
            [subnet("10.9.0.0/24", allocation_pools=[{"start": "10.8.0.1", "end": "10.8.0.2"}])],
            409,
            "allocation pool start:10.8.0.1, end:10.8.0.2 out of cidr:10.9.0.0/24",
        ),
    ],
)
async def test_bad_subnets_are_refused(client: Client, entries: list[dict[str, Any]], status: int, text: str) -> None:
    with pytest.raises(ApiError) as refusal:
        await client.create("virtual-network", VN, network_ipam_refs=link(*entries))
    assert (refusal.value.status, text in refusal.value.text) == (status, True)


async def test_a_subnet_with_addresses_in_use_stays(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24", "10.8.0.0/24")
    held = await client.instance_ip("a", network)
    for left in (link(subnet("10.8.0.0/24")), []):
        with pytest.raises(Conflict) as refusal:
            await client.update(network, network_ipam_refs=left)
        assert refusal.value.text == "Cannot Delete IP Block, IP(10.9.0.252) is in use"
    await client.delete(held)
    network = await client.update(network, network_ipam_refs=link(subnet("10.8.0.0/24")))
    assert (await client.instance_ip("b", network)).properties["instance_ip_address"] == "10.8.0.252"


async def test_the_gateway_stays(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    with pytest.raises(BadRequest):
        await client.update(network, network_ipam_refs=link(subnet("10.9.0.0/24", default_gateway="10.9.0.1")))


async def test_allocation_pools_can_change_around_what_is_in_use(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    held = await client.instance_ip("a", network)
    low = subnet("10.9.0.0/24", allocation_pools=[{"start": "10.9.0.1", "end": "10.9.0.9"}])
    with pytest.raises(Conflict):
        await client.update(network, network_ipam_refs=link(low))
    await client.delete(held)
    network = await client.update(network, network_ipam_refs=link(low))
    assert (await client.instance_ip("b", network)).properties["instance_ip_address"] == "10.9.0.9"


async def test_a_network_made_again_starts_afresh(client: Client) -> None:
    for _ in range(2):
        network = await client.network(VN, "10.9.0.0/30")
        network = await client.update(network, network_ipam_refs=link(subnet("10.9.0.0/29")))
        held = await client.instance_ip("a", network)
        assert held.properties["instance_ip_address"] == "10.9.0.4"
        await client.delete(held)
        await client.delete(network)


# --- flat subnets


async def flat(client: Client, name: str, *prefixes: str) -> Object:
    return await client.create(
        "network-ipam", (DOMAIN, "p1", name), ipam_subnet_method="flat-subnet",
        ipam_subnets={"subnets": [subnet(prefix) for prefix in prefixes]},
    )  # fmt: skip


async def test_a_flat_ipam_is_filled_in_without_subnet_uuid(client: Client) -> None:
    ipam = await flat(client, "pods", "10.32.0.0/12")
    (entry,) = ipam.properties["ipam_subnets"]["subnets"]
    assert (entry["default_gateway"], entry["dns_server_address"]) == ("10.47.255.254", "10.47.255.253")
    assert "subnet_uuid" not in entry


async def test_the_reference_to_a_flat_ipam_gets_a_subnet_uuid_for_good(client: Client) -> None:
    ipam = await flat(client, "pods", "10.32.0.0/12")
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
    ipam = await flat(client, "pods", "10.32.0.0/12")
    with pytest.raises(BadRequest) as refusal:
        await client.create(
            "virtual-network", VN, virtual_network_properties=properties,
            network_ipam_refs=[to(ipam, {"ipam_subnets": []})],
        )  # fmt: skip
    assert refusal.value.text == "flat-subnet is allowed only with l3 network"


async def test_a_flat_ipam_in_use_stays_with_its_network(client: Client) -> None:
    ipam = await flat(client, "pods", "10.32.0.0/24", "10.33.0.0/24")
    network = await client.create(
        "virtual-network", VN, virtual_network_properties={"forwarding_mode": "l3"},
        network_ipam_refs=[to(ipam, {"ipam_subnets": []})],
    )  # fmt: skip
    await client.instance_ip("a", network)
    for change in ({"network_ipam_refs": []},):
        with pytest.raises(Conflict) as refusal:
            await client.update(network, **change)
        assert refusal.value.text == "Cannot Delete IP Block, IP(10.32.0.252) is in use"
    with pytest.raises(Conflict):
        await client.update(ipam, ipam_subnets={"subnets": [subnet("10.33.0.0/24")]})
    changed = await client.update(ipam, ipam_subnets={"subnets": [subnet("10.32.0.0/24")]})
    assert len(changed.properties["ipam_subnets"]["subnets"]) == 1
    with pytest.raises(Conflict):
        await client.delete(ipam)


@pytest.mark.parametrize(
    "change", [{"ipam_subnet_method": "user-defined-subnet"}, {"ipam_subnetting": True}, {"ipam_subnet_method": None}]
)
async def test_the_kind_of_an_ipam_stays(client: Client, change: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        await client.update(await flat(client, "pods", "10.32.0.0/12"), **change)


async def test_subnets_of_an_ipam_are_for_flat_ones_and_apart(client: Client) -> None:
    with pytest.raises(BadRequest):
        await client.create("network-ipam", (DOMAIN, "p1", "i"), ipam_subnets={"subnets": [subnet("10.1.0.0/24")]})
    with pytest.raises(BadRequest) as refusal:
        await flat(client, "pods", "10.32.0.0/24", "10.32.0.0/25")
    assert refusal.value.text.startswith("Overlapping addresses: ")


async def test_an_ipam_must_not_grow_into_its_networks_other_subnets(client: Client) -> None:
    ipam = await flat(client, "pods", "10.32.0.0/24")
    await client.create(
        "virtual-network", VN, virtual_network_properties={"forwarding_mode": "l3"},
        network_ipam_refs=[{"to": list(IPAM), "attr": subnets("10.9.0.0/24")}, to(ipam, {"ipam_subnets": []})],
    )  # fmt: skip
    with pytest.raises(BadRequest):
        await client.update(ipam, ipam_subnets={"subnets": [subnet("10.32.0.0/24"), subnet("10.9.0.0/25")]})
