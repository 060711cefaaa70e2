"""network-ipam, and the subnets in a virtual-network's references to ipams (contract 5.2, 5.3)."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from api_server.errors import BadRequest
from api_server.resources.allocation import (
    FLAT,
    Source,
    entries,
    flat_sources,
    ipam_entries,
    network_sources,
    own_sources,
    resize,
)  # fmt: skip
from api_server.resources.hooks import Hook, Ranges
from api_server.resources.subnets import fill, network_of, overlapping, pools_of, unit_of
from api_server.store.objects import Change, Object, Reference
from api_server.store.transaction import Transaction
from api_server.store.view import View

CONTRAIL_DNS = ("default-dns-server", "virtual-dns-server")
"""Methods by which machines ask the DNS server of their node."""


class VirtualNetworkSubnets:
    """The subnets in a network's references to ipams. One's own are filled in; a flat ipam's get a `subnet_uuid` of the
    reference, by which clients name all of them. Its reference may go while the network has addresses of it, as with
    Contrail, whose clients change a reference by removing and adding it; those addresses stay taken."""

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
            whole = cls._flat(after, reference, was) if _is_flat(ipam) else cls._own(after, reference, was)
            references[position] = Reference(
                reference.type, reference.uuid, reference.fq_name,
                (reference.attr or {}) | {"ipam_subnets": whole}, reference.origin,
            )  # fmt: skip
        own = own_sources(after)
        flat = [source for ipam in ipams.values() if _is_flat(ipam) for source in flat_sources(ipam)]
        check_overlap([*own, *flat])
        if before is not None:
            resize(tx, own_sources(before), own)

    @staticmethod
    def _flat(network: Object, reference: Reference, was: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if any((entry.get("subnet") or {}).get("ip_prefix") is not None for entry in entries(reference.attr)):
            raise BadRequest("with flat-subnet, network can not have user-defined subnet")
        properties = network.properties.get("virtual_network_properties") or {}
        if properties.get("forwarding_mode") != "l3":
            raise BadRequest("flat-subnet is allowed only with l3 network")
        asked = [entry.get("subnet_uuid") for entry in [*was, *entries(reference.attr)]]
        return [{"subnet_uuid": next((uuid for uuid in asked if uuid), None) or str(uuid4())}]

    @staticmethod
    def _own(network: Object, reference: Reference, was: list[dict[str, Any]]) -> list[dict[str, Any]]:
        known = {network_of(entry): entry for entry in was if entry.get("subnet")}
        result = []
        for entry in entries(reference.attr):
            stood = known.get(network_of(entry))
            whole = fill_again(
                entry, stood, network, bare=network.properties.get("virtual_network_category") == "routed"
            )
            whole["subnet_uuid"] = entry.get("subnet_uuid") or (stood or {}).get("subnet_uuid") or str(uuid4())
            result.append(whole)
        return result


class NetworkIpam(Hook):
    """Flat subnets, whose addresses all networks of the ipam share. Its method and whether it is subnetting stay."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        properties = after.properties
        if before is not None:
            if properties.get("ipam_subnet_method") != before.properties.get("ipam_subnet_method"):
                raise BadRequest("ipam_subnet_method can not be changed")
            if bool(properties.get("ipam_subnetting")) != bool(before.properties.get("ipam_subnetting")):
                raise BadRequest("ipam_subnetting can not be changed")
            self._check_dns(tx, before, after)
        elif properties.get("ipam_subnetting") and not _is_flat(after):
            raise BadRequest("subnetting is allowed only with flat-subnet")
        if properties.get("ipam_subnets") is not None and not _is_flat(after):
            raise BadRequest("ipam-subnets are allowed only with flat-subnet")
        if before is None or properties.get("ipam_subnets") != before.properties.get("ipam_subnets"):
            self._fill(tx, before, after)

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        """Addresses of it can be in use though no network refers to it any more: it stays, as its subnets would."""
        if before is not None and after is None:
            resize(tx, flat_sources(before), ())
        return ()

    def pools(self, tx: View, object: Object) -> Iterable[tuple[str, Ranges]]:
        return [pool for source in flat_sources(object) for pool in source.pools.items()]

    @staticmethod
    def _fill(tx: Transaction, before: Object | None, after: Object) -> None:
        given = ipam_entries(after)
        stood = {network_of(entry): entry for entry in ipam_entries(before)} if before is not None else {}
        bare = bool(after.properties.get("ipam_subnetting"))
        filled = [fill_again(entry, stood.get(network_of(entry)), after, bare=bare) for entry in given]
        if given:
            after.properties["ipam_subnets"] = after.properties["ipam_subnets"] | {"subnets": filled}
        check_overlap(flat_sources(after))
        if before is not None:
            for network in tx.referrers(after.uuid, "virtual-network"):
                own, flat = network_sources(tx, network)
                others = [*own, *(source for source in flat if source.owner.uuid != after.uuid)]
                check_overlap([*others, *flat_sources(after)])
            resize(tx, flat_sources(before), flat_sources(after))

    @staticmethod
    def _check_dns(tx: Transaction, before: Object, after: Object) -> None:
        """How machines resolve names can't change under them, except between the two ways of asking their node."""
        if not before.properties.get("network_ipam_mgmt") or not after.properties.get("network_ipam_mgmt"):
            return
        old, new = (ipam.properties["network_ipam_mgmt"].get("ipam_dns_method") for ipam in (before, after))
        if old == new or (old in CONTRAIL_DNS and new not in (None, "tenant-dns-server")) or old == "none":
            return
        networks = tx.referrers(after.uuid, "virtual-network")
        if any(tx.referrers(network.uuid, "virtual-machine-interface") for network in networks):
            raise BadRequest("Cannot change DNS Method  with active VMs referring to the IPAM")


def fill_again(entry: dict[str, Any], stood: dict[str, Any] | None, owner: Object, *, bare: bool) -> dict[str, Any]:
    """`fill` an IpamSubnetType of a network or ipam. stood: as it is stored so far, whose gateway, allocation pools and
    alloc_unit stay (BadRequest); pools may be added. An empty `dns_server_address` keeps the present one."""
    if stood is None:
        return fill(entry, ":".join(owner.fq_name), bare=bare)
    bare = bare or stood.get("default_gateway") == "None"  # once bare, always so: a gateway does not change
    if entry.get("dns_server_address") == "":
        entry = entry | {"dns_server_address": stood.get("dns_server_address")}
    whole = fill(entry, ":".join(owner.fq_name), bare=bare, from_start=bool(stood.get("addr_from_start")))
    if whole["default_gateway"] != stood["default_gateway"]:
        raise BadRequest(f"default gateway change is not allowed orig:{stood['default_gateway']}, "
                         f"new: {entry.get('default_gateway')}")  # fmt: skip
    invalid = f"Virtual-Network({':'.join(owner.fq_name)}) has invalid subnet({network_of(entry)}:"
    if not set(pools_of(stood)) <= set(pools_of(whole)):
        raise BadRequest(f"{invalid}Allocation pool delete is not allowed)")
    if unit_of(stood) != unit_of(whole):
        raise BadRequest(f"{invalid}alloc_unit change is not allowed)")
    return whole


def check_overlap(found: Iterable[Source]) -> None:
    """BadRequest if two subnets share an address."""
    networks = [source.subnet.network for source in found]
    clash = overlapping(networks)
    if clash is not None:
        names = [f"IPNetwork('{network}')" for network in sorted(clash, key=networks.index)]
        raise BadRequest(f"Overlapping addresses: [{', '.join(names)}]")


def _is_flat(ipam: Object) -> bool:
    return ipam.properties.get("ipam_subnet_method") == FLAT


def _subnet_facts(network: Object) -> tuple[object, ...]:
    """What the subnets depend on."""
    properties = network.properties.get("virtual_network_properties") or {}
    return properties.get("forwarding_mode"), [
        (reference.uuid, reference.attr) for reference in network.references.get("network_ipam_refs", ())
    ]
