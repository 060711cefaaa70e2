"""security-group and network-policy."""

from typing import Any

import pytest
from resource_client import DOMAIN, Client

from api_server.errors import ApiError, Forbidden
from api_server.store.objects import Object

NAME = (DOMAIN, "p1", "g")
LOCAL = {"security_group": "local"}
EVERYWHERE = {"subnet": {"ip_prefix": "0.0.0.0", "ip_prefix_len": 0}}


def rule(**more: Any) -> dict[str, Any]:
    ports = [{"start_port": 0, "end_port": 65535}]
    return {
        "direction": ">", "protocol": "any", "ethertype": "IPv4", "src_addresses": [EVERYWHERE],
        "dst_addresses": [LOCAL], "src_ports": ports, "dst_ports": ports,
    } | more  # fmt: skip


def number(group: Object) -> int:
    return int(group.properties["security_group_id"])


async def test_group_ids_are_the_servers(client: Client) -> None:
    first = await client.create("security-group", NAME)
    assert number(first) == 8000002
    with pytest.raises(Forbidden) as refusal:
        await client.create("security-group", (DOMAIN, "p1", "h"), security_group_id=8000009)
    assert refusal.value.text == "Cannot set/update the security group ID"
    await client.delete(first)
    assert number(await client.create("security-group", NAME)) == 8000002


async def test_a_configured_id_is_used(client: Client) -> None:
    group = await client.create("security-group", NAME, configured_security_group_id=42)
    assert number(group) == 42
    group = await client.update(group, configured_security_group_id=0)
    assert number(group) == 8000002
    group = await client.update(group, configured_security_group_id=43)
    assert number(group) == 43
    assert number(await client.create("security-group", (DOMAIN, "p1", "h"))) == 8000002


async def test_rules_get_a_uuid_and_keep_their_own(client: Client) -> None:
    given = [rule(rule_uuid="mine"), rule(protocol="tcp")]
    group = await client.create("security-group", NAME, security_group_entries={"policy_rule": given})
    rules = group.properties["security_group_entries"]["policy_rule"]
    assert rules[0]["rule_uuid"] == "mine"
    assert len(rules[1]["rule_uuid"]) == 36


@pytest.mark.parametrize(
    ("wrong", "status", "text"),
    [
        ([rule(protocol="foo")], 400, "Rule with invalid protocol : foo"),
        ([rule(protocol="256")], 400, "Rule with invalid protocol : 256"),
        ([rule(), rule()], 409, "Rule already exists : None"),
        ([rule(dst_addresses=[EVERYWHERE])], 400, "local"),
        ([rule(ethertype="IPv6")], 400, "ethertype IPv6"),
    ],
)
async def test_bad_rules_are_refused(client: Client, wrong: list[dict[str, Any]], status: int, text: str) -> None:
    with pytest.raises(ApiError) as refusal:
        await client.create("security-group", NAME, security_group_entries={"policy_rule": wrong})
    assert (refusal.value.status, text in refusal.value.text) == (status, True)


def policy_rule(**more: Any) -> dict[str, Any]:
    ports = [{"start_port": -1, "end_port": -1}]
    return {
        "direction": "<>", "protocol": "any", "action_list": {"simple_action": "pass"}, "src_ports": ports,
        "src_addresses": [{"network_policy": "default-domain:p1:g"}], "dst_ports": ports,
        "dst_addresses": [{"virtual_network": "any"}],
    } | more  # fmt: skip


async def test_a_policys_rules_get_a_uuid(client: Client) -> None:
    entries = {"policy_rule": [policy_rule()]}
    policy = await client.create("network-policy", NAME, network_policy_entries=entries)
    (stored,) = policy.properties["network_policy_entries"]["policy_rule"]
    assert stored == policy_rule() | {"rule_uuid": stored["rule_uuid"]}
    again = await client.update(policy, network_policy_entries={"policy_rule": [stored]})
    assert again.properties["network_policy_entries"]["policy_rule"] == [stored]


@pytest.mark.parametrize("wrong", [{"action_list": None}, {"protocol": "foo"}, {"src_addresses": []}])
async def test_bad_policy_rules_are_refused(client: Client, wrong: dict[str, Any]) -> None:
    entries = {"policy_rule": [policy_rule(**wrong)]}
    with pytest.raises(ApiError) as refusal:
        await client.create("network-policy", NAME, network_policy_entries=entries)
    assert refusal.value.status == 400
