"""bgpvpn: what networks and routers must be for a VPN of the provider, and that only one of two that are joined is in
one (contract 5.11)."""

from api_server.errors import BadRequest
from api_server.store.objects import Object
from api_server.store.transaction import Transaction

VPN = "bgpvpn"
INTERFACE = "virtual-machine-interface"
ROUTER_INTERFACE = "network:router_interface"
"""Neutron's word for the device that owns a router's interface."""


def check_network(tx: Transaction, before: Object | None, after: Object) -> None:
    """A network that forwards on one layer only is in VPNs of that layer; none while a router of it is in one."""
    vpns = after.targets(VPN)
    mode = (after.properties.get("virtual_network_properties") or {}).get("forwarding_mode") or "l2_l3"
    for vpn in tx.get_many(vpns) if mode != "l2_l3" else ():
        if _kind(vpn) != mode:
            raise BadRequest(
                f"Cannot associate bgpvpn type '{_kind(vpn)}' with a virtual network in forwarding mode '{mode}'"
            )
    if not vpns or before is None or vpns == before.targets(VPN):
        return
    for interface in tx.referrers(after.uuid, INTERFACE):
        if interface.properties.get("virtual_machine_interface_device_owner") == ROUTER_INTERFACE:
            for router in tx.referrers(interface.uuid, "logical-router"):
                if router.targets(VPN):
                    raise BadRequest(f"Network {after.fq_name[-1]} ({after.uuid}) is linked to a logical router which "
                                     f"is associated to bgpvpn(s): {_names(router)}")  # fmt: skip


def check_router(tx: Transaction, before: Object | None, after: Object) -> None:
    """A router is in VPNs of layer 3; in none while a network of its interfaces is in one."""
    vpns, interfaces = after.targets(VPN), after.targets(INTERFACE)
    if not vpns or (before is not None and (vpns, interfaces) == (before.targets(VPN), before.targets(INTERFACE))):
        return
    for vpn in tx.get_many(vpns):
        if _kind(vpn) != "l3":
            raise BadRequest("Only bgpvpn type 'l3' can be associated to a logical router: "
                             f"{':'.join(vpn.fq_name)} is {_kind(vpn)}")  # fmt: skip
    networks = [uuid for interface in tx.get_many(interfaces) for uuid in interface.targets("virtual-network")]
    for network in tx.get_many(networks):
        if network.targets(VPN):
            raise BadRequest(f"Router {after.fq_name[-1]} ({after.uuid}) is linked to virtual network(s) which is/are "
                             f"associated to bgpvpn(s): {_names(network)}")  # fmt: skip


def _kind(vpn: Object) -> str:
    return str(vpn.properties.get("bgpvpn_type") or "l3")


def _names(member: Object) -> str:
    """A network or router, and its VPNs."""
    vpns = ", ".join(":".join(vpn.fq_name) for vpn in member.references["bgpvpn_refs"])
    return f"{vpns} associated to {member.fq_name[-1]} ({member.uuid})"
