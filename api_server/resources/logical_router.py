"""logical-router: what its interfaces and networks must not be, and the network in which it routes over VXLAN
(contract 5.11)."""

from collections.abc import Iterable
from typing import Any

from api_server.errors import BadRequest, Conflict
from api_server.resources import vpns
from api_server.resources.hooks import Hook
from api_server.resources.numerals import decimal
from api_server.resources.routing import check_route_targets
from api_server.store.objects import Change, Create, Delete, Object, Reference, Update
from api_server.store.transaction import Transaction
from schema.quoting import quote

SNAT, VXLAN = "snat-routing", "vxlan-routing"
LARGEST_VXLAN_ID = 2**24 - 1
NETWORKS = "virtual_network_refs"
INTERNAL = {"logical_router_virtual_network_type": "InternalVirtualNetwork"}
"""The attr of the reference to the router's own network."""


class LogicalRouter(Hook):
    """A router over VXLAN has a network of its own, hidden, that bears its VXLAN identifier and route targets. It comes
    and goes with the router."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        self._kind(before, after)
        if after.properties.get("vxlan_network_identifier") in ("None", ""):
            del after.properties["vxlan_network_identifier"]  # as Contrail's own UI says that there is none
        _vxlan_id(after)
        own = _own_network(before)
        if own is not None and _own_network(after) is None:
            after.references[NETWORKS] = [*after.references.get(NETWORKS, ()), own]
        check_route_targets(tx, before, after)
        self._interfaces(tx, before, after)
        vpns.check_router(tx, before, after)

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        if after is None:
            own = _own_network(before)
            network = tx.get(own.uuid) if own is not None else None
            if network is not None:
                yield Delete(network)
        elif before is None:
            if after.properties["logical_router_type"] == VXLAN:
                yield from self._make_network(tx, after)
        else:
            yield from self._change_network(tx, before, after)

    def settle(self, tx: Transaction, object: Object) -> Iterable[Change]:
        if object.properties.get("logical_router_type") == VXLAN and _own_network(object) is None:
            yield from self._make_network(tx, object)

    @staticmethod
    def _kind(before: Object | None, after: Object) -> None:
        was = before.properties.get("logical_router_type") if before is not None else None
        kind = after.properties.setdefault("logical_router_type", was or SNAT)
        if was is not None and kind != was:
            raise BadRequest("Cannot update logical_router_type for a Logical Router")

    @staticmethod
    def _interfaces(tx: Transaction, before: Object | None, after: Object) -> None:
        """None of them is a machine's, nor in a network that is the router's gateway."""
        named = after.targets("virtual-machine-interface"), after.targets("virtual-network")
        if before is not None and named == (
            before.targets("virtual-machine-interface"), before.targets("virtual-network")
        ):  # fmt: skip
            return
        for interface in tx.get_many(named[0]):
            for network in interface.targets("virtual-network"):
                if network in named[1]:
                    raise BadRequest(f"Logical router interface and gateway cannot be in VN({network})")
            machines = interface.targets("virtual-machine")
            if interface.parent_type == "virtual-machine":
                machines = [interface.parent_uuid or "", *machines]
            if machines:
                raise Conflict(f"Port({interface.uuid}) already in use by virtual-machine({machines[0]})")

    @staticmethod
    def _make_network(tx: Transaction, router: Object) -> Iterable[Change]:
        network = Object(
            "virtual-network", tx.new_uuid(), (*router.fq_name[:-1], f"__contrail_lr_internal_vn_{router.uuid}__"),
            router.parent_type, router.parent_uuid,
            {
                "id_perms": {"user_visible": False}, "display_name": f"LR::{router.fq_name[-1]}",
                "virtual_network_properties": _network_properties(router, {"forwarding_mode": "l3"}),
            },
        )  # fmt: skip
        targets = router.properties.get("configured_route_target_list")
        if targets and targets["route_target"]:
            network.properties["route_target_list"] = targets
        yield Create(network)
        linked = router.copy()
        own = Reference(network.type, network.uuid, network.fq_name, dict(INTERNAL))
        linked.references[NETWORKS] = [*router.references.get(NETWORKS, ()), own]
        yield Update(router, linked)

    @staticmethod
    def _change_network(tx: Transaction, before: Object, after: Object) -> Iterable[Change]:
        own = _own_network(after)
        fields = ("vxlan_network_identifier", "configured_route_target_list")
        if own is None or all(before.properties.get(field) == after.properties.get(field) for field in fields):
            return
        network = tx.get(own.uuid)
        assert network is not None
        changed = network.copy()
        properties = network.properties.get("virtual_network_properties") or {}
        changed.properties["virtual_network_properties"] = _network_properties(after, properties)
        changed.properties.pop("route_target_list", None)
        if targets := after.properties.get("configured_route_target_list"):
            changed.properties["route_target_list"] = targets
        yield Update(network, changed)


def _own_network(router: Object | None) -> Reference | None:
    networks = router.references.get(NETWORKS, ()) if router is not None else ()
    return next((network for network in networks if network.attr == INTERNAL), None)


def _network_properties(router: Object, properties: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in properties.items() if name != "vxlan_network_identifier"}
    number = _vxlan_id(router)
    return kept if number is None else kept | {"vxlan_network_identifier": number}


def _vxlan_id(router: Object) -> int | None:
    """A text, but a number."""
    text = router.properties.get("vxlan_network_identifier")
    if text is None:
        return None
    number = decimal(text, LARGEST_VXLAN_ID)
    if not number:
        raise BadRequest(
            f"vxlan_network_identifier must be a number between 1 and {LARGEST_VXLAN_ID}, not {quote(text)}"
        )
    return number
