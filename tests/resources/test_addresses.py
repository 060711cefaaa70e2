"""Objects that hold an address: instance-ip, floating-ip, alias-ip and their pools."""

import asyncio
from typing import Any

import pytest
from resource_client import DOMAIN, IPAM, Client, subnet, subnets, to

from api_server.errors import BadRequest, Conflict
from api_server.store.objects import Object

VN = (DOMAIN, "p1", "vn")
EXHAUSTED = f"Virtual-Network({list(VN)}) has exhausted subnet([])"


def address(object: Object) -> str:
    return str(object.properties["instance_ip_address"])


async def network_of(client: Client, *entries: dict[str, Any], **fields: Any) -> Object:
    attr = {"ipam_subnets": list(entries)}
    return await client.create("virtual-network", VN, network_ipam_refs=[{"to": list(IPAM), "attr": attr}], **fields)


async def flat(client: Client, name: str, *prefixes: str) -> Object:
    return await client.create(
        "network-ipam", (DOMAIN, "p1", name), ipam_subnet_method="flat-subnet",
        ipam_subnets={"subnets": [subnet(prefix) for prefix in prefixes]},
    )  # fmt: skip


async def flat_network(client: Client, name: str, ipam: Object, **fields: Any) -> Object:
    return await client.create(
        "virtual-network", (DOMAIN, "p1", name), virtual_network_properties={"forwarding_mode": "l3"},
        network_ipam_refs=[to(ipam, {"ipam_subnets": [], "host_routes": None})], **fields,
    )  # fmt: skip


# --- instance-ip


async def test_the_highest_free_address_is_taken_and_given_back(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    first = await client.instance_ip("a", network)
    second = await client.instance_ip("b", network)
    assert (address(first), address(second)) == ("10.9.0.252", "10.9.0.251")
    await client.delete(first)
    assert address(await client.instance_ip("c", network)) == "10.9.0.252"


async def test_the_subnet_taken_from_is_told(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24", "10.8.0.0/24")
    entries = network.references["network_ipam_refs"][0].attr["ipam_subnets"]
    first = await client.instance_ip("a", network)
    assert first.properties["subnet_uuid"] == entries[0]["subnet_uuid"]
    second = await client.instance_ip("b", network, subnet_uuid=entries[1]["subnet_uuid"])
    assert (address(second), second.properties["subnet_uuid"]) == ("10.8.0.252", entries[1]["subnet_uuid"])


async def test_addr_from_start_and_allocation_pools(client: Client) -> None:
    pools = [{"start": "10.9.0.10", "end": "10.9.0.11"}, {"start": "10.9.0.20", "end": "10.9.0.20"}]
    network = await network_of(client, subnet("10.9.0.0/24", addr_from_start=True, allocation_pools=pools))
    taken = [address(await client.instance_ip(name, network)) for name in "abc"]
    assert taken == ["10.9.0.10", "10.9.0.11", "10.9.0.20"]
    with pytest.raises(BadRequest) as refusal:
        await client.instance_ip("d", network)
    assert refusal.value.text == EXHAUSTED
    assert address(await client.instance_ip("e", network, instance_ip_address="10.9.0.99")) == "10.9.0.99"


async def test_all_subnets_are_tried_in_order_and_the_family_chosen(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/30", "10.8.0.0/29", "fd00::/64")
    assert address(await client.instance_ip("a", network)) == "10.8.0.4"
    assert address(await client.instance_ip("b", network, instance_ip_family="v6")) == "fd00::ffff:ffff:ffff:fffc"
    asked = await client.instance_ip("c", network, instance_ip_address="FD00:0::5")
    assert address(asked) == "fd00::5"


@pytest.mark.parametrize("reserved", ["10.9.0.0", "10.9.0.255", "10.9.0.253", "10.9.0.7"])
async def test_an_address_in_use_or_reserved_is_refused(client: Client, reserved: str) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    await client.instance_ip("a", network, instance_ip_address="10.9.0.7")
    with pytest.raises(Conflict) as refusal:
        await client.instance_ip("b", network, instance_ip_address=reserved)
    assert refusal.value.text == "IP address already in use"


async def test_the_gateway_address_is_given_on_request_and_once(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    first = await client.instance_ip("a", network, instance_ip_address="10.9.0.254")
    with pytest.raises(Conflict):
        await client.instance_ip("b", network, instance_ip_address="10.9.0.254")
    await client.delete(first)
    assert address(await client.instance_ip("c", network, instance_ip_address="10.9.0.254")) == "10.9.0.254"


async def test_the_gateway_address_is_not_for_a_machine(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    machine = await client.create("virtual-machine", ["vm"])
    interface = await client.interface((DOMAIN, "p1", "i"), network, virtual_machine_refs=[to(machine)])
    with pytest.raises(BadRequest) as refusal:
        await client.instance_ip("a", network, interface, instance_ip_address="10.9.0.254")
    assert refusal.value.text == "Gateway IP cannot be used by VM port"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"instance_ip_address": "10.7.0.1"}, EXHAUSTED),
        ({"instance_ip_family": "v6"}, EXHAUSTED),
        ({"instance_ip_address": "nobody"}, "Invalid IP address: nobody"),
        ({"subnet_uuid": "none-such"}, "has invalid subnet(none-such)"),
    ],
)
async def test_what_no_subnet_has_is_refused(client: Client, fields: dict[str, str], text: str) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    with pytest.raises(BadRequest) as refusal:
        await client.instance_ip("a", network, **fields)
    assert text in refusal.value.text


async def test_a_network_without_subnets_has_none(client: Client) -> None:
    network = await client.create("virtual-network", VN)
    with pytest.raises(BadRequest) as refusal:
        await client.instance_ip("a", network)
    assert refusal.value.text == EXHAUSTED


async def test_the_address_stays(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    held = await client.instance_ip("a", network)
    with pytest.raises(BadRequest) as refusal:
        await client.update(held, instance_ip_address="10.9.0.5")
    assert refusal.value.text == "Instance IP Address can not be changed"
    assert address(await client.update(held, instance_ip_address="10.9.0.252", display_name="x")) == "10.9.0.252"


async def test_networks_of_the_underlay_store_what_is_given(client: Client) -> None:
    fabric = await client.find("virtual-network", (DOMAIN, "default-project", "ip-fabric"))
    for name in "ab":
        assert address(await client.instance_ip(name, fabric, instance_ip_address="192.0.2.1")) == "192.0.2.1"


async def test_an_instance_ip_needs_a_network(client: Client) -> None:
    with pytest.raises(BadRequest):
        await client.create("instance-ip", ["a"])


async def test_concurrent_requests_get_different_addresses(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    held = await asyncio.gather(*(client.instance_ip(f"i{number}", network) for number in range(40)))
    assert len({address(each) for each in held}) == 40


async def test_an_address_of_a_flat_ipam_is_given_once_for_all_its_networks(client: Client) -> None:
    ipam = await flat(client, "pods", "10.32.0.0/12")
    networks = [await flat_network(client, name, ipam) for name in ("one", "two")]
    taken = [address(await client.instance_ip(f"i{n}", networks[n % 2])) for n in range(4)]
    assert taken == ["10.47.255.252", "10.47.255.251", "10.47.255.250", "10.47.255.249"]
    with pytest.raises(Conflict):
        await client.instance_ip("again", networks[1], instance_ip_address=taken[0])


async def test_a_flat_subnet_is_named_by_the_networks_reference(client: Client) -> None:
    network = await flat_network(client, "pods", await flat(client, "pods", "10.32.0.0/12"))
    (entry,) = network.references["network_ipam_refs"][0].attr["ipam_subnets"]
    held = await client.instance_ip("a", network, subnet_uuid=entry["subnet_uuid"])
    assert (address(held), held.properties["subnet_uuid"]) == ("10.47.255.252", entry["subnet_uuid"])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (None, "10.9.0.252"),
        ("user-defined-subnet-preferred", "10.9.0.252"),
        ("user-defined-subnet-only", "10.9.0.252"),
        ("flat-subnet-preferred", "10.47.255.252"),
        ("flat-subnet-only", "10.47.255.252"),
    ],
)
async def test_the_allocation_mode_decides_the_kind_of_subnet(client: Client, mode: str | None, expected: str) -> None:
    ipam = await flat(client, "pods", "10.32.0.0/12")
    network = await client.create(
        "virtual-network", VN, address_allocation_mode=mode, virtual_network_properties={"forwarding_mode": "l3"},
        network_ipam_refs=[{"to": list(IPAM), "attr": subnets("10.9.0.0/24")}, to(ipam, {"ipam_subnets": []})],
    )  # fmt: skip
    assert address(await client.instance_ip("a", network)) == expected


async def test_an_instance_ip_of_an_ipam_alone(client: Client) -> None:
    ipam = await flat(client, "pods", "10.32.0.0/12")
    held = await client.create("instance-ip", ["a"], network_ipam_refs=[to(ipam)])
    assert address(held) == "10.47.255.252"


async def test_moved_to_another_network_its_address_is_taken_there(client: Client) -> None:
    one = await client.network(VN, "10.9.0.0/24")
    two = await client.network((DOMAIN, "p1", "two"), "10.9.0.0/24")
    held = await client.instance_ip("a", one)
    await client.update(held, virtual_network_refs=[to(two)])
    assert address(await client.instance_ip("b", one)) == "10.9.0.252"
    assert address(await client.instance_ip("c", two)) == "10.9.0.251"


# --- floating-ip, alias-ip


async def pool_of(client: Client, network: Object, kind: str = "floating-ip-pool", **fields: Any) -> Object:
    return await client.create(kind, (*network.fq_name, "pool"), **fields)


async def test_a_floating_ip_comes_from_its_pools_network(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    pool = await pool_of(client, network)
    held = await client.create("floating-ip", (*pool.fq_name, "f"), parent_type="floating-ip-pool")
    assert held.properties["floating_ip_address"] == "10.9.0.252"
    assert [reference.fq_name for reference in held.references["project_refs"]] == [(DOMAIN, "p1")]
    assert address(await client.instance_ip("a", network)) == "10.9.0.251"
    with pytest.raises(Conflict):
        await client.create("floating-ip", (*pool.fq_name, "g"), parent_type="floating-ip-pool",
                            floating_ip_address="10.9.0.251")  # fmt: skip
    await client.delete(held)
    assert address(await client.instance_ip("b", network)) == "10.9.0.252"


async def test_an_alias_ip_comes_from_its_pools_network(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    pool = await pool_of(client, network, "alias-ip-pool")
    held = await client.create("alias-ip", (*pool.fq_name, "f"))
    assert held.properties["alias_ip_address"] == "10.9.0.252"


async def test_a_pool_can_be_limited_to_subnets(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24", "10.8.0.0/30")
    second = network.references["network_ipam_refs"][0].attr["ipam_subnets"][1]["subnet_uuid"]
    pool = await pool_of(client, network, floating_ip_pool_subnets={"subnet_uuid": [second]})
    with pytest.raises(BadRequest) as refusal:
        await client.create("floating-ip", (*pool.fq_name, "f"), parent_type="floating-ip-pool")
    assert refusal.value.text == EXHAUSTED
    with pytest.raises(BadRequest):
        await client.update(pool, floating_ip_pool_subnets={"subnet_uuid": ["none-such"]})


async def test_a_floating_ip_that_changes_its_address_takes_it(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    pool = await pool_of(client, network)
    held = await client.create("floating-ip", (*pool.fq_name, "f"), parent_type="floating-ip-pool")
    await client.instance_ip("a", network, instance_ip_address="10.9.0.9")
    with pytest.raises(Conflict):
        await client.update(held, floating_ip_address="10.9.0.9")
    await client.update(held, floating_ip_address="10.9.0.8")
    assert address(await client.instance_ip("b", network)) == "10.9.0.252"
    with pytest.raises(Conflict):
        await client.instance_ip("c", network, instance_ip_address="10.9.0.8")


async def test_below_an_instance_ip_nothing_is_allocated(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    held = await client.instance_ip("a", network)
    shared = await client.create(
        "floating-ip", ("a", "f"), parent_type="instance-ip", floating_ip_address=address(held)
    )  # fmt: skip
    assert shared.properties["floating_ip_address"] == "10.9.0.252"
    assert "project_refs" not in shared.references
    await client.delete(shared)
    with pytest.raises(Conflict):
        await client.instance_ip("b", network, instance_ip_address="10.9.0.252")
