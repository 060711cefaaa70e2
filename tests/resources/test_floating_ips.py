"""floating-ip, alias-ip and their pools."""

from typing import Any

import pytest
from resource_client import DOMAIN, Client, to

from api_server.errors import ApiError, BadRequest, Conflict
from api_server.store.objects import Object

VN = (DOMAIN, "p1", "vn")


def address(object: Object) -> str:
    return str(object.properties["instance_ip_address"])


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
    assert refusal.value.text == f"Virtual-Network({list(VN)}) has exhausted subnet(['10.8.0.0/30'])"
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
    held = await client.update(held, floating_ip_address=None)
    assert held.properties["floating_ip_address"] == "10.9.0.8"
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


@pytest.mark.parametrize("kind", ["floating-ip", "alias-ip"])
async def test_an_address_of_no_family_is_ipv4_where_there_is_any(client: Client, kind: str) -> None:
    network = await client.network(VN, "fd00::/64", "10.9.0.0/29")
    pool = await pool_of(client, network, f"{kind}-pool")
    ident = kind.replace("-", "_")

    async def taken(name: str, **fields: Any) -> str:
        held = await client.create(kind, (*pool.fq_name, name), parent_type=f"{kind}-pool", **fields)
        return str(held.properties[f"{ident}_address"])

    assert [await taken(f"a{number}") for number in range(4)] == [f"10.9.0.{number}" for number in (4, 3, 2, 1)]
    with pytest.raises(BadRequest):
        await taken("more")
    assert await taken("six", **{f"{ident}_address_family": "v6"}) == "fd00::ffff:ffff:ffff:fffc"
    assert await taken("asked", **{f"{ident}_address": "fd00::5"}) == "fd00::5"


@pytest.mark.parametrize(
    ("address", "status", "text"),
    [
        ("10.9.0.252", 409, "IP address already in use"),
        ("10.9.0.253", 409, "IP address already in use"),
        ("10.9.0.254", 409, "IP address already in use"),
        ("10.8.0.1", 400, "has exhausted subnet([])"),
        ("nobody", 400, "Invalid IP address: nobody"),
    ],
)
async def test_a_floating_ip_of_an_address_that_is_not_free_is_refused(
    client: Client, address: str, status: int, text: str
) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    pool = await pool_of(client, network)
    await client.instance_ip("a", network)
    with pytest.raises(ApiError) as refusal:
        await client.create(
            "floating-ip", (*pool.fq_name, "f"), parent_type="floating-ip-pool", floating_ip_address=address
        )
    assert (refusal.value.status, text in refusal.value.text) == (status, True)


async def test_a_floating_ips_own_project_stays(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    other = await client.create("project", (DOMAIN, "other"))
    pool = await pool_of(client, network)
    held = await client.create(
        "floating-ip", (*pool.fq_name, "f"), parent_type="floating-ip-pool", project_refs=[to(other)]
    )
    assert held.targets("project") == [other.uuid]


async def test_a_pool_with_floating_ips_stays(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    pool = await pool_of(client, network)
    await client.create("floating-ip", (*pool.fq_name, "f"), parent_type="floating-ip-pool")
    with pytest.raises(Conflict) as refusal:
        await client.delete(pool)
    assert refusal.value.text.startswith("Delete when children still present: ")


async def test_a_pools_subnets_are_tried_in_its_order(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24", "10.8.0.0/24", "10.7.0.0/24")
    entries = network.references["network_ipam_refs"][0].attr["ipam_subnets"]
    pool = await pool_of(
        client,
        network,
        floating_ip_pool_subnets={"subnet_uuid": [entries[n]["subnet_uuid"] for n in (2, 1)]},
    )
    held = await client.create("floating-ip", (*pool.fq_name, "f"), parent_type="floating-ip-pool")
    assert held.properties["floating_ip_address"] == "10.7.0.252"
