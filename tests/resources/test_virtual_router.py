"""virtual-router: pools of flat network-ipams that are one node's (contract 5.7)."""

from typing import Any

import pytest
from resource_client import DOMAIN, Client, subnet, to

from api_server.errors import BadRequest
from api_server.store.objects import Object

SYSTEM = "default-global-system-config"


def pool(first: int, last: int, **more: Any) -> dict[str, Any]:
    return {"start": f"10.1.0.{first}", "end": f"10.1.0.{last}", **more}


def pools(*ranges: tuple[int, int]) -> dict[str, Any]:
    return {"allocation_pools": [pool(*one) for one in ranges]}


@pytest.fixture
async def ipam(client: Client) -> Object:
    own = {"vrouter_specific_pool": True}
    offered = [pool(10, 19, **own), pool(20, 29, **own), pool(30, 39)]
    return await client.create(
        "network-ipam", (DOMAIN, "p1", "flat"), ipam_subnet_method="flat-subnet",
        ipam_subnets={"subnets": [subnet("10.1.0.0/24", allocation_pools=offered)]},
    )  # fmt: skip


async def node(client: Client, name: str, *references: Any) -> Object:
    return await client.create("virtual-router", (SYSTEM, name), network_ipam_refs=list(references))


async def test_a_node_gets_a_pool_of_its_own(client: Client, ipam: Object) -> None:
    one = await node(client, "n1", to(ipam, {"allocation_pools": [pool(10, 19, vrouter_specific_pool=True)]}))
    (reference,) = one.references["network_ipam_refs"]
    assert reference.attr == pools((10, 19))
    await node(client, "n2", to(ipam, pools((20, 29))))
    await client.update(one, display_name="the same pools")


@pytest.mark.parametrize(
    ("attr", "text"),
    [
        (pools((10, 19)), "vrouter allocation-pool start:10.1.0.10, end:10.1.0.19 is used in other vrouter:"),
        (pools((20, 28)), "vrouter allocation-pool start:10.1.0.20, end:10.1.0.28 not in ipam"),
        (pools((30, 39)), "vrouter allocation-pool start:10.1.0.30, end:10.1.0.39 not in ipam"),
        (pools(), "No allocation-pools for this vrouter"),
        ({"allocation_pools": None}, "No allocation-pools for this vrouter"),
    ],
)
async def test_a_pool_is_set_aside_for_one_node(client: Client, ipam: Object, attr: Any, text: str) -> None:
    await node(client, "n1", to(ipam, pools((10, 19))))
    with pytest.raises(BadRequest) as refusal:
        await node(client, "n2", to(ipam, attr))
    assert refusal.value.text.startswith(text)


async def test_only_flat_ipams_have_such_pools(client: Client) -> None:
    plain = await client.create("network-ipam", (DOMAIN, "p1", "plain"))
    with pytest.raises(BadRequest, match="Only flat-subnet ipam can be attached to vrouter"):
        await node(client, "n1", to(plain, pools((10, 19))))


async def test_a_pool_in_use_stays(client: Client, ipam: Object) -> None:
    one = await node(client, "n1", to(ipam, pools((10, 19))))
    held = await client.create("instance-ip", ["gw"], virtual_router_refs=[to(one)])
    one = await client.update(one, network_ipam_refs=[to(ipam, pools((10, 19), (20, 29)))])
    one = await client.update(one, network_ipam_refs=[to(ipam, pools((10, 19)))])
    for references in ([], [to(ipam, pools((20, 29)))]):
        with pytest.raises(
            BadRequest, match=f"Cannot Delete allocation pool, {held.properties['instance_ip_address']}"
        ):
            await client.update(one, network_ipam_refs=references)
    await client.delete(held)
    await client.update(one, network_ipam_refs=[])
