"""virtual-network: numbers, sharing, routing instance (contract 5.2); its subnets are in `ipam`."""

from collections.abc import Iterable

from api_server.errors import BadRequest, Conflict, Forbidden
from api_server.resources.allocation import forget, is_unmanaged, own_sources
from api_server.resources.hooks import Hook
from api_server.resources.ipam import VirtualNetworkSubnets
from api_server.resources.routing import check_route_targets
from api_server.store.objects import Change, Create, Object
from api_server.store.transaction import Transaction

NETWORK_IDS = ("virtual-network-id", [(1, 2**24 - 1)])
"""One space for network and VXLAN identifiers; its width is that of a VXLAN identifier (RFC 7348)."""

READ_LINK, READ_WRITE_LINK = 5, 7


class VirtualNetwork(Hook):
    """Identifiers, sharing, and the routing instance that every network has."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        self._number(tx, before, after)
        self._share(before, after)
        check_route_targets(tx, before, after)
        VirtualNetworkSubnets.prepare(tx, before, after)

    def release(self, tx: Transaction, before: Object) -> Iterable[Change]:
        if is_unmanaged(before.fq_name):
            raise Conflict(f"Cannot delete system resource Virtual Network {':'.join(before.fq_name)}({before.uuid})")
        return ()

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        if before is None and after is not None:
            yield Create(Object(
                "routing-instance", tx.new_uuid(), (*after.fq_name, after.fq_name[-1]), after.type, after.uuid,
                {"routing_instance_is_default": True},
            ))  # fmt: skip
        elif before is not None and after is None:
            forget(tx, own_sources(before))

    @staticmethod
    def _number(tx: Transaction, before: Object | None, after: Object) -> None:
        pool, ranges = NETWORK_IDS
        was = before.properties.get("virtual_network_network_id") if before is not None else None
        if after.properties.get("virtual_network_network_id") != was:
            raise Forbidden("Cannot set/update the virtual network ID")
        old, new = (_vxlan_id(version) for version in (before, after))
        if new is not None and new != old and tx.take(pool, ranges, after.uuid, wanted=new) is None and new != was:
            raise BadRequest(f"Cannot set VXLAN_ID: {new}, it has already been set")
        if old is not None and old not in (new, was):
            tx.release(pool, old)
        if before is None:
            number = tx.take(pool, ranges, after.uuid)
            if number is None:
                raise BadRequest("No virtual network ID is free")
            after.properties["virtual_network_network_id"] = number

    @staticmethod
    def _share(before: Object | None, after: Object) -> None:
        """Keep `is_shared`, `router_external` and `perms2.global_access` in step: what the request changed decides."""
        shared, access = after.properties.get("is_shared"), _global_access(after)
        external = bool(after.properties.get("router_external"))
        if before is None:
            if shared is False and access:
                raise BadRequest("is_shared and perms2.global_access contradict each other")
            after.properties["is_shared"] = bool(shared or access)
            if shared and not access:
                access = READ_WRITE_LINK
            elif external and not access:
                access = READ_LINK
        else:
            was_shared, was_access = bool(before.properties.get("is_shared")), _global_access(before)
            was_external = bool(before.properties.get("router_external"))
            if bool(shared) != was_shared and access != was_access and bool(shared) != bool(access):
                raise BadRequest("is_shared and perms2.global_access contradict each other")
            if bool(shared) != was_shared:
                access = (access or READ_WRITE_LINK) if shared else 0
            elif access != was_access:
                after.properties["is_shared"] = bool(access)
            elif external != was_external and not shared:
                access = READ_LINK if external else 0
        if access != _global_access(after):
            after.properties["perms2"] = (after.properties.get("perms2") or {}) | {"global_access": access}


def _vxlan_id(network: Object | None) -> int | None:
    properties = (network.properties.get("virtual_network_properties") or {}) if network is not None else {}
    number = properties.get("vxlan_network_identifier")
    return int(number) if number else None


def _global_access(network: Object) -> int:
    return int((network.properties.get("perms2") or {}).get("global_access") or 0)
