"""virtual-network: numbers, sharing, routing instance (contract 5.2); its subnets are in `ipam`."""

from collections.abc import Iterable

from api_server.errors import BadRequest, Conflict, Forbidden
from api_server.resources import vpns
from api_server.resources.allocation import forget, is_unmanaged, kept, network_sources, own_sources
from api_server.resources.hooks import Held, Hook, Ranges
from api_server.resources.ipam import VirtualNetworkSubnets
from api_server.resources.routing import TARGET_LISTS, check_route_targets
from api_server.store.objects import Change, Create, Object, Update
from api_server.store.transaction import Transaction
from api_server.store.view import View

NETWORK_IDS = ("virtual-network-id", [(1, 2**24 - 1)])
"""One space for network and VXLAN identifiers; its width is that of a VXLAN identifier (RFC 7348)."""

READ_LINK, READ_WRITE_LINK = 5, 7


class VirtualNetwork(Hook):
    """Identifiers, sharing, and the routing instance that every network has."""

    assigns = ("virtual_network_network_id",)

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        self._number(tx, before, after)
        self._share(before, after)
        check_route_targets(tx, before, after)
        self._service_chains(after)
        vpns.check_network(tx, before, after)
        VirtualNetworkSubnets.prepare(tx, before, after)

    def release(self, tx: Transaction, before: Object) -> Iterable[Change]:
        if is_unmanaged(before.fq_name):
            raise Conflict(f"Cannot delete system resource Virtual Network {':'.join(before.fq_name)}({before.uuid})")
        return ()

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        if after is None:
            assert before is not None
            forget(tx, own_sources(before))
            return
        name, translated = (*after.fq_name, after.fq_name[-1]), bool(after.properties.get("fabric_snat"))
        if before is None:
            yield self._routing_instance(tx, after)
        elif translated != bool(before.properties.get("fabric_snat")):
            instance = tx.get(tx.find("routing-instance", name) or "")
            if instance is not None:
                changed = instance.copy()
                changed.properties["routing_instance_fabric_snat"] = translated
                yield Update(instance, changed)

    def settle(self, tx: Transaction, object: Object) -> Iterable[Change]:
        if tx.find("routing-instance", (*object.fq_name, object.fq_name[-1])) is None:
            yield self._routing_instance(tx, object)

    @staticmethod
    def _routing_instance(tx: Transaction, network: Object) -> Change:
        translated = bool(network.properties.get("fabric_snat"))
        properties = {"routing_instance_is_default": True, "routing_instance_fabric_snat": translated}
        name = (*network.fq_name, network.fq_name[-1])
        return Create(Object("routing-instance", tx.new_uuid(), name, network.type, network.uuid, properties))

    def holds(self, tx: View, object: Object) -> Iterable[Held]:
        pool, ranges = NETWORK_IDS
        number, vxlan = object.properties.get("virtual_network_network_id"), _vxlan_id(object)
        if number is not None:
            yield Held(pool, ranges, number, f"network id {number}", _renumber)
        if vxlan is not None and vxlan != number:
            yield Held(pool, ranges, vxlan, f"VXLAN id {vxlan}")

    def reserves(self, tx: View, object: Object) -> Iterable[str]:
        """Addresses of ip-alloc, also of flat ipams that the network has given up."""
        own, flat = network_sources(tx, object)
        found = [*own, *flat]
        return [*(name for source in found for name in source.pools), *kept(tx, object.uuid, found)]

    def pools(self, tx: View, object: Object) -> Iterable[tuple[str, Ranges]]:
        return [pool for source in own_sources(object) for pool in source.pools.items()]

    @staticmethod
    def _number(tx: Transaction, before: Object | None, after: Object) -> None:
        pool, ranges = NETWORK_IDS
        was = before.properties.get("virtual_network_network_id") if before is not None else None
        if after.properties.get("virtual_network_network_id") is None and was is not None:
            after.properties["virtual_network_network_id"] = was
        if after.properties.get("virtual_network_network_id") != was:
            raise Forbidden(f"Cannot {'set' if before is None else 'update'} the virtual network ID")
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
        asked, access = after.properties.get("is_shared"), _global_access(after)
        shared, external = bool(asked), bool(after.properties.get("router_external"))
        if before is None:
            if (asked is False and access == READ_WRITE_LINK) or (
                shared and not external and access not in (0, READ_WRITE_LINK)
            ):
                raise _inconsistent("is_shared", shared, access)
            shared = shared or access == READ_WRITE_LINK
            now = READ_WRITE_LINK if shared else access or (READ_LINK if external else 0)
        else:
            was_access, now = _global_access(before), access
            reshared = shared != bool(before.properties.get("is_shared"))
            reopened = external != bool(before.properties.get("router_external"))
            if access != was_access:
                if reshared and shared != (access == READ_WRITE_LINK) and not external:
                    raise _inconsistent("is_shared", shared, access)
                if reopened and external != (access == READ_LINK) and not shared:
                    raise _inconsistent("router_external", external, access)
                if not reshared and not reopened:
                    shared = bool(access)
            elif reshared or (reopened and not shared):
                now = READ_WRITE_LINK if shared else READ_LINK if external else 0
        after.properties["is_shared"] = shared
        if now != access:
            after.properties["perms2"] = (after.properties.get("perms2") or {}) | {"global_access": now}

    @staticmethod
    def _service_chains(after: Object) -> None:
        """Several policies with service chains want targets that are for import or for export."""
        if not after.properties.get("multi_policy_service_chains_enabled"):
            return
        both, imported, exported = (
            (after.properties.get(field) or {}).get("route_target") or () for field in TARGET_LISTS[after.type]
        )
        if both or set(imported) & set(exported):
            raise Conflict(
                "Multi policy service chains are not supported, with both import export external route targets"
            )


class ProviderNetwork(Hook):
    """A virtual-network that is a network of the data centre, or is connected to one."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        was_provider = before is not None and bool(before.properties.get("is_provider_network"))
        is_provider = bool(after.properties.get("is_provider_network"))
        if was_provider and not is_provider:
            raise BadRequest(f"Update is_provider_network property from True to False of VN ({after.uuid}) is not "
                             "allowed")  # fmt: skip
        self._details(before, after, was_provider=was_provider)
        if before is None or before.targets("virtual-network") != after.targets("virtual-network"):
            self._connected(tx, after, is_provider=is_provider)

    @staticmethod
    def _details(before: Object | None, after: Object, *, was_provider: bool) -> None:
        details = after.properties.get("provider_properties")
        was = (before.properties.get("provider_properties") if before is not None else None) or {}
        if not details or details == was:
            return
        given = {name: value for name, value in details.items() if value is not None}
        if was_provider:
            if was | given != was:
                raise Conflict(f"Update provider_details property of provider VN ({after.uuid}) is not allowed")
            after.properties["provider_properties"] = was
            return
        for name, title in (("segmentation_id", "Segmentation ID"), ("physical_network", "Physical Network")):
            if given.get(name) in (None, ""):
                if before is None:
                    raise BadRequest(f"{title} must be configured to create")
                raise Conflict(f"{title} must be configured to update")

    @staticmethod
    def _connected(tx: Transaction, after: Object, *, is_provider: bool) -> None:
        others = tx.get_many(after.targets("virtual-network"))
        providers = [other.uuid for other in others if other.properties.get("is_provider_network")]
        if is_provider and providers:
            raise BadRequest(f"Provider VN ({after.uuid}) can not connect to another provider VN ({providers})")
        if not is_provider and others and (len(others) != 1 or len(providers) != 1):
            raise BadRequest(f"Non Provider VN ({after.uuid}) can connect only to one provider VN but not "
                             f"({[other.uuid for other in others]})")  # fmt: skip


class BridgeDomain(Hook):
    """A network has one."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if before is None and (others := tx.children(after.parent_uuid or "", after.type)):
            raise BadRequest(f"Virtual network({after.parent_uuid}) can have only one bridge domain. Bridge "
                             f"domain({others[0].uuid}) is already created under this virtual network")  # fmt: skip


def _inconsistent(name: str, value: object, access: int) -> BadRequest:
    return BadRequest(f"Inconsistent {name} ({value}) and global_access ({access})")


def _renumber(network: Object, number: int) -> None:
    network.properties["virtual_network_network_id"] = number


def _vxlan_id(network: Object | None) -> int | None:
    properties = (network.properties.get("virtual_network_properties") or {}) if network is not None else {}
    number = properties.get("vxlan_network_identifier")
    return int(number) if number else None


def _global_access(network: Object) -> int:
    return int((network.properties.get("perms2") or {}).get("global_access") or 0)
