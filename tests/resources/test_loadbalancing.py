"""What the server leaves to clients and drivers about load balancers (contract 5.1): stored as it is sent."""

from typing import Any

import pytest
from resource_client import DOMAIN, Client

from api_server.errors import BadRequest

PROJECT = (DOMAIN, "p1")


async def test_addresses_ports_and_states_are_not_judged(client: Client) -> None:
    properties = {"vip_address": "nowhere", "vip_subnet_id": "none", "status": "WELL", "operating_status": "fine"}
    loadbalancer = await client.create("loadbalancer", (*PROJECT, "lb"), loadbalancer_properties=properties)
    assert loadbalancer.properties["loadbalancer_properties"] == properties
    port = {"protocol": "TCP", "protocol_port": 99999}
    for name in ("one", "again"):
        await client.create("loadbalancer-listener", (*PROJECT, name), loadbalancer_listener_properties=port)
    await client.create(
        "loadbalancer-pool", (*PROJECT, "pool"), loadbalancer_pool_properties={"protocol": "HTTP"}
    )  # of a listener for TCP
    member = {"address": "10.0.0.300", "protocol_port": 99999}
    for name in ("one", "again"):
        await client.create("loadbalancer-member", (*PROJECT, "pool", name), loadbalancer_member_properties=member)


@pytest.mark.parametrize("properties", [None, {}])
async def test_a_health_monitor_has_properties(client: Client, properties: Any) -> None:
    with pytest.raises(BadRequest, match="loadbalancer_healthmonitor_properties property is missing"):
        await client.create("loadbalancer-healthmonitor", (*PROJECT, "m"),
                            loadbalancer_healthmonitor_properties=properties)  # fmt: skip
