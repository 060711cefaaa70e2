"""A virtual-network between a fabric's routers and devices that route themselves (`virtual_network_category` routed):
which router has which address there, and the protocol it speaks (contract 5.2)."""

from collections.abc import Iterable
from typing import Any

from api_server.errors import Conflict
from api_server.resources.allocation import own_sources
from api_server.resources.hooks import Hook
from api_server.resources.subnets import parse
from api_server.store.objects import Object
from api_server.store.transaction import Transaction

FIELD = "virtual_network_routed_properties"
ROUTERS = {"physical_router_uuid": "Physical router", "logical_router_uuid": "Logical Router"}
LOOPBACK = "overlay-loopback"
"""A fabric's network for the loopback addresses of its routers: there are no interfaces in it."""


class RoutedNetwork(Hook):
    """Each router of it is told all that it has to know."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        stated = after.properties.get(FIELD)
        if after.properties.get("virtual_network_category") != "routed" or not stated:
            return
        if before is not None and before.properties.get(FIELD) == stated:
            return
        loopback = _is_loopback(tx, after)
        for router in stated.get("routed_properties") or ():
            for member, title in ROUTERS.items():
                if not router.get(member):
                    raise Conflict(f"{title} Id not present for routed VN")
            if not loopback:
                _check_interface(after, router.get("routed_interface_ip_address"))
            _check_protocol(router)


def _is_loopback(tx: Transaction, network: Object) -> bool:
    return LOOPBACK in network.fq_name[-1] and any(
        reference.uuid == network.uuid and (reference.attr or {}).get("network_type") == LOOPBACK
        for fabric in tx.referrers(network.uuid, "fabric")
        for reference in fabric.references.get("virtual_network_refs", ())
    )


def _check_interface(network: Object, text: str | None) -> None:
    if not text:
        raise Conflict("routed-interface-ip-address is required")
    address = parse(text)
    if not any(address in source.subnet.network for source in own_sources(network) if address is not None):
        raise Conflict(f"IP {text} does not belong to any subnet")


def _check_protocol(router: dict[str, Any]) -> None:
    protocol = router.get("routing_protocol")
    parameters = router.get(f"{protocol}_params") or {}
    if protocol == "bgp":
        _check_addresses(parameters.get("peer_ip_address_list") or [parameters.get("peer_ip_address")])
    elif protocol == "pim":
        _check_addresses(parameters.get("rp_ip_address") or ())
        if parameters.get("mode") not in (None, "sparse-dense"):
            raise Conflict("PIM mode only sparse-dense supported")
    elif protocol == "ospf":
        backbone = parameters.get("area_id") in ("0", "0.0.0.0")  # noqa: S104 - the area's number
        if backbone and parameters.get("area_type") != "backbone":
            raise Conflict("Area id zero should have area type as backbone")


def _check_addresses(texts: Iterable[Any]) -> None:
    for text in texts:
        address = parse(text)
        if address is None or address.version != 4:
            raise Conflict(f"{FIELD}: an IPv4 address is expected, not {text}")
