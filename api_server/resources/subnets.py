"""Address arithmetic of a subnet: which addresses it hands out by itself, and which only to who asks for them.

A subnet's addresses fall into four kinds:

    automatic    handed out; those of the allocation pools, if there are any, else all hosts
    for routers  handed out to the virtual-router that an allocation pool is set aside for (`vrouter_specific_pool`)
    on request   given to who asks for just this one: the gateway, and hosts outside of the allocation pools
    reserved     never given: the network and broadcast address and the DNS server's

The first three are pools of numbers in the store (docs/design/pools.md), disjoint by construction. A subnet with an
`alloc_unit` hands out blocks of so many addresses, each named by its first; a number is that of a block. Values only,
no store.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import pairwise
from typing import Any
from uuid import UUID

from api_server.errors import BadRequest, Conflict

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Range = tuple[int, int]
"""Both ends belong to it."""

SMALLEST = 4
"""A subnet of fewer addresses (/31, /32) has no network, broadcast, gateway or DNS address: all of it are hosts (RFC
3021)."""


def parse(text: object) -> Address | None:
    """The address, or None if it is none; one with a zone (`fe80::1%eth0`) means something on one host only."""
    try:
        return ip_address(text) if isinstance(text, str) and "%" not in text else None
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
    """gateway, dns: None if the subnet has none; dns can lie outside. pools, router_pools: addresses, inclusive, as the
    client gave them; the second are set aside for virtual-routers. from_start: hand out the lowest free address, not
    the highest (Contrail's `addr_from_start`). unit: addresses in a block, a power of two."""

    network: Network
    gateway: Address | None = None
    dns: Address | None = None
    pools: Sequence[Range] = field(default=())
    router_pools: Sequence[Range] = field(default=())
    from_start: bool = False
    unit: int = 1

    @property
    def version(self) -> int:
        return self.network.version

    @property
    def automatic(self) -> list[Range]:
        pools = self._blocks(self.pools) if self.pools or self.router_pools else [self._all]
        return without(pools, self._reserved(self.gateway))

    @property
    def for_routers(self) -> list[tuple[Range, list[Range]]]:
        """Each pool set aside, as given, and what of it is handed out."""
        reserved = self._reserved(self.gateway)
        return [(pool, without(self._blocks([pool]), reserved)) for pool in self.router_pools]

    @property
    def on_request(self) -> list[Range]:
        routers = [blocks for _, some in self.for_routers for blocks in some]
        return without([self._all], [*self._reserved(), *self.automatic, *routers])

    @property
    def kept_back(self) -> int:
        """How many of the allocation pools' blocks are reserved or the gateway's. Without pools the broadcast address
        is not one of them: so Contrail counts (contract 4.13)."""
        first, last = self._ends
        pools = self._blocks([*self.pools, *self.router_pools]) or self._blocks([(first, max(first, last - 1))])
        reserved = {number for number, _ in self._reserved(self.gateway)}
        return sum(any(start <= number <= end for start, end in pools) for number in reserved)

    def number(self, address: Address) -> int:
        return int(address) // self.unit

    def address(self, number: int) -> Address:
        """The first of the block."""
        return IPv4Address(number * self.unit) if self.version == 4 else IPv6Address(number * self.unit)

    def aligned(self, address: Address) -> bool:
        """Whether a block begins with it."""
        return int(address) % self.unit == 0

    @property
    def _ends(self) -> Range:
        return int(self.network.network_address), int(self.network.broadcast_address)

    @property
    def _all(self) -> Range:
        first, last = self._ends
        return first // self.unit, last // self.unit

    def _blocks(self, pools: Iterable[Range]) -> list[Range]:
        return [(first // self.unit, last // self.unit) for first, last in pools]

    def _reserved(self, *more: Address | None) -> list[Range]:
        """Blocks with a network, broadcast or DNS address in them, or with one of `more`. A DNS server at the
        gateway's address is reserved as the gateway only."""
        addresses = [] if self.network.num_addresses < SMALLEST else [*self._ends]
        addresses += [
            int(address) for address in (*more, self.dns if self.dns != self.gateway else None) if address is not None
        ]
        return [(address // self.unit, address // self.unit) for address in addresses]


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


def unit_of(entry: dict[str, Any]) -> int:
    return int(entry.get("alloc_unit") or 1)


def pools_of(entry: dict[str, Any], *, for_routers: bool | None = None) -> list[Range]:
    """The allocation pools of a stored IpamSubnetType, in order; for_routers: only those set aside, or only the
    others."""
    return [
        (int(ip_address(pool["start"])), int(ip_address(pool["end"])))
        for pool in entry.get("allocation_pools") or ()
        if for_routers in (None, bool(pool.get("vrouter_specific_pool")))
    ]


def read(entry: dict[str, Any]) -> Subnet:
    """A stored IpamSubnetType, i.e. one that `fill` has made whole."""
    network = network_of(entry)

    def real(text: object) -> Address | None:
        address = parse(text)
        return None if address is None or address.is_unspecified or address.version != network.version else address

    return Subnet(
        network, real(entry.get("default_gateway")), real(entry.get("dns_server_address")),
        pools_of(entry, for_routers=False), pools_of(entry, for_routers=True), bool(entry.get("addr_from_start")),
        unit_of(entry),
    )  # fmt: skip


def fill(entry: dict[str, Any], owner: str, *, bare: bool = False, from_start: bool | None = None) -> dict[str, Any]:
    """An IpamSubnetType with what the server fills in: prefix without host bits, gateway and DNS server.

    owner: fq_name of the network or ipam, joined by colons, for refusals. bare: where the client names no gateway or
    DNS server there is none, and the wire says `None` (routed networks, subnetting ipams). `0.0.0.0` (`::`) means none
    too and stays. from_start: at which end they stand; None: as `addr_from_start` says.

    Raises Conflict, in Contrail's words: no subnet, or addresses that are none or lie outside of it; BadRequest for
    what Contrail answers with a 500: pools that overlap, name servers that are no addresses, an alloc_unit that does
    not divide the pools.
    """
    network = network_of(entry)
    _check_uuid(entry, network)
    _check_pools(entry, network, owner)
    _check_unit(entry, network, owner)
    for server in entry.get("dns_nameservers") or ():
        if parse(server) is None:
            raise BadRequest(f"subnet({owner}:{network}) has Invalid DNS Nameserver({server})")
    gateway, dns = _gateway(entry, network), _given(entry, "dns_server_address")
    if dns is not None and parse(dns) is None:
        raise Conflict(f"Invalid Dns Server Ip address:{dns}")
    if from_start is None:
        from_start = bool(entry.get("addr_from_start"))
    nothing = "None" if bare else "0.0.0.0" if network.version == 4 else "::"  # noqa: S104 - the wire's word for none
    others = (None, None) if bare else defaults(network, from_start=from_start)
    return entry | {
        "subnet": (entry.get("subnet") or {})
        | {"ip_prefix": str(network.network_address), "ip_prefix_len": network.prefixlen},
        "default_gateway": str(gateway or others[0] or nothing),
        "dns_server_address": str((parse(dns) if dns else None) or others[1] or nothing),
    }


def _given(entry: dict[str, Any], name: str) -> str | None:
    """Contrail's clients write None as text, too."""
    text = entry.get(name)
    return None if text in (None, "", "None") else text


def _gateway(entry: dict[str, Any], network: Network) -> Address | None:
    text = _given(entry, "default_gateway")
    if text is None:
        return None
    gateway = parse(text)
    if gateway is None:
        raise Conflict(f"Invalid gateway Ip address:{text}")
    hosts = network.num_addresses < SMALLEST or gateway not in (network.network_address, network.broadcast_address)
    if not gateway.is_unspecified and (gateway not in network or not hosts):
        raise Conflict(f"gateway Ip {text} out of cidr: {network}")
    return gateway


def _check_uuid(entry: dict[str, Any], network: Network) -> None:
    uuid = entry.get("subnet_uuid")
    try:
        _ = uuid and UUID(uuid)
    except ValueError:
        raise Conflict(f"Invalid subnet-uuid {uuid} in subnet:{network}") from None


def _check_pools(entry: dict[str, Any], network: Network, owner: str) -> None:
    for pool in entry.get("allocation_pools") or ():
        text = f"start:{pool.get('start')}, end:{pool.get('end')}"
        start, end = parse(pool.get("start")), parse(pool.get("end"))
        if start is None or end is None or start.version != end.version or int(start) > int(end):
            raise Conflict(f"Invalid allocation Pool {text} in subnet:{network}")
        if start not in network or end not in network:
            raise Conflict(f"allocation pool {text} out of cidr:{network}")
    if any(start <= end for (_, end), (start, _) in pairwise(sorted(pools_of(entry)))):
        raise BadRequest(f"Virtual-Network({owner}) has invalid subnet({network}:overlapping alloc-pools)")


def _check_unit(entry: dict[str, Any], network: Network, owner: str) -> None:
    unit = unit_of(entry)
    whole = (int(network.network_address), int(network.broadcast_address))
    reason = ""
    if unit < 1 or unit & (unit - 1):
        reason = "Not power of 2"
    for first, last in pools_of(entry) or [whole]:
        if reason:
            break
        if first % unit:
            reason = f"Pool start {first} not aligned"
        elif last - first + 1 < unit:
            reason = "Pool range smaller than alloc_unit"
        elif (last - first + 1) % unit:
            reason = f"Pool range {last - first + 1} not aligned"
    if reason:
        raise misaligned(owner, network, unit, reason)


def misaligned(owner: str, network: Network, unit: int, reason: str) -> BadRequest:
    return BadRequest(
        f"Virtual-Network({owner}:{network}) has invalid alloc_unit({unit}) in subnet({network}) reason: {reason}"
    )


def overlapping(networks: Sequence[Network]) -> tuple[Network, Network] | None:
    """Two that share an address, if any."""
    ordered = sorted(networks, key=lambda network: (network.version, int(network.network_address), network.prefixlen))
    for one, other in pairwise(ordered):
        if one.version == other.version and int(other.network_address) <= int(one.broadcast_address):
            return one, other
    return None
