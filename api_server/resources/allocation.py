"""Taking addresses from a virtual network's subnets.

A network's addresses come from its *sources*: subnets of its own, and the flat subnets of network-ipams it
references, which all networks of that ipam share, so that an address is given once per ipam. Each source is a few pools
of numbers in the store: `subnet:` for the automatic addresses, `asked:` for those given on request only, `routers:` for
each allocation pool of a virtual-router (`subnets`), named by the owner (network or ipam) and prefix, because a client
may choose `subnet_uuid` and could choose one twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from api_server.errors import BadRequest, Conflict
from api_server.resources.hooks import Held
from api_server.resources.subnets import Address, Range, Subnet, misaligned, parse, read
from api_server.store.objects import Object
from api_server.store.transaction import Transaction
from api_server.store.view import View

UNMANAGED = {"ip-fabric", "__link_local__"}
"""Networks of default-project whose addresses belong to the underlay: stored as given, never handed out (contract
5.4)."""

HOLDERS = {"floating-ip": "Floating IP", "alias-ip": "Alias IP"}
"""What holds an address, in refusals; else it is an IP."""

USER_DEFINED, FLAT = "user-defined-subnet", "flat-subnet"

POOLS = ("subnet:", "asked:", "routers:")
"""What the names of a source's pools begin with."""


@dataclass(frozen=True, slots=True)
class Source:
    """owner: the virtual-network, or the network-ipam if flat. uuid: the `subnet_uuid` clients name it by; all flat
    subnets of an ipam have that of the network's reference to it. subnetting: the ipam's subnets go to one subscriber
    each. tag: of the subscriber who has this one."""

    owner: Object
    subnet: Subnet
    uuid: str | None
    subnetting: bool = False
    tag: str | None = None

    @property
    def name(self) -> str:
        return f"{self.owner.uuid}:{self.subnet.network}"

    @property
    def flat(self) -> bool:
        return self.owner.type == "network-ipam"

    @property
    def automatic(self) -> tuple[str, list[Range]]:
        return f"subnet:{self.name}", self.subnet.automatic

    @property
    def for_routers(self) -> dict[Range, tuple[str, list[Range]]]:
        """By the pool as the client gave it."""
        return {pool: (f"routers:{self.name}:{pool[0]}", ranges) for pool, ranges in self.subnet.for_routers}

    @property
    def pools(self) -> dict[str, list[Range]]:
        """All pools of the store that make up the subnet: name -> ranges, disjoint."""
        return dict([self.automatic, (f"asked:{self.name}", self.subnet.on_request), *self.for_routers.values()])

    def pool_of(self, number: int) -> tuple[str, list[Range]] | None:
        """The pool that has this number; None if it is reserved."""
        for name, ranges in self.pools.items():
            if any(first <= number <= last for first, last in ranges):
                return name, ranges
        return None


class Exhausted(BadRequest):
    """No address is free."""


class Taken(NamedTuple):
    """An address and where it is from."""

    address: str
    source: Source


def is_unmanaged(fq_name: Sequence[str]) -> bool:
    return len(fq_name) == 3 and tuple(fq_name[:2]) == ("default-domain", "default-project") and fq_name[2] in UNMANAGED


# --- sources


class Objects(Protocol):
    """A transaction or a reader."""

    def get_many(self, uuids: Sequence[str]) -> list[Object]: ...


def entries(reference_attr: Any) -> list[dict[str, Any]]:
    """The IpamSubnetTypes of a network's reference to an ipam."""
    return list((reference_attr or {}).get("ipam_subnets") or ())


def ipam_entries(ipam: Object) -> list[dict[str, Any]]:
    """The flat IpamSubnetTypes of a network-ipam."""
    return list((ipam.properties.get("ipam_subnets") or {}).get("subnets") or ())


def flat_sources(ipam: Object, uuid: str | None = None) -> list[Source]:
    subnetting = bool(ipam.properties.get("ipam_subnetting"))
    return [
        Source(ipam, read(entry), uuid, subnetting, (entry.get("subscriber_tag") or None) if subnetting else None)
        for entry in ipam_entries(ipam)
    ]


def own_sources(network: Object) -> list[Source]:
    """The network's subnets of its own, from its references to ipams."""
    return [
        Source(network, read(entry), entry.get("subnet_uuid"))
        for reference in network.references.get("network_ipam_refs", ())
        for entry in entries(reference.attr)
        if entry.get("subnet")
    ]


def network_sources(objects: Objects, network: Object) -> tuple[list[Source], list[Source]]:
    """(of its own, flat)"""
    links = {
        reference.uuid: entry.get("subnet_uuid")
        for reference in network.references.get("network_ipam_refs", ())
        for entry in entries(reference.attr)
        if not entry.get("subnet")
    }
    flat = [source for ipam in objects.get_many(list(links)) for source in flat_sources(ipam, links[ipam.uuid])]
    return own_sources(network), flat


def is_gateway(objects: Objects, network: Object, address: Address | None) -> bool:
    """Of one of the network's subnets."""
    own, flat = network_sources(objects, network)
    return address is not None and any(source.subnet.gateway == address for source in (*own, *flat))


# --- taking


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a network. address: just this one. subnets: only from those, by uuid, in this order. family: v4
    or v6. tag: a subscriber's, who gets a subnet of his own from a subnetting ipam."""

    address: Address | None = None
    subnets: Sequence[str] = ()
    family: str | None = None
    tag: str | None = None


class Choice(NamedTuple):
    """sources: in the order in which they are tried. exhausted: the refusal if none of them has an address."""

    sources: list[Source]
    exhausted: Exhausted


def asked_address(text: object) -> Address | None:
    """BadRequest if the text is no address."""
    if text in (None, ""):
        return None
    address = parse(text)
    if address is None:
        raise BadRequest(f"Invalid IP address: {text}")
    return address


def choose(tx: Transaction, network: Object, wanted: Wanted) -> Choice:
    """Where a network's address may come from.

    `address_allocation_mode` says which kind of subnet is tried, and which first; who names an address or a subnet may
    have it of either kind, as with Contrail. BadRequest: no such subnet.
    """
    own, flat = network_sources(tx, network)
    owner = f"Virtual-Network({list(network.fq_name)})"
    mode = network.properties.get("address_allocation_mode") or f"{USER_DEFINED}-preferred"
    first, last = (own, flat) if mode.startswith(USER_DEFINED) else (flat, own)
    if wanted.address is not None or wanted.subnets:
        first, last = flat, own
    elif mode.endswith("-only"):
        first, last = [], first
    found = [*first, *last]
    if wanted.subnets:
        found = [source for uuid in wanted.subnets for source in found if source.uuid == uuid]
        if not found:
            raise BadRequest(f"{owner} has invalid subnet({', '.join(wanted.subnets)})")
    found = suitable(found, wanted)
    if not own and last is own:
        return Choice(found, Exhausted(f"{owner} has no defined subnets"))
    tried = [str(source.subnet.network) for source in found if source.flat == (last is flat)]
    return Choice(found, Exhausted(f"{owner} has exhausted subnet({tried})"))


def suitable(found: Iterable[Source], wanted: Wanted) -> list[Source]:
    """Those that have addresses of the kind that is wanted."""
    known = wanted.tag is not None and any(source.tag == wanted.tag for source in found)
    tag = wanted.tag if known else None
    return [
        source
        for source in found
        if (wanted.family is None or wanted.family == f"v{source.subnet.version}")
        and (wanted.address is None or wanted.address in source.subnet.network)
        and (not source.flat or (source.subnetting == (wanted.tag is not None) and source.tag == tag))
    ]


def take(tx: Transaction, choice: Choice, holder: str, address: Address | None = None) -> Taken:
    """An address, just this one if it is given, for `holder` until that object is deleted. Raises Conflict: in use or
    reserved; Exhausted: none is free, or it is outside of all subnets (statuses and texts of contract 5.4)."""
    for source in choice.sources:
        subnet = source.subnet
        if address is None:
            pool, ranges = source.automatic
            number = tx.take(pool, ranges, holder, highest=not subnet.from_start)
            if number is None:
                continue
        else:
            if not subnet.aligned(address):
                reason = f"Requested IP address {address} not aligned"
                raise misaligned(":".join(source.owner.fq_name), subnet.network, subnet.unit, reason)
            found = source.pool_of(subnet.number(address))
            number = tx.take(*found, holder, wanted=subnet.number(address)) if found else None
            if number is None:
                raise Conflict("IP address already in use")
        return Taken(str(subnet.address(number)), source)
    raise choice.exhausted


def take_many(tx: Transaction, choice: Choice, holder: str, count: int) -> list[str]:
    """So many automatic addresses, in order, or Exhausted and none."""
    taken: list[str] = []
    for source in choice.sources:
        pool, ranges = source.automatic
        numbers = tx.take_many(pool, ranges, holder, count - len(taken), highest=not source.subnet.from_start)
        taken += [str(source.subnet.address(number)) for number in numbers]
    if len(taken) < count:
        raise choice.exhausted
    return taken


def held(found: Iterable[Source], text: object, whose: str) -> Iterator[Held]:
    """An address of one of the sources, which an object has. whose: they are, for a person."""
    address = parse(text)
    if address is None:
        return
    for source in found:
        number = source.subnet.number(address)
        pool = source.pool_of(number) if address in source.subnet.network else None
        if pool is not None:
            yield Held(*pool, number, f"address {address} of {whose}")
            return
    yield Held("", [], int(address), f"address {address}, which no subnet of {whose} gives,")


def kept(tx: View, holder: str, found: Iterable[Source]) -> list[str]:
    """The pools of other sources than these in which it has a number: of a flat ipam that its network has given up."""
    own = {name for source in found for name in source.pools}
    return [pool for pool, _ in tx.held(holder) if pool.startswith(POOLS) and pool not in own]


# --- changes of subnets


def resize(tx: Transaction, before: Iterable[Source], after: Iterable[Source]) -> None:
    """Subnets of one owner have changed. Raises Conflict (contract 5.2) if an address in use would no longer be
    theirs."""
    now = {source.name: source for source in after}
    for source in before:
        new = now.get(source.name)
        pools = new.pools if new is not None else {}
        if source.pools == pools:
            continue
        used = tx.divide(source.pools, pools)
        if used is not None:
            address = source.subnet.address(used[1])
            if new is None:
                raise in_use(tx, source, used)
            raise Conflict(f"IP address {address} of subnet {source.subnet.network} is in use")


def in_use(tx: Transaction, source: Source, used: tuple[str, int]) -> Conflict:
    """The refusal to do without a subnet. used: (pool, number)."""
    holder = tx.identify(tx.holder(*used) or "")
    kind = HOLDERS.get(holder[0], "IP") if holder else "IP"
    return Conflict(f"Cannot Delete IP Block, {kind}({source.subnet.address(used[1])}) is in use")


def forget(tx: Transaction, gone: Iterable[Source]) -> None:
    """The owner is deleted."""
    for source in gone:
        for name in source.pools:
            tx.drop_pool(name)
