"""security-group and network-policy."""

from typing import Any

import pytest
from resource_client import DOMAIN, Client

from api_server.errors import ApiError, BadRequest, Conflict, Forbidden
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
    assert refusal.value.text == "Cannot set the security group ID"
    with pytest.raises(Forbidden) as refusal:
        await client.update(first, security_group_id=8000009)
    assert refusal.value.text == "Cannot update the security group ID"
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


@pytest.mark.parametrize("protocol", ["any", "TCP", "icmp6", "sctp", "ipv6-icmp", "0", "255", "006"])
async def test_protocols_have_names_and_numbers(client: Client, protocol: str) -> None:
    entries = {"policy_rule": [rule(protocol=protocol)]}
    group = await client.create("security-group", NAME, security_group_entries=entries)
    assert group.properties["security_group_entries"]["policy_rule"][0]["protocol"] == protocol


async def test_the_other_side_may_be_a_group_or_a_prefix_of_any_family(client: Client) -> None:
    """As the default group of a project has them: from its own members, and to everywhere."""
    given = [
        rule(src_addresses=[{"security_group": "default-domain:p1:g"}]),
        rule(src_addresses=[LOCAL], dst_addresses=[EVERYWHERE]),
        rule(src_addresses=[LOCAL], dst_addresses=[{"subnet": {"ip_prefix": "::", "ip_prefix_len": 0}}],
             ethertype="IPv6"),
        rule(src_addresses=[{"subnet": None, "security_group": "default-domain:p1:g", "subnet_list": []}],
             ethertype="IPv6"),
        rule(protocol="udp", src_addresses=[{"subnet_list": [{"ip_prefix": "10.1.2.3", "ip_prefix_len": 24}]}]),
        rule(protocol="icmp", dst_ports=[{"start_port": 8, "end_port": 0}], ethertype=None),
    ]  # fmt: skip
    group = await client.create("security-group", NAME, security_group_entries={"policy_rule": given})
    assert len(group.properties["security_group_entries"]["policy_rule"]) == len(given)


@pytest.mark.parametrize(
    ("wrong", "status", "text"),
    [
        ([rule(protocol="foo")], 400, "Rule with invalid protocol : foo"),
        ([rule(protocol="256")], 400, "Rule with invalid protocol : 256"),
        ([rule(protocol="1" * 5000)], 400, "Rule with invalid protocol : 111"),
        ([rule(protocol="\u0666")], 400, "Rule with invalid protocol : \u0666"),
        ([rule(protocol=None)], 400, "Rule with invalid protocol : None"),
        ([rule(), rule()], 409, "Rule already exists : None"),
        ([rule(rule_uuid="a", created="x"), rule(rule_uuid="b")], 409, "Rule already exists : a"),
        ([rule(), rule(), rule(protocol="foo")], 409, "Rule already exists : None"),
        ([rule(dst_addresses=[EVERYWHERE])], 400,
         "At least one of source or destination addresses must be 'local'"),
        ([rule(src_addresses=None, dst_addresses=[])], 400, "must be 'local'"),
        ([rule(ethertype="IPv6")], 400, "Rule subnet 0.0.0.0/0 doesn't match ethertype IPv6"),
        ([rule(src_addresses=[{"subnet": {"ip_prefix": "::", "ip_prefix_len": 0}}])], 400,
         "Rule subnet ::/0 doesn't match ethertype IPv4"),
        ([rule(src_addresses=[{"subnet_list": [{"ip_prefix": "::", "ip_prefix_len": 0}]}])], 400, "match ethertype"),
        ([rule(src_addresses=[{"subnet": {"ip_prefix": "10.0.0.0"}}])], 400, "Subnet type needs its ip_prefix_len"),
        ([rule(src_addresses=[{"subnet": {}}])], 400, "Rule subnet needs ip_prefix and ip_prefix_len: {}"),
        ([rule(src_addresses=[{"subnet": {"ip_prefix": "ten", "ip_prefix_len": 8}}])], 400, "'ten/8' is invalid"),
        ([rule(dst_ports=[{"start_port": -1, "end_port": -1}])], 400, "Rule with invalid ports : -1--1"),
        ([rule(dst_ports=[{"start_port": 0, "end_port": 70000}])], 400, "between -1 and 65535"),
        ([rule(ethertype="IPX")], 400, "value must be one of"),
        ([rule(direction="<<")], 400, "value must be one of"),
    ],
)  # fmt: skip
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


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"action_list": None}, "Action is required"),
        ({"protocol": "foo"}, "Rule with invalid protocol : foo"),
        ({"src_addresses": []}, "Both source and destination addresses are required"),
        ({"dst_addresses": None}, "Both source and destination addresses are required"),
        ({"src_addresses": [{"security_group": "local"}]}, "policy rule refering to security group is not allowed"),
    ],
)
async def test_bad_policy_rules_are_refused(client: Client, wrong: dict[str, Any], text: str) -> None:
    entries = {"policy_rule": [policy_rule(**wrong)]}
    with pytest.raises(BadRequest) as refusal:
        await client.create("network-policy", NAME, network_policy_entries=entries)
    assert text in refusal.value.text


async def test_equal_policy_rules_are_refused(client: Client) -> None:
    policy = await client.create("network-policy", NAME, network_policy_entries={"policy_rule": [policy_rule()]})
    with pytest.raises(Conflict, match="Rule already exists : None"):
        await client.update(policy, network_policy_entries={"policy_rule": [policy_rule(), policy_rule()]})
