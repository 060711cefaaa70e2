"""Subnets as values: what is handed out, what only on request, what never."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_server.errors import Conflict
from api_server.resources.subnets import Subnet, defaults, fill, merged, overlapping, read, without

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
    network = draw(st.sampled_from([ip_network(f"10.1.0.0/{length}") for length in range(24, 33)]
                                   + [ip_network(f"fd00::/{length}") for length in range(120, 129)]))  # fmt: skip
    first = int(network.network_address)
    inside = st.integers(first, first + network.num_addresses - 1)
    address = inside.map(lambda number: network[number - first])
    pools = draw(st.lists(st.tuples(inside, inside).map(lambda pair: (min(pair), max(pair))), max_size=3))
    return Subnet(network, draw(st.none() | address), draw(st.none() | address), pools, draw(st.booleans()))


@given(subnets())
def test_every_address_is_automatic_on_request_or_reserved(subnet: Subnet) -> None:
    every = {int(address) for address in subnet.network}
    hosts = members([subnet.hosts])
    never = {int(subnet.dns)} if subnet.dns is not None else set()
    gateway = {int(subnet.gateway)} if subnet.gateway is not None else set()
    pools = (members(list(subnet.pools)) if subnet.pools else every) & hosts
    assert members(subnet.automatic) == pools - never - gateway
    assert members(subnet.on_request) == hosts - never - members(subnet.automatic)


@given(subnets())
def test_the_network_and_broadcast_address_are_never_given(subnet: Subnet) -> None:
    given = members(subnet.automatic) | members(subnet.on_request)
    edges = {int(subnet.network.network_address), int(subnet.network.broadcast_address)}
    assert subnet.network.num_addresses < 4 or not given & edges


@pytest.mark.parametrize(
    ("more", "gateway", "dns"),
    [
        ({}, "10.9.0.254", "10.9.0.253"),
        ({"addr_from_start": True}, "10.9.0.1", "10.9.0.2"),
        ({"default_gateway": "10.9.0.1"}, "10.9.0.1", "10.9.0.253"),
        ({"default_gateway": "10.9.0.253"}, "10.9.0.253", "10.9.0.254"),
        ({"default_gateway": "0.0.0.0"}, "0.0.0.0", "10.9.0.253"),
        ({"default_gateway": None, "dns_server_address": "8.8.8.8"}, "10.9.0.254", "8.8.8.8"),
    ],
)
def test_gateway_and_dns_are_filled_in(more: dict[str, object], gateway: str, dns: str) -> None:
    whole = fill(entry("10.9.0.0/24", **more))
    assert (whole["default_gateway"], whole["dns_server_address"]) == (gateway, dns)


def test_the_first_address_handed_out_lies_below_gateway_and_dns() -> None:
    subnet = read(fill(entry("10.9.0.0/24")))
    assert subnet.automatic == [(int(IPv4Address("10.9.0.1")), int(IPv4Address("10.9.0.252")))]
    assert subnet.on_request == [(int(IPv4Address("10.9.0.254")),) * 2]


def test_prefix_is_normalised_and_other_members_stay_as_sent() -> None:
    whole = fill(entry("10.1.1.5/24", subnet_name="a", enable_dhcp=None))
    assert whole["subnet"] == {"ip_prefix": "10.1.1.0", "ip_prefix_len": 24}
    assert (whole["subnet_name"], whole["enable_dhcp"]) == ("a", None)


def test_a_subnet_of_one_address_gives_just_that() -> None:
    subnet = read(fill(entry("10.1.1.7/32")))
    assert (subnet.gateway, subnet.dns) == (None, None)
    assert members(subnet.automatic) == {int(IPv4Address("10.1.1.7"))}


def test_ipv6() -> None:
    whole = fill(entry("fd00::/64"))
    assert (whole["default_gateway"], whole["dns_server_address"]) == (
        "fd00::ffff:ffff:ffff:fffe",
        "fd00::ffff:ffff:ffff:fffd",
    )
    assert read(whole).automatic == [(int(ip_address("fd00::1")), int(ip_address("fd00::ffff:ffff:ffff:fffc")))]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (entry("10.9.0.0/24", default_gateway="10.8.0.1"), "gateway Ip 10.8.0.1 out of cidr: 10.9.0.0/24"),
        (entry("10.9.0.0/24", default_gateway="fd00::1"), "gateway Ip fd00::1 out of cidr: 10.9.0.0/24"),
        (
            entry("10.9.0.0/24", allocation_pools=[{"start": "10.9.0.9", "end": "10.9.1.9"}]),
            "allocation pool start:10.9.0.9",
        ),
        (entry("10.9.0.0/24", allocation_pools=[{"start": "10.9.0.9", "end": "10.9.0.8"}]), "out of cidr:10.9.0.0/24"),
        (entry("10.9.0.0/24", dns_server_address="nobody"), "Invalid dns_server_address nobody"),
        (entry("10.9.0.0/33"), "Invalid subnet: 10.9.0.0/33"),
        ({"subnet": {"ip_prefix": None}}, "Invalid subnet"),
    ],
)
def test_what_is_no_subnet_is_refused(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(Conflict) as refusal:
        fill(wrong)
    assert text in refusal.value.text


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
