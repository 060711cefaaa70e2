"""global-system-config and global-vrouter-config: their numbers fit what depends on them (contract 5.11)."""

from typing import Any

import pytest
from resource_client import DOMAIN, Client

from api_server.errors import BadRequest
from api_server.store.objects import Object

SYSTEM = "default-global-system-config"
VN = (DOMAIN, "p1", "vn")


@pytest.fixture
async def config(client: Client) -> Object:
    return await client.find("global-system-config", (SYSTEM,))


async def test_there_is_one_global_system_config(client: Client, config: Object) -> None:
    with pytest.raises(BadRequest) as refusal:
        await client.create("global-system-config", ["another"])
    assert refusal.value.text == f"Global System Config already exists with name {SYSTEM} ({config.uuid})"


async def test_autonomous_systems_have_two_bytes_or_four(client: Client, config: Object) -> None:
    with pytest.raises(BadRequest) as refusal:
        await client.update(config, autonomous_system=70000)
    assert refusal.value.text == "ASN out of range, should be between 1-0xFFFF"
    config = await client.update(config, autonomous_system=70000, enable_4byte_as=True)
    with pytest.raises(BadRequest):
        await client.update(config, enable_4byte_as=False)
    network = await client.create("virtual-network", VN, route_target_list={"route_target": ["target:70001:1"]})
    for number, allowed in ((7999, True), (8000, False), (32768, False), (32769, True)):
        change = client.update(network, route_target_list={"route_target": [f"target:70000:{number}"]})
        if allowed:
            await change
        else:
            with pytest.raises(BadRequest, match="less than 8000 and greater than 32768"):
                await change


async def test_sub_clusters_have_the_bytes_that_the_autonomous_system_leaves(client: Client, config: Object) -> None:
    cluster = await client.create("sub-cluster", ["s"], sub_cluster_id=70000)
    four_bytes = {"enable_4byte_as": True, "autonomous_system": 70000}
    with pytest.raises(BadRequest, match="Cannot reduce Sub-Cluster ID to 2 bytes"):
        await client.update(config, **four_bytes)
    await client.update(cluster, sub_cluster_id=7)
    await client.update(config, **four_bytes)
    with pytest.raises(BadRequest, match="out of the range"):
        await client.update(cluster, sub_cluster_id=70000)


@pytest.mark.parametrize(
    ("kind", "field"),
    [("virtual-network", "import_route_target_list"), ("logical-router", "configured_route_target_list")],
)
async def test_the_autonomous_system_keeps_clear_of_route_targets(
    client: Client, config: Object, kind: str, field: str
) -> None:
    named = await client.create(kind, VN, **{field: {"route_target": ["target:64600:8000001"]}})
    with pytest.raises(BadRequest) as refusal:
        await client.update(config, autonomous_system=64600)
    assert f"{DOMAIN}:p1:vn ({named.uuid}) has target:64600:8000001 in {field}" in refusal.value.text
    await client.update(config, autonomous_system=6460)
    await client.delete(named)
    await client.update(config, autonomous_system=64600)


async def test_ports_of_bgp_as_a_service(client: Client, config: Object) -> None:
    def ports(start: int | None, end: int) -> dict[str, Any]:
        return {"bgpaas_parameters": {"port_start": start, "port_end": end}}

    with pytest.raises(BadRequest, match="Invalid Port range specified"):
        await client.update(config, **ports(50001, 50000))
    config = await client.update(config, **ports(50000, 50100))
    await client.create("bgp-as-a-service", (DOMAIN, "p1", "service"))
    with pytest.raises(BadRequest, match="BGP Port range cannot be shrunk"):
        await client.update(config, **ports(50000, 50099))
    await client.update(config, **ports(None, 50101))


async def test_patterns_of_log_statistics(client: Client, config: Object) -> None:
    fine = {"statlist": [{"name": "a", "pattern": "x.*y"}]}
    await client.update(config, user_defined_log_statistics=fine)
    for pattern in ("(", "(" * 3000 + ")" * 3000, "a{99999999999999999999}"):
        with pytest.raises(BadRequest, match="Regex error in user-defined-log-statistics at b"):
            await client.update(config, user_defined_log_statistics={"statlist": [{"name": "b", "pattern": pattern}]})


@pytest.mark.parametrize(
    "fields",
    [
        {"encapsulation_priorities": {"encapsulation": ["MPLSoSMOKE"]}},
        {"forwarding_mode": "l4"},
        {"vxlan_network_identifier_mode": "guessed"},
        {"flow_export_rate": "fast"},
        {
            "port_translation_pools": {
                "port_translation_pool": [{"protocol": "tcp", "port_range": {"start_port": 9, "end_port": 8}}]
            }
        },
    ],
)
async def test_settings_of_all_vrouters(client: Client, fields: dict[str, Any]) -> None:
    config = await client.find("global-vrouter-config", (SYSTEM, "default-global-vrouter-config"))
    await client.update(config, encapsulation_priorities={"encapsulation": ["VXLAN", "MPLSoUDP"]}, forwarding_mode="l3")
    with pytest.raises(BadRequest, match=next(iter(fields))):
        await client.update(config, **fields)
