"""virtual-router: the addresses of flat network-ipams that are kept for one node (contract 5.7); its going."""

from collections.abc import Iterable, Iterator
from typing import Any

from api_server.errors import BadRequest
from api_server.resources.allocation import FLAT, ipam_entries
from api_server.resources.hooks import Hook
from api_server.resources.subnets import parse
from api_server.store.objects import Change, Object, Reference
from api_server.store.transaction import Transaction

Pool = tuple[Any, Any]
"""(first, last) address of a pool, as the client spells them."""


class VirtualRouter(Hook):
    """Its pools are some that the ipam has set aside for nodes, no other node's, and stay while they are used. With it
    goes what is known of its node."""

    FIELD = "network_ipam_refs"

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        references = after.references.get(self.FIELD, [])
        was = before.references.get(self.FIELD, []) if before is not None else []
        if references == was:
            return
        self._check_dropped(tx, after, set(_all_pools(was)) - set(_all_pools(references)))
        ipams = {ipam.uuid: ipam for ipam in tx.get_many([reference.uuid for reference in references])}
        for position, reference in enumerate(references):
            self._check(tx, after, ipams[reference.uuid], reference)
            attr = reference.attr | {"allocation_pools": [{"start": s, "end": e} for s, e in _pools(reference.attr)]}
            references[position] = Reference(
                reference.type, reference.uuid, reference.fq_name, attr, reference.origin
            )  # fmt: skip

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        if before is not None and after is None:
            tx.forget_node(before.fq_name[-1])
        return ()

    @staticmethod
    def _check(tx: Transaction, router: Object, ipam: Object, reference: Reference) -> None:
        if ipam.properties.get("ipam_subnet_method") != FLAT:
            raise BadRequest("Only flat-subnet ipam can be attached to vrouter")
        asked = _pools(reference.attr)
        if not asked:
            raise BadRequest("No allocation-pools for this vrouter")
        offered = {
            (pool.get("start"), pool.get("end"))
            for entry in ipam_entries(ipam)
            for pool in entry.get("allocation_pools") or ()
            if pool.get("vrouter_specific_pool")
        }
        others = {
            pool: other.uuid
            for other in tx.referrers(ipam.uuid, "virtual-router")
            if other.uuid != router.uuid
            for theirs in other.references.get(VirtualRouter.FIELD, ())
            if theirs.uuid == ipam.uuid
            for pool in _pools(theirs.attr)
        }
        for start, end in asked:
            if (start, end) not in offered:
                raise BadRequest(f"vrouter allocation-pool start:{start}, end:{end} not in ipam")
            if other := others.get((start, end)):
                raise BadRequest(f"vrouter allocation-pool start:{start}, end:{end} is used in other vrouter:{other}")

    @staticmethod
    def _check_dropped(tx: Transaction, router: Object, dropped: set[Pool]) -> None:
        ranges = [(parse(start), parse(end)) for start, end in dropped]
        for held in tx.referrers(router.uuid, "instance-ip") if ranges else ():
            address = parse(held.properties.get("instance_ip_address"))
            for first, last in ranges:
                if address and first and last and first.version == address.version == last.version:  # noqa: SIM102
                    if int(first) <= int(address) <= int(last):
                        raise BadRequest(f"Cannot Delete allocation pool, {address} in use")


def _pools(attr: Any) -> list[Pool]:
    """Of a reference to an ipam."""
    return [(pool.get("start"), pool.get("end")) for pool in (attr or {}).get("allocation_pools") or ()]


def _all_pools(references: list[Reference]) -> Iterator[Pool]:
    for reference in references:
        yield from _pools(reference.attr)
