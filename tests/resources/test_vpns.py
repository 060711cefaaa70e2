"""VPNs of the provider, that networks and routers are attached to (contract 5.2, 5.11)."""

import pytest
from resource_client import DOMAIN, Client, to

from api_server.errors import BadRequest
from api_server.store.objects import Object

PROJECT = (DOMAIN, "p1")


@pytest.fixture
async def vpn(client: Client) -> Object:
    return await client.create("bgpvpn", (*PROJECT, "vpn"))


async def test_a_vpn_is_of_the_layer_that_the_network_forwards_on(client: Client, vpn: Object) -> None:
    lower = await client.create("bgpvpn", (*PROJECT, "lower"), bgpvpn_type="l2")
    network = await client.create("virtual-network", (*PROJECT, "vn"), bgpvpn_refs=[to(vpn), to(lower)])
    for mode, other in (("l3", "l2"), ("l2", "l3")):
        with pytest.raises(BadRequest) as refusal:
            await client.update(network, virtual_network_properties={"forwarding_mode": mode})
        text = f"Cannot associate bgpvpn type '{other}' with a virtual network in forwarding mode '{mode}'"
        assert refusal.value.text == text
    network = await client.update(network, bgpvpn_refs=[to(lower)])
    await client.update(network, virtual_network_properties={"forwarding_mode": "l2"})


async def test_a_router_is_in_vpns_of_layer_three(client: Client, vpn: Object) -> None:
    lower = await client.create("bgpvpn", (*PROJECT, "lower"), bgpvpn_type="l2")
    router = await client.create("logical-router", (*PROJECT, "r"), bgpvpn_refs=[to(vpn)])
    with pytest.raises(BadRequest, match="Only bgpvpn type 'l3' can be associated to a logical router"):
        await client.ref_update(router, "ADD", lower)


async def test_of_a_router_and_its_network_one_is_in_a_vpn(client: Client, vpn: Object) -> None:
    network = await client.create("virtual-network", (*PROJECT, "vn"))
    interface = await client.interface(
        (*PROJECT, "i"), network, virtual_machine_interface_device_owner="network:router_interface"
    )
    router = await client.create("logical-router", (*PROJECT, "r"), virtual_machine_interface_refs=[to(interface)],
                                 bgpvpn_refs=[to(vpn)])  # fmt: skip
    with pytest.raises(BadRequest, match=r"Network vn .* is linked to a logical router which is associated"):
        await client.ref_update(network, "ADD", vpn)
    router = await client.update(router, bgpvpn_refs=[])
    network = await client.update(network, bgpvpn_refs=[to(vpn)])
    with pytest.raises(BadRequest, match=r"Router r .* is linked to virtual network"):
        await client.update(router, bgpvpn_refs=[to(vpn)])
    router = await client.update(router, virtual_machine_interface_refs=[], bgpvpn_refs=[to(vpn)])
    with pytest.raises(BadRequest, match=r"Router r .* is linked to virtual network"):
        await client.ref_update(router, "ADD", interface)
