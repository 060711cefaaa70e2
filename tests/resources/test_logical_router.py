"""logical-router: its interfaces, and its own network if it routes over VXLAN (contract 5.11)."""

from typing import Any

import pytest
from resource_client import DOMAIN, Client, to

from api_server.errors import BadRequest, Conflict
from api_server.resources.hooks import carry_out
from api_server.resources.logical_router import LogicalRouter
from api_server.store.objects import Delete, Object, Update
from api_server.store.transaction import Transaction

NAME = (DOMAIN, "p1", "r")
VXLAN = {"logical_router_type": "vxlan-routing"}
GATEWAY = {"logical_router_virtual_network_type": "ExternalGateway"}


@pytest.fixture
async def network(client: Client) -> Object:
    return await client.create("virtual-network", (DOMAIN, "p1", "vn"))


async def own_network(client: Client, router: Object) -> Object:
    (reference,) = [each for each in router.references["virtual_network_refs"] if each.attr != GATEWAY]
    assert reference.attr == {"logical_router_virtual_network_type": "InternalVirtualNetwork"}
    return await client.find("virtual-network", reference.fq_name)


def vxlan(network: Object) -> Any:
    return network.properties["virtual_network_properties"].get("vxlan_network_identifier")


async def test_a_router_is_of_one_kind(client: Client) -> None:
    router = await client.create("logical-router", NAME)
    assert router.properties["logical_router_type"] == "snat-routing"
    assert "virtual_network_refs" not in router.references
    await client.update(router, logical_router_type="snat-routing")
    with pytest.raises(BadRequest, match="Cannot update logical_router_type for a Logical Router"):
        await client.update(router, **VXLAN)
    router = await client.update(router, logical_router_type=None)
    assert router.properties["logical_router_type"] == "snat-routing"


async def test_a_router_over_vxlan_has_a_network(client: Client, network: Object) -> None:
    targets = {"route_target": ["target:1:2"]}
    router = await client.create(
        "logical-router", NAME, vxlan_network_identifier="500", configured_route_target_list=targets,
        virtual_network_refs=[to(network, GATEWAY)], **VXLAN,
    )  # fmt: skip
    own = await own_network(client, router)
    assert own.fq_name[-1] == f"__contrail_lr_internal_vn_{router.uuid}__"
    assert own.properties["display_name"] == "LR::r"
    assert own.properties["id_perms"]["user_visible"] is False
    assert own.properties["virtual_network_properties"] == {"forwarding_mode": "l3", "vxlan_network_identifier": 500}
    assert own.properties["route_target_list"] == targets
    assert own.properties["virtual_network_network_id"] == 6
    router = await client.update(router, virtual_network_refs=[])
    assert (await own_network(client, router)).uuid == own.uuid
    with pytest.raises(Conflict):
        await client.delete(own)
    await client.delete(router)
    assert await client.get(own) is None
    await client.create("virtual-network", NAME, virtual_network_properties={"vxlan_network_identifier": 500})


async def test_a_network_that_was_lost_is_made_again(client: Client) -> None:
    """As `db check --fix` does it."""
    router = await client.create("logical-router", NAME, **VXLAN)
    lost = await own_network(client, router)
    assert await client.call(lambda tx: list(LogicalRouter().settle(tx, router))) == []

    def work(tx: Transaction) -> None:
        bare = router.copy()
        del bare.references["virtual_network_refs"]
        tx.apply(Update(router, bare))
        tx.apply(Delete(lost))
        carry_out(tx, client.operations.registry, LogicalRouter().settle(tx, bare))

    await client.call(work)
    found = await client.get(router)
    assert found is not None
    assert (await own_network(client, found)).uuid != lost.uuid


async def test_the_network_follows_its_router(client: Client) -> None:
    router = await client.create("logical-router", NAME, vxlan_network_identifier="None", **VXLAN)
    assert "vxlan_network_identifier" not in router.properties
    assert vxlan(await own_network(client, router)) is None
    router = await client.update(router, vxlan_network_identifier="501")
    assert vxlan(await own_network(client, router)) == 501
    targets = {"route_target": ["target:1:2"]}
    router = await client.update(router, configured_route_target_list=targets)
    own = await own_network(client, router)
    assert (own.properties["route_target_list"], vxlan(own)) == (targets, 501)
    router = await client.update(router, vxlan_network_identifier="", configured_route_target_list=None)
    own = await own_network(client, router)
    assert (own.properties.get("route_target_list"), vxlan(own)) == (None, None)


async def test_vxlan_identifiers_are_of_one_space(client: Client, network: Object) -> None:
    await client.update(network, virtual_network_properties={"vxlan_network_identifier": 500})
    with pytest.raises(BadRequest) as refusal:
        await client.create("logical-router", NAME, vxlan_network_identifier="500", **VXLAN)
    assert refusal.value.text == "Cannot set VXLAN_ID: 500, it has already been set"
    router = await client.create("logical-router", NAME, vxlan_network_identifier="501", **VXLAN)
    with pytest.raises(BadRequest):
        await client.update(router, vxlan_network_identifier="500")
    with pytest.raises(BadRequest):
        await client.update(network, virtual_network_properties={"vxlan_network_identifier": 501})
    for wrong in ("many", "0", "16777216", "1" * 5000):
        with pytest.raises(BadRequest, match="vxlan_network_identifier"):
            await client.update(router, vxlan_network_identifier=wrong)


async def test_interfaces_are_not_machines_nor_at_the_gateway(client: Client, network: Object) -> None:
    machine = await client.create("virtual-machine", ["vm"])
    used = await client.interface((DOMAIN, "p1", "used"), network, virtual_machine_refs=[to(machine)])
    below = await client.create(
        "virtual-machine-interface", ("vm", "below"), parent_type="virtual-machine", virtual_network_refs=[to(network)]
    )
    free = await client.interface((DOMAIN, "p1", "free"), network)
    router = await client.create("logical-router", NAME)
    for interface in (used, below):
        with pytest.raises(Conflict) as conflict:
            await client.update(router, virtual_machine_interface_refs=[to(interface)])
        assert conflict.value.text == f"Port({interface.uuid}) already in use by virtual-machine({machine.uuid})"
    router = await client.update(router, virtual_machine_interface_refs=[to(free)])
    with pytest.raises(BadRequest) as refusal:
        await client.update(router, virtual_network_refs=[to(network, GATEWAY)])
    assert refusal.value.text == f"Logical router interface and gateway cannot be in VN({network.uuid})"


@pytest.mark.parametrize("target", ["target:64512:8000001", "nothing"])
async def test_route_targets_are_judged_as_a_networks(client: Client, target: str) -> None:
    with pytest.raises(BadRequest):
        await client.create("logical-router", NAME, configured_route_target_list={"route_target": [target]})
