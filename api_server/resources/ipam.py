"""network-ipam, and the subnets in a virtual-network's references to ipams (contract 5.2, 5.3)."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from api_server.errors import BadRequest, Conflict
from api_server.resources.allocation import (
    Source,
    entries,
    flat_sources,
    forget,
    ipam_entries,
    own_sources,
    resize,
    sources,
)  # fmt: skip
from api_server.resources.hooks import Hook
from api_server.resources.subnets import fill, network_of, overlapping
from api_server.store.objects import Change, Object, Reference
from api_server.store.transaction import Transaction

FLAT = "flat-subnet"


class VirtualNetworkSubnets:
    """The subnets in a network's references to ipams. One's own are filled in; a flat ipam's get a `subnet_uuid` of the
    reference, by which clients name all of them."""

    @classmethod
    def prepare(cls, tx: Transaction, before: Object | None, after: Object) -> None:
        if before is not None and _subnet_facts(before) == _subnet_facts(after):
            return
        references = after.references.get("network_ipam_refs", [])
        old = (
            {reference.uuid: reference for reference in before.references.get("network_ipam_refs", ())}
            if before
            else {}
        )
        ipams = {ipam.uuid: ipam for ipam in tx.get_many([reference.uuid for reference in references])}
        for position, reference in enumerate(references):
            was = entries(old[reference.uuid].attr) if reference.uuid in old else []
            ipam = ipams[reference.uuid]
            whole = cls._flat(after, reference, was) if _is_flat(ipam) else cls._own(reference, was)
            references[position] = Reference(
                reference.type, reference.uuid, reference.fq_name,
                (reference.attr or {}) | {"ipam_subnets": whole}, reference.origin,
            )  # fmt: skip
        own = own_sources(after)
        flat = [source for ipam in ipams.values() if _is_flat(ipam) for source in flat_sources(ipam)]
        check_overlap([*own, *flat])
        if before is not None:
            resize(tx, own_sources(before), own)
            cls._check_dropped(tx, before, after)

    @staticmethod
    def _flat(network: Object, reference: Reference, was: list[dict[str, Any]]) -> list[dict[str, Any]]:
        properties = network.properties.get("virtual_network_properties") or {}
        if properties.get("forwarding_mode") != "l3":
            raise BadRequest("flat-subnet is allowed only with l3 network")
        asked = [entry.get("subnet_uuid") for entry in [*was, *entries(reference.attr)]]
        return [{"subnet_uuid": next((uuid for uuid in asked if uuid), None) or str(uuid4())}]

    @staticmethod
    def _own(reference: Reference, was: list[dict[str, Any]]) -> list[dict[str, Any]]:
        known = {network_of(entry): entry for entry in was if entry.get("subnet")}
        result = []
        for entry in entries(reference.attr):
            stood = known.get(network_of(entry), {})
            kept = {
                name: stood[name] for name in ("subnet_uuid", "default_gateway", "dns_server_address") if name in stood
            }
            whole = fill(kept | {name: value for name, value in entry.items() if value is not None or name not in kept})
            if stood and whole["default_gateway"] != stood["default_gateway"]:
                raise BadRequest(f"default gateway change is not allowed orig:{stood['default_gateway']}, "
                                 f"new:{whole['default_gateway']}")  # fmt: skip
            whole["subnet_uuid"] = whole.get("subnet_uuid") or str(uuid4())
            result.append(whole)
        return result

    @staticmethod
    def _check_dropped(tx: Transaction, before: Object, after: Object) -> None:
        """A reference to a flat ipam can't go while an instance-ip of the network has an address of it."""
        kept = set(after.targets("network-ipam"))
        dropped = [ipam for ipam in tx.get_many([uuid for uuid in before.targets("network-ipam") if uuid not in kept])
                   if _is_flat(ipam)]  # fmt: skip
        if not dropped:
            return
        links = {entry.get("subnet_uuid") for reference in before.references.get("network_ipam_refs", ())
                 if reference.uuid in {ipam.uuid for ipam in dropped} for entry in entries(reference.attr)}  # fmt: skip
        for instance_ip in tx.referrers(before.uuid, "instance-ip"):
            if instance_ip.properties.get("subnet_uuid") in links:
                address = instance_ip.properties.get("instance_ip_address")
                raise Conflict(f"Cannot Delete IP Block, IP({address}) is in use")


class NetworkIpam(Hook):
    """Flat subnets, whose addresses all networks of the ipam share."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        properties = after.properties
        if before is not None:
            for name, default in (("ipam_subnet_method", "user-defined-subnet"), ("ipam_subnetting", False)):
                if (properties.get(name) or default) != (before.properties.get(name) or default):
                    raise BadRequest(f"{name} can not be changed")
            if properties.get("ipam_subnets") == before.properties.get("ipam_subnets"):
                return
        given = ipam_entries(after)
        if given and not _is_flat(after):
            raise BadRequest("ipam-subnets are allowed only with flat-subnet")
        stood = {network_of(entry): entry for entry in ipam_entries(before)} if before is not None else {}
        filled = []
        for entry in given:
            was = stood.get(network_of(entry), {})
            kept = {name: was[name] for name in ("default_gateway", "dns_server_address") if name in was}
            filled.append(fill(entry | {name: entry.get(name) or value for name, value in kept.items()}))
        if given:
            properties["ipam_subnets"] = properties["ipam_subnets"] | {"subnets": filled}
        check_overlap(flat_sources(after))
        if before is not None:
            for network in tx.referrers(after.uuid, "virtual-network"):
                others = [source for source in sources(tx, network) if source.owner != after.uuid]
                check_overlap([*others, *flat_sources(after)])
            resize(tx, flat_sources(before), flat_sources(after))

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        if before is not None and after is None:
            forget(tx, flat_sources(before))
        return ()


def check_overlap(found: Iterable[Source]) -> None:
    """BadRequest if two subnets share an address."""
    clash = overlapping([source.subnet.network for source in found])
    if clash is not None:
        raise BadRequest(f"Overlapping addresses: {[str(network) for network in clash]}")


def _is_flat(ipam: Object) -> bool:
    return ipam.properties.get("ipam_subnet_method") == FLAT


def _subnet_facts(network: Object) -> tuple[object, ...]:
    """What the subnets depend on."""
    properties = network.properties.get("virtual_network_properties") or {}
    return properties.get("forwarding_mode"), [
        (reference.uuid, reference.attr) for reference in network.references.get("network_ipam_refs", ())
    ]
