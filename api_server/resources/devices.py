"""physical-router and its interfaces, fabric: what is seen without a device manager (contract 5.11)."""

import re
from typing import Any

from api_server.errors import BadRequest, Forbidden
from api_server.resources.hooks import Hook
from api_server.resources.interfaces import VLAN_TAGS
from api_server.store.objects import Object
from api_server.store.transaction import Transaction

PHYSICAL, LOGICAL = "physical-interface", "logical-interface"
MACHINES = "virtual-machine-interface"

SEGMENT = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){9}")
"""An Ethernet segment identifier (RFC 7432)."""

QFX_RESERVED = (1, 2, 4094)
"""VLAN tags that a QFX switch has no layer 2 interface for."""


class PhysicalRouter(Hook):
    """A new one is not on its way out or back, and has one way of telemetry."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        state = after.properties.get("physical_router_managed_state")
        if before is None and state in ("rma", "activating"):
            raise BadRequest(f"Managed state cannot be {state} for router {list(after.fq_name)}")
        profiles = after.references.get("telemetry_profile_refs", [])
        if len(profiles) > 1:
            raise BadRequest(f"Physical router {list(after.fq_name)} has more than one telemetry profile refs "
                             f"{[list(profile.fq_name) for profile in profiles]}")  # fmt: skip


class PhysicalInterface(Hook):
    """Has a name of its own on its router; a server's access interface is configured otherwise than a fabric's."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        check_name(tx, before, after)
        segment = after.properties.get("ethernet_segment_identifier")
        if segment and not SEGMENT.fullmatch(segment):
            raise BadRequest("Invalid ESI string format")
        kind, was = (one.properties.get("physical_interface_type") if one is not None else None
                     for one in (after, before))  # fmt: skip
        if was and kind and kind != was:
            raise BadRequest(f"Cannot set physical interface type: {kind} on already existing {was} type interface")
        mtu = (after.properties.get("physical_interface_port_params") or {}).get("port_mtu")
        if kind == "access":
            if mtu or after.properties.get("physical_interface_flow_control"):
                raise BadRequest("Cannot set mtu or flow_control on access type interfaces")
        elif after.properties.get("physical_interface_lacp_force_up"):
            raise BadRequest("Cannot set LACP Force-Up on an interface that is not of the access type")
        if before is not None and segment and segment != before.properties.get("ethernet_segment_identifier"):
            self._check_segment(tx, after, segment)

    @staticmethod
    def _check_segment(tx: Transaction, after: Object, segment: str) -> None:
        """The same machines are behind all interfaces of an Ethernet segment that bear the same VLAN tag."""
        own = {vlan_tag(one): set(one.targets(MACHINES)) for one in tx.children(after.uuid, LOGICAL)}
        for peer in segment_peers(tx, segment, after) if own else ():
            machines = set(peer.targets(MACHINES))
            if machines and own.get(vlan_tag(peer)) != machines:
                raise Forbidden("LI associated with the PI should have the same VMIs as LIs (associated with the PIs) "
                                "of the same ESI family")  # fmt: skip


class LogicalInterface(Hook):
    """One for each VLAN tag of a physical interface."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        tag = vlan_tag(after)
        if (tag or 0) not in VLAN_TAGS:
            raise Forbidden("Invalid Vlan id")
        check_name(tx, before, after)
        if before is not None and None not in (tag, was := vlan_tag(before)) and tag != was:
            raise Forbidden("Cannot change Vlan id")
        self._check_tag(tx, after, tag or 0)
        if after.targets(MACHINES) and (before is None or before.targets(MACHINES) != after.targets(MACHINES)):
            self._check_segment(tx, after)

    @staticmethod
    def _check_segment(tx: Transaction, after: Object) -> None:
        parent = tx.get(after.parent_uuid or "") if after.parent_type == PHYSICAL else None
        segment = parent.properties.get("ethernet_segment_identifier") if parent is not None else None
        for peer in segment_peers(tx, segment, after) if segment else ():
            if vlan_tag(peer) == vlan_tag(after) and set(peer.targets(MACHINES)) != set(after.targets(MACHINES)):
                raise Forbidden("LI should refer to the same set of VMIs as peer LIs belonging to the same ESI")

    @staticmethod
    def _check_tag(tx: Transaction, after: Object, tag: int) -> None:
        kind = after.properties.get("logical_interface_type")
        router = tx.named("physical-router", after.fq_name[:2])
        product = str(router.properties.get("physical_router_product_name") or "") if router is not None else ""
        if kind == "l2" and tag in QFX_RESERVED and product.lower().startswith("qfx"):
            reserved = ", ".join(map(str, QFX_RESERVED))
            raise BadRequest(f"Vlan ids {reserved} are not allowed on QFX logical interface type: {kind}")
        for other in tx.children(after.parent_uuid or "", LOGICAL) if after.parent_type == PHYSICAL else ():
            if other.uuid != after.uuid and vlan_tag(other) == tag:
                raise Forbidden(f"Vlan tag  {tag}  already used in another interface : {other.uuid}")


class Fabric(Hook):
    """Built for a service provider or for an enterprise, once and for all."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        was, now = (one.properties.get("fabric_enterprise_style") if one is not None else None
                    for one in (before, after))  # fmt: skip
        if None not in (was, now) and was != now:
            raise Forbidden("Cannot change from sp-style to enterprise-style or vice-versa")


def vlan_tag(interface: Object) -> int | None:
    tag: Any = interface.properties.get("logical_interface_vlan_tag")
    return None if tag is None else int(tag)


def check_name(tx: Transaction, before: Object | None, after: Object) -> None:
    """An interface's display name is what the device calls it: it stays, and no physical interface of the router has
    it already."""
    name = after.properties.get("display_name")
    if before is not None:
        if name != before.properties.get("display_name"):
            raise Forbidden("Cannot change display name !")
        return
    router = tx.find("physical-router", after.fq_name[:2])
    for other in tx.children(router, PHYSICAL) if router is not None else ():
        if other.uuid != after.uuid and other.properties.get("display_name") == name:
            raise Forbidden(f"Display name already used in another interface: {other.uuid}")


def segment_peers(tx: Transaction, segment: str, interface: Object) -> list[Object]:
    """The logical interfaces of an Ethernet segment, but for one and, if that is physical, those on it."""
    return [
        peer
        for physical in tx.holding(PHYSICAL, f'"{segment}"')
        if physical.uuid != interface.uuid and physical.properties.get("ethernet_segment_identifier") == segment
        for peer in tx.children(physical.uuid, LOGICAL)
        if peer.uuid != interface.uuid
    ]
