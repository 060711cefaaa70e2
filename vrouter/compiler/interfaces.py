"""Which virtual-machine-interfaces stand on this node, and how, and which are reached on another.

An interface is where the virtual-router is that references its virtual-machine. While it moves, two may for a moment:
then it is on the first of them by name, as every node sees it, and says so.
"""

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address

from vrouter.addresses import parse
from vrouter.compiler.routes import clashes
from vrouter.compiler.view import Absent, Located, Mark, Network, Result, Router, Unusable, View, local
from vrouter.objects import Object
from vrouter.state import FAMILIES, Address, Family, HostAddress, Interface, Plug, Reason, Remote, Tunnel, Vrf

# A workload without a gateway in its own subnet uses this one: link-local (RFC 3927, RFC 4291), so it is on nobody's
# network and cannot collide; the workload's default route is on-link and needs no gateway of its own subnet.
FALLBACK_GATEWAYS: Mapping[Family, Address] = {4: IPv4Address("169.254.1.1"), 6: IPv6Address("fe80::1")}

_WORKLOAD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def compile_interface(view: View, uuid: str) -> Result:
    """Located if a virtual-router references its virtual-machine, or a port has its device here, and it is whole; else
    Absent, with why."""
    found = view.get(uuid)
    if found is None:
        return Result()
    result = _compile(view, found)
    value = result.value
    marks: set[Mark] = {(local(value.network), "")} if isinstance(value, Located) and value.here else set()
    reasons = dict.fromkeys(result.reasons)
    for mark, reason in clashes(view, found):
        marks.add(mark)
        reasons[reason] = None
    return result._replace(marks=frozenset(marks), reasons=tuple(reasons)) if marks else result


def _compile(view: View, found: Object) -> Result:
    machines, plug = machines_of(found), view.plug(found.uuid)
    if not machines and plug is None:
        return Result(Absent("no-machine", "has no virtual-machine"))
    routers = _routers(view, machines)
    if not routers and plug is None:
        text = f"belongs to virtual-machine {view.name(machines[0])}, which no virtual-router references"
        return Result(Absent("no-node", text))
    node = view.node if plug is not None else routers[0].name
    nodes = sorted({node, *(router.name for router in routers)})
    reasons = []
    if len(nodes) > 1:
        text = f"interface {found.name} is on several nodes: {', '.join(nodes)}; it counts as on {node}"
        reasons.append(Reason((found.type, found.uuid), "several-nodes", text))
    here = node == view.node
    try:
        located = _local(view, found, plug) if here else _remote(view, found, routers[0])
    except Unusable as unusable:
        absent = Absent(unusable.code, unusable.text, "here" if here else "elsewhere")
        if here:
            reasons.append(Reason((found.type, found.uuid), unusable.code, f"interface {found.name} {unusable.text}"))
        return Result(absent, reasons=tuple(reasons))
    if here:
        return Result(located, (located.vrf, located.interface), tuple(reasons), found.created)
    units = (located.interface,) if view.has_local(located.network) else ()
    return Result(located, units, tuple(reasons), found.created)


def _routers(view: View, machines: Sequence[str]) -> list[Router]:
    """The nodes that reference any of these, each once, by name."""
    uuids = {uuid for machine in machines for uuid in view.referrers(machine, "virtual-router")}
    found = [router for uuid in sorted(uuids) if (router := view.router(uuid)) is not None]
    named = {router.name: router for router in reversed(found)}
    return [named[name] for name in sorted(named)]


def machines_of(found: Object) -> list[str]:
    """uuids of an interface's virtual-machines."""
    machines = found.targets("virtual-machine")
    if not machines and found.parent_type == "virtual-machine" and found.parent:
        machines = [found.parent]
    return machines


def _local(view: View, found: Object, plug: Plug | None) -> Located:
    workload = _workload(view, found, plug)
    network, vrf = _network(view, found)
    addresses = tuple(
        HostAddress(address, _gateway(network, address, subnet)) for address, subnet in _addresses(view, found)
    )
    name, device = ":".join(found.fq_name), plug.device if plug else ""
    interface = Interface(found.uuid, name, vrf.index, workload, _mac(found), addresses, device)
    return Located(interface, vrf, network.uuid, view.node)


def _remote(view: View, found: Object, router: Router) -> Located:
    network, vrf = _network(view, found)
    away = f"is on node {router.name}"
    if router.address is None:
        raise Unusable("other-node", f"{away}, whose virtual-router has no virtual_router_ip_address")
    if vrf.vtep is None:
        raise Unusable("other-node", f"{away}, and this node's virtual-router has no virtual_router_ip_address")
    own = vrf.vtep.address
    if router.address.version != own.version:
        raise Unusable("other-node", f"{away}, whose address {router.address} is not of the family of this node's")
    if router.address == own:
        raise Unusable("other-node", f"{away}, whose virtual-router has this node's address {own}")
    addresses = tuple(address for address, _ in _addresses(view, found))
    remote = Remote(found.uuid, ":".join(found.fq_name), vrf.index, addresses, Tunnel(router.address))
    return Located(remote, vrf, network.uuid, router.name)


def _network(view: View, found: Object) -> tuple[Network, Vrf]:
    networks = found.targets("virtual-network")
    network = view.network(networks[0]) if networks else None
    if network is None or network.vrf is None:
        raise Unusable("no-network", "is in no virtual-network with a network id")
    return network, network.vrf


def _workload(view: View, found: Object, plug: Plug | None) -> str:
    """The virtual-machine's name; the uuid of one that a port has plugged, if no namespace could have its name."""
    name = next((view.name(machine) for machine in machines_of(found)), "")
    if _WORKLOAD.fullmatch(name) and name not in (".", ".."):
        return name
    if plug is not None:
        return plug.machine
    raise Unusable("workload-name", f"belongs to virtual-machine {name!r}, whose name cannot be a namespace's "
                   "([A-Za-z0-9_.-], at most 64)")  # fmt: skip


def _addresses(view: View, found: Object) -> list[tuple[Address, str | None]]:
    """(address, uuid of its subnet) of the first usable instance-ip of each family, in the order of uuids, secondary
    ones last."""
    candidates = [holding for uuid in view.referrers(found.uuid, "instance-ip") if (holding := view.get(uuid))]
    candidates.sort(key=lambda holding: bool(holding.get("instance_ip_secondary")))
    if not candidates:
        raise Unusable("no-instance-ip", "has no instance-ip")
    problem = Unusable("no-address", "has an instance-ip without address")
    chosen: dict[Family, tuple[Address, str | None]] = {}
    for holding in candidates:
        try:
            address = parse(holding.get("instance_ip_address") or "")
        except ValueError:
            continue
        first = min(holding.targets("virtual-machine-interface"))
        if first != found.uuid:
            problem = Unusable("shared-address", f"shares the address {address} with interface {view.name(first)}; "
                               "only one interface may have an address for now")  # fmt: skip
            continue
        chosen.setdefault(address.version, (address, holding.get("subnet_uuid")))
    if not chosen:
        raise problem
    return [chosen[family] for family in FAMILIES if family in chosen]


def _mac(found: Object) -> str:
    given = (found.get("virtual_machine_interface_mac_addresses") or {}).get("mac_address") or [""]
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
