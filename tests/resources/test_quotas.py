"""How much a project may hold, and whose word counts (contract 2.10)."""

import asyncio
from typing import Any

import pytest
from resource_client import DOMAIN, IPAM, Client, subnet, to

from api_server.errors import ApiError, Conflict, OverQuota
from api_server.resources.quotas import Quotas
from api_server.store import Store
from api_server.store.objects import Object

PROJECT = (DOMAIN, "p1")


async def limited(client: Client, **quota: int) -> Object:
    """The project, with these limits."""
    return await client.update(await client.find("project", PROJECT), quota=quota)


async def refused(client: Client, type: str, name: tuple[str, ...], member: str, limit: int, **fields: Any) -> None:
    with pytest.raises(OverQuota) as refusal:
        await client.create(type, name, **fields)
    assert refusal.value.text == f"quota limit ({limit}) exceeded for resource {member}"


@pytest.mark.parametrize(
    ("type", "fields"),
    [
        ("virtual-network", {}),
        ("network-ipam", {}),
        ("network-policy", {}),
        ("security-group", {}),
        ("loadbalancer", {}),
        ("loadbalancer-listener", {}),
        ("loadbalancer-pool", {}),
        ("loadbalancer-healthmonitor", {"loadbalancer_healthmonitor_properties": {"monitor_type": "PING"}}),
        ("route-table", {}),
        ("firewall-policy", {"parent_type": "project"}),
    ],
)
async def test_children_of_a_project_are_limited(client: Client, type: str, fields: dict[str, Any]) -> None:
    member = type.replace("-", "_")
    await limited(client, **{member: 2})
    made = [await client.create(type, (*PROJECT, f"o{number}"), **fields) for number in range(2)]
    await refused(client, type, (*PROJECT, "one more"), member, 2, **fields)
    await client.create(type, (DOMAIN, "default-project", "elsewhere"), **fields)
    await client.delete(made[0])
    await client.create(type, (*PROJECT, "one more"), **fields)


async def test_nothing_may_be_made_where_the_limit_is_none(client: Client) -> None:
    await limited(client, virtual_network=0)
    await refused(client, "virtual-network", (*PROJECT, "vn"), "virtual_network", 0)


@pytest.mark.parametrize("limit", [None, -1, -7])
async def test_no_limit_limits_nothing(client: Client, limit: int | None) -> None:
    await limited(client, virtual_network=limit, defaults=0)  # type: ignore[arg-type]
    await client.create("virtual-network", (*PROJECT, "vn"))


async def test_the_servers_limits_hold_where_the_project_says_nothing(client: Client) -> None:
    client.operations.quotas = Quotas({"virtual_network": 1, "defaults": 0})
    await client.create("virtual-network", (*PROJECT, "vn"))
    await refused(client, "virtual-network", (*PROJECT, "two"), "virtual_network", 1)
    await refused(client, "security-group", (*PROJECT, "sg"), "security_group", 0)
    await limited(client, virtual_network=2, security_group=-1)
    await client.create("virtual-network", (*PROJECT, "two"))
    await client.create("security-group", (*PROJECT, "sg"))


async def test_a_limit_below_what_is_there_takes_nothing_away(client: Client) -> None:
    made = [await client.create("virtual-network", (*PROJECT, f"vn{number}")) for number in range(3)]
    await limited(client, virtual_network=1)
    await client.update(made[0], display_name="still mine")
    for each in made[:2]:
        await refused(client, "virtual-network", (*PROJECT, "more"), "virtual_network", 1)
        await client.delete(each)
    await client.delete(made[2])
    await client.create("virtual-network", (*PROJECT, "more"))


async def test_hidden_objects_are_neither_counted_nor_refused(client: Client) -> None:
    await limited(client, virtual_network=1)
    hidden = {"id_perms": {"enable": True, "user_visible": False}}
    await client.create("virtual-network", (*PROJECT, "hidden"), **hidden)
    await client.create(
        "virtual-network", (*PROJECT, "seen"), display_name='"user_visible":false'
    )  # a text that says so hides nothing
    await refused(client, "virtual-network", (*PROJECT, "one more"), "virtual_network", 1)
    await client.create("virtual-network", (*PROJECT, "hidden too"), **hidden)


async def test_members_count_for_the_project_of_their_pool(client: Client) -> None:
    await limited(client, loadbalancer_member=2)
    for pool in ("a", "b"):
        await client.create("loadbalancer-pool", (*PROJECT, pool))
        await client.create("loadbalancer-member", (*PROJECT, pool, "m1"))
    for pool in ("a", "b"):
        await refused(client, "loadbalancer-member", (*PROJECT, pool, "m2"), "loadbalancer_member", 2)


async def test_floating_ip_pools_count_for_the_project_of_their_network(client: Client) -> None:
    await limited(client, floating_ip_pool=1)
    for name in ("a", "b"):
        await client.create("virtual-network", (*PROJECT, name))
    await client.create("floating-ip-pool", (*PROJECT, "a", "pool"))
    await refused(client, "floating-ip-pool", (*PROJECT, "b", "pool"), "floating_ip_pool", 1)


async def test_floating_ips_count_for_the_project_they_refer_to(client: Client) -> None:
    network = await client.network((*PROJECT, "vn"), "10.9.0.0/24")
    pool = await client.create("floating-ip-pool", (*network.fq_name, "pool"))
    other = await client.create("project", (DOMAIN, "p2"))
    fields = {"parent_type": "floating-ip-pool"}
    await limited(client, floating_ip=1)
    await client.create("floating-ip", (*pool.fq_name, "a"), **fields)
    await refused(client, "floating-ip", (*pool.fq_name, "b"), "floating_ip", 1, **fields)
    await client.create("floating-ip", (*pool.fq_name, "b"), project_refs=[to(other)], **fields)


async def test_interfaces_of_a_machine_count_for_no_project(client: Client) -> None:
    await limited(client, virtual_machine_interface=1)
    network = await client.create("virtual-network", (*PROJECT, "vn"))
    await client.interface((*PROJECT, "a"), network)
    with pytest.raises(OverQuota):
        await client.interface((*PROJECT, "b"), network)
    machine = await client.create("virtual-machine", ["vm"])
    fields = {"parent_type": "virtual-machine", "virtual_network_refs": [to(network)]}
    await client.create("virtual-machine-interface", (*machine.fq_name, "b"), **fields)


async def test_a_host_based_service_wants_leave(client: Client) -> None:
    client.operations.quotas = Quotas({"host_based_service": 7})
    await refused(client, "host-based-service", (*PROJECT, "hbs"), "host_based_service", 0)
    await limited(client, host_based_service=1)
    await client.create("host-based-service", (*PROJECT, "hbs"))
    await refused(client, "host-based-service", (*PROJECT, "hbs2"), "host_based_service", 1)


# --- what is counted inside objects


def rules(count: int) -> dict[str, Any]:
    rule = {
        "protocol": "tcp", "direction": "<>", "ethertype": "IPv4",
        "src_addresses": [{"security_group": "local"}], "src_ports": [{"start_port": 0, "end_port": 65535}],
        "dst_addresses": [{"subnet": {"ip_prefix": "0.0.0.0", "ip_prefix_len": 0}}],
    }  # fmt: skip
    ports = [{"dst_ports": [{"start_port": number, "end_port": number}]} for number in range(count)]
    return {"security_group_entries": {"policy_rule": [rule | one for one in ports]}}


async def test_rules_are_counted_over_all_security_groups(client: Client) -> None:
    await limited(client, security_group_rule=3)
    first = await client.create("security-group", (*PROJECT, "a"), **rules(2))
    await refused(client, "security-group", (*PROJECT, "b"), "security_group_rule", 3, **rules(2))
    await client.create("security-group", (*PROJECT, "b"), **rules(1))
    with pytest.raises(OverQuota):
        await client.update(first, **rules(3))
    first = await client.update(first, **rules(1))
    await limited(client, security_group_rule=0)
    await client.update(first, display_name="what is there stays")


async def test_subnets_are_counted_over_all_networks(client: Client) -> None:
    await limited(client, subnet=2)
    network = await client.network((*PROJECT, "a"), "10.1.0.0/24")
    with pytest.raises(OverQuota):
        await client.network((*PROJECT, "b"), "10.2.0.0/24", "10.3.0.0/24")
    await client.network((*PROJECT, "b"), "10.2.0.0/24")
    more = [{"to": list(IPAM), "attr": {"ipam_subnets": [subnet("10.1.0.0/24"), subnet("10.4.0.0/24")]}}]
    with pytest.raises(OverQuota) as refusal:
        await client.update(network, network_ipam_refs=more)
    assert refusal.value.text == "quota limit (2) exceeded for resource subnet"


async def test_firewall_groups_are_sets_of_policies_that_bear_their_own_tag(client: Client) -> None:
    await limited(client, firewall_group=1)
    for number, name in enumerate("ab"):
        policies = await client.create("application-policy-set", (*PROJECT, name), parent_type="project")
        tag = await client.create("tag", (*PROJECT, f"neutron_fwaas={policies.uuid}"), parent_type="project",
                                  tag_type_name="neutron_fwaas", tag_value=policies.uuid)  # fmt: skip
        if number == 0:
            await client.ref_update(policies, "ADD", tag)
        else:
            with pytest.raises(OverQuota) as refusal:
                await client.ref_update(policies, "ADD", tag)
            assert refusal.value.text == "quota limit (1) exceeded for resource firewall_group"


# --- at once


async def racing(stores: list[Store], name: tuple[str, ...], creates: int) -> list[Object | BaseException]:
    clients = [Client(store) for store in stores]
    return await asyncio.gather(
        *(
            clients[number % len(clients)].create("virtual-network", (*name, f"vn{number}"))
            for number in range(creates)
        ),
        return_exceptions=True,
    )


def check(answers: list[Object | BaseException], limit: int) -> None:
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert all(isinstance(answer, OverQuota) for answer in refused), refused
    assert len(answers) - len(refused) == limit


async def test_creates_at_once_do_not_exceed_a_quota(client: Client) -> None:
    await limited(client, virtual_network=3)
    check(await racing([client.store], PROJECT, 12), 3)


async def test_two_servers_at_once_do_not_exceed_a_quota(postgres_url: str) -> None:
    stores = [await Store.open(postgres_url) for _ in range(2)]
    try:
        client = Client(stores[0])
        await client.start("p1")
        await limited(client, virtual_network=3)
        check(await racing(stores, PROJECT, 12), 3)
    finally:
        for store in stores:
            await store.close()


async def test_what_is_refused_leaves_nothing(client: Client) -> None:
    await limited(client, virtual_network=0)
    with pytest.raises(OverQuota):
        await client.network((*PROJECT, "vn"), "10.9.0.0/24")
    await limited(client)
    network = await client.network((*PROJECT, "vn"), "10.9.0.0/24")
    assert network.properties["virtual_network_network_id"] == 5


async def test_a_duplicate_is_a_duplicate_even_over_quota(client: Client) -> None:
    await limited(client, virtual_network=1)
    await client.create("virtual-network", (*PROJECT, "vn"))
    with pytest.raises(Conflict):
        await client.create("virtual-network", (*PROJECT, "vn"))
    with pytest.raises(ApiError) as refusal:
        await client.create("virtual-network", (DOMAIN, "nobody", "vn"))
    assert refusal.value.status == 404
