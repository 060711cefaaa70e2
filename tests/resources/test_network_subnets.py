"""The subnets that a virtual-network has of its own; flat ones are in test_ipam."""

from typing import Any

import pytest
from resource_client import DOMAIN, IPAM, Client, subnet

from api_server.errors import ApiError, BadRequest, Conflict
from api_server.store.objects import Object

VN = (DOMAIN, "p1", "vn")


def link(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"to": list(IPAM), "attr": {"ipam_subnets": list(entries)}}]


def stored(network: Object) -> list[dict[str, Any]]:
    return list(network.references["network_ipam_refs"][0].attr["ipam_subnets"])


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
        (
            [subnet("10.9.0.128/25"), subnet("10.9.0.0/24")],
            400,
            "Overlapping addresses: [IPNetwork('10.9.0.128/25'), IPNetwork('10.9.0.0/24')]",
        ),
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


@pytest.mark.parametrize(("stood", "asked"), [(None, "10.9.0.1"), ("10.9.0.1", None), ("10.9.0.1", "0.0.0.0")])
async def test_the_gateway_does_not_change(client: Client, stood: str | None, asked: str | None) -> None:
    entry = subnet("10.9.0.0/24", default_gateway=stood)
    network = await client.create("virtual-network", VN, network_ipam_refs=link(entry))
    with pytest.raises(BadRequest) as refusal:
        await client.update(network, network_ipam_refs=link(entry | {"default_gateway": asked}))
    orig = stored(network)[0]["default_gateway"]
    assert refusal.value.text == f"default gateway change is not allowed orig:{orig}, new: {asked}"


async def test_the_dns_server_may_move_to_a_free_address(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    await client.instance_ip("a", network)
    for server, text in (("10.9.0.252", "IP address 10.9.0.252 of subnet 10.9.0.0/24 is in use"), ("x", "Invalid Dns")):
        with pytest.raises(Conflict) as refusal:
            await client.update(network, network_ipam_refs=link(subnet("10.9.0.0/24", dns_server_address=server)))
        assert text in refusal.value.text
    network = await client.update(
        network, network_ipam_refs=link(subnet("10.9.0.0/24", dns_server_address="10.9.0.100"))
    )
    assert (await client.instance_ip("b", network)).properties["instance_ip_address"] == "10.9.0.253"
    with pytest.raises(Conflict):
        await client.instance_ip("c", network, instance_ip_address="10.9.0.100")
    network = await client.update(network, network_ipam_refs=link(subnet("10.9.0.0/24", dns_server_address="")))
    assert stored(network)[0]["dns_server_address"] == "10.9.0.100"


async def test_the_order_of_allocation_changes_without_the_gateway(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    network = await client.update(network, network_ipam_refs=link(subnet("10.9.0.0/24", addr_from_start=True)))
    (entry,) = stored(network)
    assert (entry["default_gateway"], entry["dns_server_address"]) == ("10.9.0.254", "10.9.0.253")
    assert (await client.instance_ip("a", network)).properties["instance_ip_address"] == "10.9.0.1"


def pools(*ranges: tuple[int, int], **more: Any) -> list[dict[str, Any]]:
    """Of 10.9.0.0/24."""
    return [{"start": f"10.9.0.{first}", "end": f"10.9.0.{last}", **more} for first, last in ranges]


@pytest.mark.parametrize("after", [[], pools((1, 8)), pools((1, 10)), pools((20, 29))])
async def test_an_allocation_pool_neither_goes_nor_changes(client: Client, after: list[dict[str, Any]]) -> None:
    network = await client.create(
        "virtual-network", VN, network_ipam_refs=link(subnet("10.9.0.0/24", allocation_pools=pools((1, 9))))
    )
    with pytest.raises(BadRequest) as refusal:
        await client.update(network, network_ipam_refs=link(subnet("10.9.0.0/24", allocation_pools=after)))
    assert "Allocation pool delete is not allowed" in refusal.value.text


async def test_allocation_pools_are_added_and_what_is_taken_stays_taken(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")

    async def address(name: str, **fields: Any) -> str:
        return str((await client.instance_ip(name, network, **fields)).properties["instance_ip_address"])

    async def allow(*ranges: tuple[int, int]) -> Object:
        entry = subnet("10.9.0.0/24", allocation_pools=pools(*ranges))
        return await client.update(network, network_ipam_refs=link(entry))

    assert [await address("a"), await address("b", instance_ip_address="10.9.0.9")] == ["10.9.0.252", "10.9.0.9"]
    network = await allow((8, 9))
    assert await address("c") == "10.9.0.8"
    with pytest.raises(BadRequest):
        await address("d")
    with pytest.raises(Conflict):
        await address("d", instance_ip_address="10.9.0.252")
    network = await allow((8, 9), (251, 252))
    assert await address("d") == "10.9.0.251"
    for name in "acd":
        await client.delete(await client.find("instance-ip", [name]))
    assert [await address("e"), await address("f"), await address("g")] == ["10.9.0.252", "10.9.0.251", "10.9.0.8"]


async def test_an_allocation_unit_stays(client: Client) -> None:
    network = await client.create("virtual-network", VN, network_ipam_refs=link(subnet("10.9.0.0/24", alloc_unit=4)))
    with pytest.raises(BadRequest) as refusal:
        await client.update(network, network_ipam_refs=link(subnet("10.9.0.0/24")))
    assert "alloc_unit change is not allowed" in refusal.value.text


async def test_host_routes_and_other_members_stay_as_sent(client: Client) -> None:
    sent = {
        "subnet_name": "one", "enable_dhcp": True, "dhcp_option_list": None, "dns_nameservers": ["8.8.8.8"],
        "host_routes": {"route": [{"prefix": "10.1.0.0/16", "next_hop": "10.9.0.7", "next_hop_type": None}]},
        "dhcp_relay_server": ["10.1.1.1"],
    }  # fmt: skip
    network = await client.create("virtual-network", VN, network_ipam_refs=link(subnet("10.9.0.0/24", **sent)))
    assert sent.items() <= stored(network)[0].items()


async def test_a_routed_network_has_no_gateway_of_its_own(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/30", virtual_network_category="routed")
    (entry,) = stored(network)
    assert (entry["default_gateway"], entry["dns_server_address"]) == ("None", "None")
    taken = [(await client.instance_ip(name, network)).properties["instance_ip_address"] for name in "ab"]
    assert taken == ["10.9.0.2", "10.9.0.1"]
    network = await client.update(network, network_ipam_refs=link(entry), virtual_network_category="tenant")
    assert stored(network) == [entry]


@pytest.mark.parametrize(("kind", "shown"), [("floating-ip", "Floating IP"), ("alias-ip", "Alias IP")])
async def test_what_holds_an_address_is_named_when_its_subnet_should_go(client: Client, kind: str, shown: str) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    await client.create(f"{kind}-pool", (*VN, "pool"))
    await client.create(kind, (*VN, "pool", "one"), parent_type=f"{kind}-pool")
    with pytest.raises(Conflict) as refusal:
        await client.update(network, network_ipam_refs=[])
    assert refusal.value.text == f"Cannot Delete IP Block, {shown}(10.9.0.252) is in use"


async def test_a_network_made_again_starts_afresh(client: Client) -> None:
    for _ in range(2):
        network = await client.network(VN, "10.9.0.0/30")
        network = await client.update(network, network_ipam_refs=link(subnet("10.9.0.0/29")))
        held = await client.instance_ip("a", network)
        assert held.properties["instance_ip_address"] == "10.9.0.4"
        await client.delete(held)
        await client.delete(network)
