"""Subnets as values: what is handed out, what only on request, what never."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_server.errors import ApiError
from api_server.resources.subnets import Address, Subnet, defaults, fill, merged, overlapping, read, without

OWNER = "d:p:vn"

numbers = st.integers(0, 40)
ranges = st.lists(st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair))), max_size=6)


def members(some: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in some for number in range(first, last + 1)}


def entry(prefix: str, **more: object) -> dict[str, object]:
    address, length = prefix.split("/")
    return {"subnet": {"ip_prefix": address, "ip_prefix_len": int(length)}} | more


@given(ranges)
def test_merged_ranges_hold_the_same_numbers_apart_and_in_order(some: list[tuple[int, int]]) -> None:
    result = merged(some)
    assert members(result) == members(some)
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(result))


@given(ranges, ranges)
def test_without_is_set_difference(some: list[tuple[int, int]], holes: list[tuple[int, int]]) -> None:
    assert members(without(some, holes)) == members(some) - members(holes)


@st.composite
def subnets(draw: st.DrawFn) -> Subnet:
    """Also such as `fill` refuses: pools that overlap, gateways that are the network address."""
    network = draw(st.sampled_from([ip_network(f"10.1.0.0/{length}") for length in range(24, 33)]
                                   + [ip_network(f"fd00::/{length}") for length in range(120, 129)]))  # fmt: skip
    first, size = int(network.network_address), network.num_addresses
    unit = draw(st.sampled_from([unit for unit in (1, 1, 2, 4) if unit <= size]))
    address = st.integers(0, size - 1).map(lambda offset: network[offset])
    block = st.integers(0, size // unit - 1).map(lambda number: first + number * unit)
    pools = st.lists(st.tuples(block, block).map(lambda pair: (min(pair), max(pair) + unit - 1)), max_size=2)
    return Subnet(network, draw(st.none() | address), draw(st.none() | address), draw(pools), draw(pools),
                  draw(st.booleans()), unit)  # fmt: skip


def blocks(subnet: Subnet, *addresses: Address | None) -> set[int]:
    return {subnet.number(address) for address in addresses if address is not None}


def edges(subnet: Subnet) -> set[int]:
    """The blocks of the network and broadcast address, if it has such."""
    network = subnet.network
    return blocks(subnet, network[0], network[-1]) if network.num_addresses >= 4 else set()


@given(subnets())
def test_every_address_is_automatic_for_routers_on_request_or_reserved(subnet: Subnet) -> None:
    every = {subnet.number(address) for address in subnet.network}
    pools, router_pools = (
        {number // subnet.unit for number in members(list(some))} for some in (subnet.pools, subnet.router_pools)
    )
    routers = [members(ranges) for _, ranges in subnet.for_routers]
    automatic, asked = members(subnet.automatic), members(subnet.on_request)
    kept = edges(subnet) | blocks(subnet, subnet.dns)
    assert automatic == (pools if subnet.pools or subnet.router_pools else every) - kept - blocks(
        subnet, subnet.gateway
    )
    assert set().union(*routers) == router_pools - kept - blocks(subnet, subnet.gateway)
    assert not asked & (automatic | edges(subnet) | set().union(*routers))
    assert asked >= every - kept - automatic - set().union(*routers)


@given(subnets())
def test_the_dns_server_is_never_given_unless_it_is_the_gateway(subnet: Subnet) -> None:
    given = members(subnet.automatic) | members(subnet.on_request)
    assert subnet.dns == subnet.gateway or not given & blocks(subnet, subnet.dns)


@given(subnets())
def test_blocks_begin_where_they_say(subnet: Subnet) -> None:
    for number in members(subnet.automatic):
        assert subnet.address(number) in subnet.network
        assert subnet.aligned(subnet.address(number))
        assert subnet.number(subnet.address(number)) == number


@pytest.mark.parametrize(
    ("more", "kept_back"),
    [
        ({}, 3),  # the network, the gateway, the DNS server
        ({"default_gateway": "0.0.0.0"}, 2),
        ({"dns_server_address": "8.8.8.8"}, 2),
        ({"alloc_unit": 4}, 2),  # the blocks of the network, and of all others
        ({"allocation_pools": [{"start": "10.9.0.10", "end": "10.9.0.20"}]}, 0),
        ({"allocation_pools": [{"start": "10.9.0.200", "end": "10.9.0.255"}]}, 3),
    ],
)
def test_reserved_addresses_of_the_pools_are_counted(more: dict[str, object], kept_back: int) -> None:
    assert read(fill(entry("10.9.0.0/24", **more), OWNER)).kept_back == kept_back


@pytest.mark.parametrize(
    ("more", "gateway", "dns"),
    [
        ({}, "10.9.0.254", "10.9.0.253"),
        ({"addr_from_start": True}, "10.9.0.1", "10.9.0.2"),
        ({"default_gateway": "10.9.0.1"}, "10.9.0.1", "10.9.0.253"),
        ({"default_gateway": "10.9.0.253"}, "10.9.0.253", "10.9.0.253"),
        ({"default_gateway": "0.0.0.0"}, "0.0.0.0", "10.9.0.253"),
        ({"default_gateway": None, "dns_server_address": "8.8.8.8"}, "10.9.0.254", "8.8.8.8"),
        ({"default_gateway": "None", "dns_server_address": ""}, "10.9.0.254", "10.9.0.253"),
    ],
)
def test_gateway_and_dns_are_filled_in(more: dict[str, object], gateway: str, dns: str) -> None:
    whole = fill(entry("10.9.0.0/24", **more), OWNER)
    assert (whole["default_gateway"], whole["dns_server_address"]) == (gateway, dns)


def test_the_first_address_handed_out_lies_below_gateway_and_dns() -> None:
    subnet = read(fill(entry("10.9.0.0/24"), OWNER))
    assert subnet.automatic == [(int(IPv4Address("10.9.0.1")), int(IPv4Address("10.9.0.252")))]
    assert subnet.on_request == [(int(IPv4Address("10.9.0.254")),) * 2]


def test_prefix_is_normalised_and_other_members_stay_as_sent() -> None:
    whole = fill(entry("10.1.1.5/24", subnet_name="a", enable_dhcp=None), OWNER)
    assert whole["subnet"] == {"ip_prefix": "10.1.1.0", "ip_prefix_len": 24}
    assert (whole["subnet_name"], whole["enable_dhcp"]) == ("a", None)


def test_a_bare_subnet_has_the_gateway_and_dns_server_it_is_given_only() -> None:
    whole = fill(entry("10.9.0.0/30"), OWNER, bare=True)
    assert (whole["default_gateway"], whole["dns_server_address"]) == ("None", "None")
    assert len(members(read(whole).automatic)) == 2
    assert fill(entry("10.9.0.0/30", default_gateway="10.9.0.1"), OWNER, bare=True)["default_gateway"] == "10.9.0.1"


def test_text_of_addresses_becomes_canonical() -> None:
    whole = fill(entry("FD00:1:0::/64", default_gateway="FD00:1::A", dns_server_address="FD00:1::B"), OWNER)
    assert whole["subnet"]["ip_prefix"] == "fd00:1::"
    assert (whole["default_gateway"], whole["dns_server_address"]) == ("fd00:1::a", "fd00:1::b")


def test_a_subnet_of_one_address_gives_just_that() -> None:
    subnet = read(fill(entry("10.1.1.7/32"), OWNER))
    assert (subnet.gateway, subnet.dns) == (None, None)
    assert members(subnet.automatic) == {int(IPv4Address("10.1.1.7"))}


def test_ipv6() -> None:
    whole = fill(entry("fd00::/64"), OWNER)
    assert (whole["default_gateway"], whole["dns_server_address"]) == (
        "fd00::ffff:ffff:ffff:fffe",
        "fd00::ffff:ffff:ffff:fffd",
    )
    assert read(whole).automatic == [(int(ip_address("fd00::1")), int(ip_address("fd00::ffff:ffff:ffff:fffc")))]


def pool(start: object, end: object) -> dict[str, object]:
    return {"start": start, "end": end}


@pytest.mark.parametrize(
    ("more", "status", "text"),
    [
        ({"default_gateway": "10.8.0.1"}, 409, "gateway Ip 10.8.0.1 out of cidr: 10.9.0.0/24"),
        ({"default_gateway": "10.9.0.255"}, 409, "gateway Ip 10.9.0.255 out of cidr: 10.9.0.0/24"),
        ({"default_gateway": "fd00::1"}, 409, "gateway Ip fd00::1 out of cidr: 10.9.0.0/24"),
        ({"default_gateway": "nobody"}, 409, "Invalid gateway Ip address:nobody"),
        ({"default_gateway": "fe80::1%eth0"}, 409, "Invalid gateway Ip address:fe80::1%eth0"),
        ({"dns_server_address": "nobody"}, 409, "Invalid Dns Server Ip address:nobody"),
        (
            {"allocation_pools": [pool("10.9.0.9", "10.9.1.9")]},
            409,
            "allocation pool start:10.9.0.9, end:10.9.1.9 out of cidr:10.9.0.0/24",
        ),
        (
            {"allocation_pools": [pool("10.9.0.9", "10.9.0.8")]},
            409,
            "Invalid allocation Pool start:10.9.0.9, end:10.9.0.8 in subnet:10.9.0.0/24",
        ),
        (
            {"allocation_pools": [pool("10.9.0.9", None)]},
            409,
            "Invalid allocation Pool start:10.9.0.9, end:None in subnet:10.9.0.0/24",
        ),
        (
            {"allocation_pools": [pool("10.9.0.8", "10.9.0.9"), pool("10.9.0.9", "10.9.0.10")]},
            400,
            "Virtual-Network(d:p:vn) has invalid subnet(10.9.0.0/24:overlapping alloc-pools)",
        ),
        ({"subnet_uuid": "nobody"}, 409, "Invalid subnet-uuid nobody in subnet:10.9.0.0/24"),
        ({"dns_nameservers": ["nobody"]}, 400, "subnet(d:p:vn:10.9.0.0/24) has Invalid DNS Nameserver(nobody)"),
        (
            {"alloc_unit": 3},
            400,
            "Network(d:p:vn:10.9.0.0/24) has invalid alloc_unit(3) in subnet(10.9.0.0/24) reason: Not power of 2",
        ),
        ({"alloc_unit": -4}, 400, "reason: Not power of 2"),
        ({"alloc_unit": 512}, 400, "reason: Pool range smaller than alloc_unit"),
        ({"alloc_unit": 4, "allocation_pools": [pool("10.9.0.9", "10.9.0.12")]}, 400, "not aligned"),
        ({"alloc_unit": 4, "allocation_pools": [pool("10.9.0.8", "10.9.0.12")]}, 400, "Pool range 5 not aligned"),
        ({"subnet": {"ip_prefix": "10.9.0.0", "ip_prefix_len": 33}}, 409, "Invalid subnet: 10.9.0.0/33"),
        ({"subnet": {"ip_prefix": None}}, 409, "Invalid subnet"),
        ({"subnet": None}, 409, "Invalid subnet"),
    ],
)
def test_what_is_no_subnet_is_refused(more: dict[str, object], status: int, text: str) -> None:
    with pytest.raises(ApiError) as refusal:
        fill(entry("10.9.0.0/24") | more, OWNER)
    assert (refusal.value.status, text in refusal.value.text) == (status, True)


networks = st.lists(
    st.integers(0, 15).flatmap(
        lambda n: st.integers(24, 28).map(lambda length: ip_network((0x0A000000 + n * 16, length), strict=False))
    ),
    max_size=6,
)


@given(networks)
def test_overlapping_finds_a_clash_if_there_is_one(some: list[IPv4Network]) -> None:
    clash = any(a.overlaps(b) for i, a in enumerate(some) for b in some[i + 1 :])
    found = overlapping(some)
    assert (found is not None) == clash
    assert found is None or found[0].overlaps(found[1])


def test_families_do_not_overlap() -> None:
    assert overlapping([IPv4Network("0.0.0.0/0"), IPv6Network("::/0")]) is None


def test_default_gateway_and_dns_are_different_hosts() -> None:
    assert defaults(ip_network("10.0.0.0/30"), from_start=False) == (IPv4Address("10.0.0.2"), IPv4Address("10.0.0.1"))
