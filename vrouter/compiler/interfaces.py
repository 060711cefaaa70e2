"""Which virtual-machine-interfaces stand on this node, and how."""

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

from vrouter.cache import Object
from vrouter.compiler.view import Absent, Local, Network, Result, Unusable, View
from vrouter.state import FAMILIES, Address, Family, HostAddress, Interface, Reason

# A workload without a gateway in its own subnet uses this one: link-local (RFC 3927, RFC 4291), so it is on nobody's
# network and cannot collide; the workload's default route is on-link and needs no gateway of its own subnet.
FALLBACK_GATEWAYS: Mapping[Family, Address] = {4: IPv4Address("169.254.1.1"), 6: IPv6Address("fe80::1")}

_WORKLOAD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def compile_interface(view: View, uuid: str) -> Result:
    """Local if its virtual-machine is referenced by this node's virtual-router, else Absent, with why."""
    found = view.get(uuid)
    if found is None:
        return Result()
    elsewhere = _elsewhere(view, found)
    if elsewhere is not None:
        return Result(elsewhere)
    try:
        local = _local(view, found)
    except Unusable as unusable:
        text = f"interface {found.name} {unusable.text}"
        reason = Reason((found.type, uuid), unusable.code, text)
        return Result(Absent(unusable.code, unusable.text, here=True), reasons=(reason,))
    return Result(local, (local.vrf, local.interface), age=found.created)


def _elsewhere(view: View, found: Object) -> Absent | None:
    machines = _machines(found)
    if not machines:
        return Absent("no-machine", "has no virtual-machine")
    routers = [view.name(router) for machine in machines for router in view.referrers(machine, "virtual-router")]
    if view.node in routers:
        return None
    if routers:
        return Absent("other-node", f"is on node {', '.join(sorted(routers))}")
    return Absent("no-node", f"belongs to virtual-machine {view.name(machines[0])}, which no virtual-router references")


def _machines(found: Object) -> list[str]:
    machines = found.targets("virtual-machine")
    if not machines and found.parent_type == "virtual-machine" and found.parent:
        machines = [found.parent]
    return machines


def _local(view: View, found: Object) -> Local:
    workload = view.name(_machines(found)[0])
    if not _WORKLOAD.fullmatch(workload) or workload in (".", ".."):
        raise Unusable("workload-name", f"belongs to virtual-machine {workload!r}, whose name cannot be a namespace's "
                       "([A-Za-z0-9_.-], at most 64)")  # fmt: skip
    networks = found.targets("virtual-network")
    network = view.network(networks[0]) if networks else None
    if network is None or network.vrf is None:
        raise Unusable("no-network", "is in no virtual-network with a network id")
    addresses = tuple(
        HostAddress(address, _gateway(network, address, subnet)) for address, subnet in _addresses(view, found)
    )
    interface = Interface(found.uuid, ":".join(found.fq_name), network.vrf.index, workload, _mac(found), addresses)
    return Local(interface, network.vrf, network.uuid)


def _addresses(view: View, found: Object) -> list[tuple[Address, str | None]]:
    """(address, uuid of its subnet) of the first usable instance-ip of each family, in the order of uuids, secondary
    ones last."""
    candidates = [holding for uuid in view.referrers(found.uuid, "instance-ip") if (holding := view.get(uuid))]
    candidates.sort(key=lambda holding: bool(holding.properties.get("instance_ip_secondary")))
    if not candidates:
        raise Unusable("no-instance-ip", "has no instance-ip")
    problem = Unusable("no-address", "has an instance-ip without address")
    chosen: dict[Family, tuple[Address, str | None]] = {}
    for holding in candidates:
        try:
            address = ip_address(holding.properties.get("instance_ip_address") or "")
        except ValueError:
            continue
        first = min(holding.targets("virtual-machine-interface"))
        if first != found.uuid:
            problem = Unusable("shared-address", f"shares the address {address} with interface {view.name(first)}; "
                               "only one interface may have an address for now")  # fmt: skip
            continue
        chosen.setdefault(address.version, (address, holding.properties.get("subnet_uuid")))
    if not chosen:
        raise problem
    return [chosen[family] for family in FAMILIES if family in chosen]


def _mac(found: Object) -> str:
    given = (found.properties.get("virtual_machine_interface_mac_addresses") or {}).get("mac_address") or [""]
    mac = str(given[0]).lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise Unusable("no-mac", f"has the MAC address {mac!r}, which is none" if mac else "has no MAC address")
    if int(mac[:2], 16) & 1:
        raise Unusable("no-mac", f"has the MAC address {mac}, which is a group's")
    return mac


def _gateway(network: Network, address: Address, subnet: str | None) -> Address:
    containing = [candidate for candidate in network.subnets if address in candidate.network]
    named = [candidate for candidate in containing if candidate.uuid == subnet]
    for candidate in named or containing:
        # the gateway's own address may be an interface's; it cannot be its own gateway
        if candidate.gateway is not None and candidate.gateway != address:
            return candidate.gateway
    return FALLBACK_GATEWAYS[address.version]
