"""Taking addresses from a virtual network's subnets.

A network's addresses come from its *sources*: subnets of its own, and the flat subnets of network-ipams it
references, which all networks of that ipam share, so that an address is given once per ipam. Each source is two pools
of numbers in the store: `subnet:` for the automatic addresses and `asked:` for those given on request only
(`subnets`), named by the owner (network or ipam) and prefix, because a client may choose `subnet_uuid` and could
choose one twice.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from api_server.errors import BadRequest, Conflict
from api_server.resources.subnets import Address, Range, Subnet, parse, read
from api_server.store.objects import Object
from api_server.store.transaction import Transaction

UNMANAGED = {"ip-fabric", "__link_local__"}
"""Networks of default-project whose addresses belong to the underlay: stored as given, never handed out (contract
5.4)."""


@dataclass(frozen=True, slots=True)
class Source:
    """owner: uuid of the virtual-network, or of the network-ipam if flat. uuid: the `subnet_uuid` clients name it by;
    all flat subnets of an ipam have that of the network's reference to it."""

    owner: str
    subnet: Subnet
    uuid: str | None
    flat: bool = False

    @property
    def pools(self) -> tuple[tuple[str, list[Range]], tuple[str, list[Range]]]:
        """(name, ranges) of the automatic addresses and of those given on request."""
        name = f"{self.owner}:{self.subnet.network}"
        return (f"subnet:{name}", self.subnet.automatic), (f"asked:{name}", self.subnet.on_request)


def is_unmanaged(fq_name: Sequence[str]) -> bool:
    return len(fq_name) == 3 and tuple(fq_name[:2]) == ("default-domain", "default-project") and fq_name[2] in UNMANAGED


def entries(reference_attr: Any) -> list[dict[str, Any]]:
    """The IpamSubnetTypes of a network's reference to an ipam."""
    return list((reference_attr or {}).get("ipam_subnets") or ())


def ipam_entries(ipam: Object) -> list[dict[str, Any]]:
    """The flat IpamSubnetTypes of a network-ipam."""
    return list((ipam.properties.get("ipam_subnets") or {}).get("subnets") or ())


def flat_sources(ipam: Object, uuid: str | None = None) -> list[Source]:
    return [Source(ipam.uuid, read(entry), uuid, flat=True) for entry in ipam_entries(ipam)]


def own_sources(network: Object) -> list[Source]:
    """The network's subnets of its own, from its references to ipams."""
    return [
        Source(network.uuid, read(entry), entry.get("subnet_uuid"))
        for reference in network.references.get("network_ipam_refs", ())
        for entry in entries(reference.attr)
        if entry.get("subnet")
    ]


def sources(tx: Transaction, network: Object) -> list[Source]:
    """In the order in which they are tried: as `address_allocation_mode` says."""
    links = {
        reference.uuid: entry.get("subnet_uuid")
        for reference in network.references.get("network_ipam_refs", ())
        for entry in entries(reference.attr)
        if not entry.get("subnet")
    }
    mode = network.properties.get("address_allocation_mode") or "user-defined-subnet-preferred"
    own = [] if mode == "flat-subnet-only" else own_sources(network)
    flat: list[Source] = []
    if links and mode != "user-defined-subnet-only":
        flat = [source for ipam in tx.get_many(list(links)) for source in flat_sources(ipam, links[ipam.uuid])]
    return flat + own if mode == "flat-subnet-preferred" else own + flat


def take(tx: Transaction, network: Object, holder: str, *, asked: object = None, subnets: Collection[str] = (),
         family: str | None = None) -> tuple[str, str | None]:  # fmt: skip
    """An address of a network, for the object `holder` until it is deleted: (address, subnet_uuid).

    asked: just this one. subnets: only from those, by uuid. family: v4 or v6. Raises Conflict: in use or reserved;
    BadRequest: not an address, no such subnet, none free, or outside of all subnets (statuses and texts of contract
    5.4).
    """
    found = sources(tx, network)
    if subnets:
        found = [source for source in found if source.uuid in subnets]
        if not found:
            raise BadRequest(
                f"Virtual-Network({list(network.fq_name)}) has invalid subnet({', '.join(sorted(subnets))})"
            )
    if family:
        found = [source for source in found if f"v{source.subnet.version}" == family]
    return take_from(tx, found, holder, asked=asked, exhausted=f"Virtual-Network({list(network.fq_name)})")


def take_from(
    tx: Transaction, found: Iterable[Source], holder: str, *, asked: object, exhausted: str
) -> tuple[str, str | None]:
    """See `take`. exhausted: whose addresses they are, for the refusal."""
    wanted = _wanted(asked)
    for source in found:
        automatic, on_request = source.pools
        if wanted is None:
            pool, ranges = automatic
            number = tx.take(pool, ranges, holder, highest=not source.subnet.from_start)
            if number is None:
                continue
        elif wanted in source.subnet.network:
            inside = any(first <= int(wanted) <= last for first, last in automatic[1])
            pool, ranges = automatic if inside else on_request
            number = tx.take(pool, ranges, holder, wanted=int(wanted))
            if number is None:
                raise Conflict("IP address already in use")
        else:
            continue
        return str(source.subnet.address(number)), source.uuid
    raise BadRequest(f"{exhausted} has exhausted subnet([])")


def _wanted(asked: object) -> Address | None:
    if asked in (None, ""):
        return None
    address = parse(asked)
    if address is None:
        raise BadRequest(f"Invalid IP address: {asked}")
    return address


def resize(tx: Transaction, before: Iterable[Source], after: Iterable[Source]) -> None:
    """Subnets of one owner have changed. Raises Conflict (contract 5.2): an address in use would no longer be
    theirs."""
    now = {name: ranges for source in after for name, ranges in source.pools}
    for source in before:
        for name, ranges in source.pools:
            if now.get(name) == ranges:
                continue
            used = tx.resize(name, now.get(name, []))
            if used is not None:
                raise Conflict(f"Cannot Delete IP Block, IP({source.subnet.address(used)}) is in use")
            if name not in now:
                tx.drop_pool(name)


def forget(tx: Transaction, gone: Iterable[Source]) -> None:
    """The owner has been deleted."""
    for source in gone:
        for name, _ in source.pools:
            tx.drop_pool(name)
