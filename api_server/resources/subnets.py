"""Address arithmetic of a subnet: which addresses it hands out by itself, and which only to who asks for them.

A subnet's addresses fall into three kinds:

    automatic    handed out; those of the allocation pools, if there are any, else all hosts
    on request   given to who asks for just this one: the gateway, and hosts outside of the allocation pools
    reserved     never given: the network and broadcast address and the DNS server's

The first two are pools of numbers in the store (docs/design/pools.md), disjoint by construction. Values only, no store.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import pairwise
from typing import Any

from api_server.errors import Conflict

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Range = tuple[int, int]
"""Both ends belong to it."""

SMALLEST = 4
"""A subnet of fewer addresses (/31, /32) has no network, broadcast, gateway or DNS address: all of it are hosts (RFC
3021)."""


def parse(text: object) -> Address | None:
    """The address, or None if it is none."""
    try:
        return ip_address(text) if isinstance(text, str) else None
    except ValueError:
        return None


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same numbers in the fewest ranges, ascending."""
    result: list[Range] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result


def without(ranges: Iterable[Range], holes: Iterable[Range]) -> list[Range]:
    """The numbers of `ranges` that are in none of `holes`."""
    result = merged(ranges)
    for start, end in merged(holes):
        cut: list[Range] = []
        for first, last in result:
            cut += [(a, b) for a, b in ((first, min(last, start - 1)), (max(first, end + 1), last)) if a <= b]
        result = cut
    return result


@dataclass(frozen=True, slots=True)
class Subnet:
    """gateway, dns: None if the subnet has none; dns can lie outside. pools: inclusive, as the client gave them.
    from_start: hand out the lowest free address, not the highest (Contrail's `addr_from_start`)."""

    network: Network
    gateway: Address | None = None
    dns: Address | None = None
    pools: Sequence[Range] = field(default=())
    from_start: bool = False

    @property
    def version(self) -> int:
        return self.network.version

    @property
    def hosts(self) -> Range:
        first, last = int(self.network.network_address), int(self.network.broadcast_address)
        return (first, last) if self.network.num_addresses < SMALLEST else (first + 1, last - 1)

    @property
    def automatic(self) -> list[Range]:
        never = [(int(address), int(address)) for address in (self.gateway, self.dns) if address is not None]
        outside = without([(0, 2**128)], [self.hosts])
        return without(self.pools or [self.hosts], [*never, *outside])

    @property
    def on_request(self) -> list[Range]:
        never = [(int(self.dns), int(self.dns))] if self.dns is not None else []
        return without([self.hosts], [*never, *self.automatic])

    def address(self, number: int) -> Address:
        return IPv4Address(number) if self.version == 4 else IPv6Address(number)


def defaults(network: Network, *, from_start: bool) -> tuple[Address | None, Address | None]:
    """(gateway, DNS server) where the client names none: the last two hosts, or the first two. None if there's no
    room."""
    if network.num_addresses < SMALLEST:
        return None, None
    return (network[1], network[2]) if from_start else (network[-2], network[-3])


def network_of(entry: dict[str, Any]) -> Network:
    """Of an IpamSubnetType; host bits are ignored. Conflict if it is none (the status is Contrail's, contract 5.3)."""
    subnet = entry.get("subnet") or {}
    text = f"{subnet.get('ip_prefix')}/{subnet.get('ip_prefix_len')}"
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise Conflict(f"Invalid subnet: {text}") from None


def read(entry: dict[str, Any]) -> Subnet:
    """A stored IpamSubnetType, i.e. one that `fill` has made whole."""
    network = network_of(entry)

    def real(text: object) -> Address | None:
        address = parse(text)
        return None if address is None or address.is_unspecified or address.version != network.version else address

    pools = [
        (int(ip_address(pool["start"])), int(ip_address(pool["end"]))) for pool in entry.get("allocation_pools") or ()
    ]
    return Subnet(network, real(entry.get("default_gateway")), real(entry.get("dns_server_address")), pools,
                  bool(entry.get("addr_from_start")))  # fmt: skip


def fill(entry: dict[str, Any]) -> dict[str, Any]:
    """An IpamSubnetType with what the server fills in: prefix without host bits, gateway and DNS server.

    `0.0.0.0` (`::`) as gateway or DNS server means none and stays. Raises Conflict, in Contrail's words: no subnet,
    or a gateway or allocation pool outside of it.
    """
    network = network_of(entry)
    gateway, dns = defaults(network, from_start=bool(entry.get("addr_from_start")))
    none = "0.0.0.0" if network.version == 4 else "::"  # noqa: S104 (the wire's word for no gateway)
    asked = entry.get("default_gateway")
    if asked:
        address = parse(asked)
        if address is None or (not address.is_unspecified and address not in network):
            raise Conflict(f"gateway Ip {asked} out of cidr: {network}")
        if address == dns:
            dns = gateway  # the two change places: the next free one from that end
        gateway = address
    for pool in entry.get("allocation_pools") or ():
        ends = parse(pool.get("start")), parse(pool.get("end"))
        if ends[0] is None or ends[1] is None or any(end not in network for end in ends) or int(ends[0]) > int(ends[1]):
            raise Conflict(f"allocation pool start:{pool.get('start')}, end:{pool.get('end')} out of cidr:{network}")
    server = entry.get("dns_server_address")
    if server and parse(server) is None:
        raise Conflict(f"Invalid dns_server_address {server} of subnet {network}")
    return entry | {
        "subnet": (entry.get("subnet") or {})
        | {"ip_prefix": str(network.network_address), "ip_prefix_len": network.prefixlen},
        "default_gateway": str(gateway) if gateway is not None else none,
        "dns_server_address": server or (str(dns) if dns is not None else none),
    }


def overlapping(networks: Sequence[Network]) -> tuple[Network, Network] | None:
    """Two that share an address, if any."""
    ordered = sorted(networks, key=lambda network: (network.version, int(network.network_address), network.prefixlen))
    for one, other in pairwise(ordered):
        if one.version == other.version and int(other.network_address) <= int(one.broadcast_address):
            return one, other
    return None
