"""instance-ip: which address it gets, and when none."""

import asyncio
from typing import Any

import pytest
from resource_client import DOMAIN, IPAM, Client, subnet, to

from api_server.errors import BadRequest, Conflict
from api_server.store.objects import Object

VN = (DOMAIN, "p1", "vn")
EXHAUSTED = f"Virtual-Network({list(VN)}) has exhausted subnet([])"


def address(object: Object) -> str:
    return str(object.properties["instance_ip_address"])


async def network_of(client: Client, *entries: dict[str, Any], **fields: Any) -> Object:
    attr = {"ipam_subnets": list(entries)}
    return await client.create("virtual-network", VN, network_ipam_refs=[{"to": list(IPAM), "attr": attr}], **fields)


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
    for nothing in (None, ""):
        assert address(await client.update(held, instance_ip_address=nothing)) == "10.9.0.252"
    assert address(await client.update(held, instance_ip_address="10.9.0.252", display_name="x")) == "10.9.0.252"


async def test_an_address_written_otherwise_is_the_same_address(client: Client) -> None:
    network = await client.network(VN, "fd00::/64")
    held = await client.instance_ip("a", network, instance_ip_address="fd00::a")
    assert address(await client.update(held, instance_ip_address="FD00:0:0::000A")) == "fd00::a"


async def test_networks_of_the_underlay_store_what_is_given(client: Client) -> None:
    fabric = await client.find("virtual-network", (DOMAIN, "default-project", "ip-fabric"))
    for name in "ab":
        held = await client.instance_ip(name, fabric, instance_ip_address="192.0.2.1")
        assert address(held) == "192.0.2.1"
        assert address(await client.update(held, instance_ip_address="192.0.2.2")) == "192.0.2.2"


async def test_an_instance_ip_needs_a_network(client: Client) -> None:
    with pytest.raises(BadRequest):
        await client.create("instance-ip", ["a"])


async def test_concurrent_requests_get_different_addresses(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    held = await asyncio.gather(*(client.instance_ip(f"i{number}", network) for number in range(40)))
    assert len({address(each) for each in held}) == 40


async def test_an_address_of_a_flat_ipam_is_given_once_for_all_its_networks(client: Client) -> None:
    ipam = await client.flat_ipam("pods", "10.32.0.0/12")
    networks = [await client.flat_network(name, ipam) for name in ("one", "two")]
    taken = [address(await client.instance_ip(f"i{n}", networks[n % 2])) for n in range(4)]
    assert taken == ["10.47.255.252", "10.47.255.251", "10.47.255.250", "10.47.255.249"]
    with pytest.raises(Conflict):
        await client.instance_ip("again", networks[1], instance_ip_address=taken[0])


async def test_a_flat_subnet_is_named_by_the_networks_reference(client: Client) -> None:
    network = await client.flat_network("pods", await client.flat_ipam("pods", "10.32.0.0/12"))
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
    ipam = await client.flat_ipam("pods", "10.32.0.0/12")
    network = await client.flat_network("vn", ipam, "10.9.0.0/24", address_allocation_mode=mode)
    assert address(await client.instance_ip("a", network)) == expected


async def test_the_allocation_mode_is_for_who_leaves_the_choice(client: Client) -> None:
    """Who names an address or a subnet may have it of either kind; what is exhausted is named as Contrail does."""
    ipam = await client.flat_ipam("pods", "10.32.0.0/29")
    network = await client.flat_network("vn", ipam, "10.9.0.0/30", address_allocation_mode="user-defined-subnet-only")
    with pytest.raises(BadRequest) as refusal:
        await client.instance_ip("a", network)
    assert refusal.value.text == f"Virtual-Network({list(VN)}) has exhausted subnet(['10.9.0.0/30'])"
    assert address(await client.instance_ip("a", network, instance_ip_address="10.32.0.3")) == "10.32.0.3"
    (pods,) = [link for link in network.references["network_ipam_refs"] if link.uuid == ipam.uuid]
    link = pods.attr["ipam_subnets"][0]["subnet_uuid"]
    assert address(await client.instance_ip("b", network, subnet_uuid=link)) == "10.32.0.4"
    await client.update(network, network_ipam_refs=[to(ipam, {"ipam_subnets": []})])
    with pytest.raises(BadRequest) as refusal:
        await client.instance_ip("c", network)
    assert refusal.value.text == f"Virtual-Network({list(VN)}) has no defined subnets"


async def test_a_preferred_kind_of_subnet_is_followed_by_the_other(client: Client) -> None:
    ipam = await client.flat_ipam("pods", "10.32.0.0/29")
    network = await client.flat_network("vn", ipam, "10.9.0.0/29", address_allocation_mode="flat-subnet-preferred")
    taken = [address(await client.instance_ip(f"i{number}", network)) for number in range(5)]
    assert taken == ["10.32.0.4", "10.32.0.3", "10.32.0.2", "10.32.0.1", "10.9.0.4"]


async def test_an_instance_ip_of_an_ipam_alone(client: Client) -> None:
    ipam = await client.flat_ipam("pods", "10.32.0.0/12", "fd14::/120")
    held = await client.create("instance-ip", ["a"], network_ipam_refs=[to(ipam)])
    six = await client.create("instance-ip", ["b"], network_ipam_refs=[to(ipam)], instance_ip_family="v6")
    assert (address(held), address(six)) == ("10.47.255.252", "fd14::fc")
    with pytest.raises(BadRequest) as refusal:
        await client.create("instance-ip", ["c"], network_ipam_refs=[to(ipam)], instance_ip_address="10.32.0.9")
    assert refusal.value.text == "allocation for requested IP from a network_ipam is not supported"
    with pytest.raises(Conflict):
        await client.update(ipam, ipam_subnets={"subnets": []})


async def test_blocks_of_addresses(client: Client) -> None:
    network = await network_of(client, subnet("11.1.1.0/24", alloc_unit=4), subnet("fd14::/120", alloc_unit=4))
    taken = [address(await client.instance_ip(f"{family}{n}", network, instance_ip_family=family))
             for family in ("v4", "v6") for n in range(2)]  # fmt: skip
    assert taken == ["11.1.1.248", "11.1.1.244", "fd14::f8", "fd14::f4"]
    with pytest.raises(BadRequest) as refusal:
        await client.instance_ip("a", network, instance_ip_address="11.1.1.9")
    assert refusal.value.text == (
        "Virtual-Network(default-domain:p1:vn:11.1.1.0/24) has invalid alloc_unit(4) in subnet(11.1.1.0/24) "
        "reason: Requested IP address 11.1.1.9 not aligned"
    )
    assert address(await client.instance_ip("b", network, instance_ip_address="11.1.1.8")) == "11.1.1.8"


async def test_one_address_is_shared_by_several_interfaces(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    ports = [await client.interface((DOMAIN, "p1", name), network) for name in ("one", "two")]
    held = await client.instance_ip("a", network, *ports, instance_ip_mode="active-active")
    assert sorted(held.targets("virtual-machine-interface")) == sorted(port.uuid for port in ports)
    with pytest.raises(Conflict):
        await client.instance_ip("b", network, instance_ip_address=address(held))


async def test_a_gateways_instance_ip_is_not_moved_to_a_machine(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    router_port = await client.interface((DOMAIN, "p1", "router"), network)
    machine = await client.create("virtual-machine", ["vm"])
    port = await client.interface((DOMAIN, "p1", "i"), network, virtual_machine_refs=[to(machine)])
    held = await client.instance_ip("a", network, router_port, instance_ip_address="10.9.0.254")
    with pytest.raises(BadRequest) as refusal:
        await client.update(held, virtual_machine_interface_refs=[to(port)])
    assert refusal.value.text == "Gateway IP cannot be used by VM port"


# --- subnets of one subscriber each


async def subscriber(client: Client, name: str, network: Object, tag: str | None) -> Object:
    return await client.instance_ip(name, network, instance_ip_subscriber_tag=tag)


async def test_a_subnetting_ipam_gives_each_subscriber_a_subnet(client: Client) -> None:
    ipam = await client.create(
        "network-ipam", (DOMAIN, "p1", "links"), ipam_subnet_method="flat-subnet", ipam_subnetting=True,
        ipam_subnets={"subnets": [subnet("11.1.1.0/30"), subnet("12.1.1.0/30")]},
    )  # fmt: skip
    network = await client.flat_network("links", ipam, address_allocation_mode="flat-subnet-only")

    async def tags() -> list[str | None]:
        found = await client.get(ipam)
        assert found is not None
        return [entry.get("subscriber_tag") for entry in found.properties["ipam_subnets"]["subnets"]]

    held = [await subscriber(client, f"i{n}", network, tag) for n, tag in enumerate(["x", "y", "x", "y"])]
    assert [address(each) for each in held] == ["11.1.1.2", "12.1.1.2", "11.1.1.1", "12.1.1.1"]
    assert held[0].properties["instance_ip_subnet"] == {"ip_prefix": "11.1.1.0", "ip_prefix_len": 30}
    assert await tags() == ["x", "y"]
    for tag in ("x", "z", None):
        with pytest.raises(BadRequest):
            await subscriber(client, "more", network, tag)
    await client.delete(held[0])
    assert await tags() == ["x", "y"]
    await client.delete(held[2])
    assert await tags() == [None, "y"]
    moved = await subscriber(client, "more", network, "z")
    assert address(moved) == "11.1.1.2"
    elsewhere = await client.network(VN, "11.1.1.0/24")
    await client.update(moved, virtual_network_refs=[to(elsewhere)])
    assert await tags() == [None, "y"]


async def test_a_tag_means_nothing_where_subnets_are_shared(client: Client) -> None:
    ipam = await client.create(
        "network-ipam", (DOMAIN, "p1", "pods"), ipam_subnet_method="flat-subnet",
        ipam_subnets={"subnets": [subnet("10.32.0.0/24", subscriber_tag="x")]},
    )  # fmt: skip
    network = await client.flat_network("pods", ipam)
    assert address(await client.instance_ip("a", network)) == "10.32.0.252"
    with pytest.raises(BadRequest):
        await subscriber(client, "b", network, "x")


# --- pools of virtual-routers


async def router(client: Client, name: str, ipam: Object, *pools: tuple[str, str]) -> Object:
    attr = {"allocation_pools": [{"start": start, "end": end} for start, end in pools], "subnet": []}
    return await client.create(
        "virtual-router", ("default-global-system-config", name), network_ipam_refs=[to(ipam, attr)]
    )


async def pooled(client: Client, **fields: Any) -> Object:
    """A flat ipam with pools for virtual-routers and one for networks."""

    def pool(start: str, end: str, *, router: bool = True) -> dict[str, Any]:
        return {"start": start, "end": end, "vrouter_specific_pool": router}

    high = [pool("13.1.1.8", "13.1.1.9"), pool("13.1.1.16", "13.1.1.17", router=False), pool("13.1.1.24", "13.1.1.25")]
    entries = [subnet("13.1.1.0/24", allocation_pools=high),
               subnet("11.1.1.0/24", allocation_pools=[pool("11.1.1.16", "11.1.1.18")])]  # fmt: skip
    return await client.create("network-ipam", (DOMAIN, "p1", "pods"), ipam_subnet_method="flat-subnet",
                               ipam_subnets={"subnets": entries}, **fields)  # fmt: skip


async def test_a_virtual_router_allocates_from_its_own_pools(client: Client) -> None:
    ipam = await pooled(client)
    one = await router(client, "one", ipam, ("11.1.1.16", "11.1.1.18"), ("13.1.1.8", "13.1.1.9"))
    two = await router(client, "two", ipam, ("13.1.1.24", "13.1.1.25"))
    network = await client.flat_network("pods", ipam, address_allocation_mode="flat-subnet-only")

    async def of(name: str, router: Object) -> str:
        return address(await client.create("instance-ip", [name], virtual_router_refs=[to(router)]))

    assert [await of(f"a{n}", one) for n in range(3)] == ["13.1.1.9", "13.1.1.8", "11.1.1.18"]
    assert await of("b", two) == "13.1.1.25"
    taken = [address(await client.instance_ip(f"c{n}", network)) for n in range(2)]
    assert taken == ["13.1.1.17", "13.1.1.16"]
    with pytest.raises(BadRequest):
        await client.instance_ip("c", network)
    with pytest.raises(Conflict):
        await client.instance_ip("c", network, instance_ip_address="13.1.1.9")
    await of("d", two)
    with pytest.raises(BadRequest) as refusal:
        await of("e", two)
    assert refusal.value.text == (
        "Virtual-Router(['default-global-system-config', 'two']) has exhausted its allocation pools"
    )


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"network": True}, "router_refs and network_refs are not allowed"),
        ({"ipam": True}, "virtual_router_refs and ipam_refs are not allowed"),
        ({"second": True}, "Instance IP cannot refer to multiple vrouters"),
        ({"subnet_uuid": "some"}, "subnet uuid based allocation not supported with vrouter"),
        (
            {"instance_ip_address": "13.1.1.8"},
            "allocation for requested IP from a network_ipam is not supported",
        ),
    ],
)
async def test_what_does_not_go_with_a_virtual_router(client: Client, fields: dict[str, Any], text: str) -> None:
    ipam = await pooled(client)
    routers = [await router(client, "one", ipam, ("13.1.1.8", "13.1.1.9"))]
    references: dict[str, Any] = {}
    if fields.pop("second", False):
        routers.append(await router(client, "two", ipam, ("13.1.1.24", "13.1.1.25")))
    if fields.pop("network", False):
        references["virtual_network_refs"] = [to(await client.network(VN, "10.9.0.0/24"))]
    if fields.pop("ipam", False):
        references["network_ipam_refs"] = [to(ipam)]
    with pytest.raises(BadRequest) as refusal:
        await client.create(
            "instance-ip", ["a"], virtual_router_refs=[to(each) for each in routers], **references, **fields
        )
    assert refusal.value.text == text


async def test_moved_to_another_network_its_address_is_taken_there(client: Client) -> None:
    one = await client.network(VN, "10.9.0.0/24")
    two = await client.network((DOMAIN, "p1", "two"), "10.9.0.0/24")
    held = await client.instance_ip("a", one)
    await client.update(held, virtual_network_refs=[to(two)])
    assert address(await client.instance_ip("b", one)) == "10.9.0.252"
    assert address(await client.instance_ip("c", two)) == "10.9.0.251"


async def test_without_a_network_its_address_is_anybodys(client: Client) -> None:
    network = await client.network(VN, "10.9.0.0/24")
    held = await client.instance_ip("a", network)
    left = await client.update(held, virtual_network_refs=[])
    assert address(left) == "10.9.0.252"
    other = await client.instance_ip("b", network)
    assert address(other) == "10.9.0.252"
    with pytest.raises(Conflict):
        await client.update(left, virtual_network_refs=[to(network)])
    await client.delete(other)
    assert address(await client.update(left, virtual_network_refs=[to(network)])) == "10.9.0.252"
