"""Addresses of a network that no object has: ip-alloc, ip-free, subnet-ip-count (contract 4.13).

The network itself holds them. So they are as taken as those of an object: they outlive a restart, are counted, and keep
their subnet; and they go with the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api_server.errors import BadRequest, Conflict, NotFound
from api_server.resources.allocation import Exhausted, Source, Wanted, choose, network_sources, take_many
from api_server.resources.subnets import Address, parse
from api_server.store.objects import Object
from api_server.store.reader import Reader
from api_server.store.transaction import Transaction
from schema.quoting import quote

MOST = 16_384
"""Addresses of one request: a /18. They are taken in one transaction, and other writes wait for it."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A checked ip-alloc."""

    network: str
    count: int
    wanted: Wanted


def read_alloc(network: str, document: dict[str, Any]) -> Reservation:
    count, subnet, family = (document.get(name) for name in ("count", "subnet", "family"))
    if count is None:
        count = 1
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MOST:
        raise BadRequest(f"Bad Request, count must be between 0 and {MOST}: {quote(count)}")
    if not (subnet is None or isinstance(subnet, str)):
        raise BadRequest(f"Bad Request, subnet must be the uuid of a subnet: {quote(subnet)}")
    if family not in (None, "", "v4", "v6"):
        raise BadRequest(f"Bad Request, family must be v4 or v6: {quote(family)}")
    return Reservation(network, count, Wanted(subnets=[subnet] if subnet else [], family=family or None))


def alloc(tx: Transaction, asked: Reservation) -> list[str]:
    """All of the addresses, in the order in which they were taken, or none: Conflict if there are not enough."""
    network = _network(tx.get(asked.network), asked.network)
    try:
        return take_many(tx, choose(tx, network, asked.wanted), network.uuid, asked.count)
    except Exhausted as refusal:
        raise Conflict(refusal.text) from None


def read_free(document: dict[str, Any]) -> list[Address]:
    texts = document.get("ip_addr") or []
    if not isinstance(texts, list):
        raise BadRequest(f"Bad Request, ip_addr must be a list of addresses: {quote(texts)}")
    addresses = []
    for text in texts:
        address = parse(text)
        if address is None:
            raise BadRequest(f"Bad Request, invalid address in ip_addr: {quote(text)}")
        addresses.append(address)
    return addresses


def free(tx: Transaction, uuid: str, addresses: Sequence[Address]) -> None:
    """Those that are reserved; of others nothing is changed. The address of an object stays its own, or it could be
    given twice."""
    network = _network(tx.get(uuid), uuid)
    own, flat = network_sources(tx, network)
    for address in addresses:
        for source in (*own, *flat):
            number = source.subnet.number(address)
            pool = source.pool_of(number) if address in source.subnet.network else None
            if pool is not None and tx.holder(pool[0], number) == network.uuid:
                tx.release(pool[0], number)


def read_count(document: dict[str, Any]) -> list[str]:
    uuids = document.get("subnet_list") or []
    if not isinstance(uuids, list) or not all(isinstance(uuid, str) for uuid in uuids):
        raise BadRequest(f"Bad Request, subnet_list must be a list of subnet uuids: {quote(uuids)}")
    return uuids


def count(reader: Reader, uuid: str, subnets: Sequence[str]) -> list[int]:
    """How many addresses of each subnet's allocation pools are taken or reserved; 0 if there is no such subnet."""
    network = _network(reader.get(uuid), uuid)
    own, flat = network_sources(reader, network)
    taken = reader.taken([name for source in (*own, *flat) for name in _counted(source)])
    numbers = dict.fromkeys(subnets, 0)
    for source in (*own, *flat):
        if source.uuid in numbers:
            numbers[source.uuid] += source.subnet.kept_back + sum(taken[name] for name in _counted(source))
    return [numbers[subnet] for subnet in subnets]


def _counted(source: Source) -> list[str]:
    return [source.automatic[0], *(name for name, _ in source.for_routers.values())]


def _network(found: Object | None, uuid: str) -> Object:
    if found is None or found.type != "virtual-network":
        raise NotFound(f"Virtual Network {quote(uuid)} not found!")
    return found
