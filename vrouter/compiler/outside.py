"""Addresses outside: floating-ips of an external network's pool, which this node's external interface reaches.

The external network has a VRF on each node that has something to serve: the address is a VIP there, and its members are
shown to it, guarded, as to any network that nothing joins to theirs. What they answer leaves their VRF by its exit.

A node serves with the members that it has, as in Contrail, where each vRouter with a member offers the address: so the
client's address is kept, and an answer never has to find another node. One of these nodes, the first by name, tells the
outside's network that it has the address; a router may lead to all of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from vrouter.compiler.view import Absent, Located, Mark, Result, View, shown, uplink
from vrouter.objects import Object
from vrouter.state import Address, Egress, Exit, Join, Outside, Reason, Unit, Uplink, Vrf


@dataclass(frozen=True, slots=True)
class Floating:
    """A floating-ip of a pool. network: uuid of the pool's."""

    found: Object
    address: Address
    network: str

    def reason(self, code: str, text: str) -> Reason:
        return Reason((self.found.type, self.found.uuid), code, f"floating-ip {self.found.name}: {text}")


def floating(view: View, interfaces: Sequence[str]) -> Iterator[Floating]:
    """Those of these interfaces."""
    for interface in interfaces:
        for uuid in view.referrers(interface, "floating-ip"):
            found = view.get(uuid)
            one = of_pool(view, found) if found else None
            if one is not None:
                yield one


def of_pool(view: View, found: Object) -> Floating | None:
    """None for one that is no pool's, or has no address."""
    pool = view.get(found.parent) if found.parent_type == "floating-ip-pool" else None
    try:
        address = ip_address(found.get("floating_ip_address") or "")
    except ValueError:
        return None
    return Floating(found, address, pool.parent) if pool is not None and pool.parent is not None else None


def external(view: View, one: Floating, reasons: list[Reason]) -> tuple[Vrf, str] | None:
    """The external network's VRF, and the device of this node by which the outside is reached; or a reason."""
    network = view.network(one.network)
    if network is None or network.vrf is None:
        reasons.append(one.reason("no-network", "its pool is in no virtual-network with a network id"))
    elif not network.external:
        text = f"network {network.name} is not external (router_external), so nothing outside reaches {one.address}"
        reasons.append(one.reason("not-external", text))
    elif view.external is None:
        text = f"this node has no external interface, so {one.address} is not reached from outside by it"
        reasons.append(one.reason("no-external-interface", text))
    else:
        return network.vrf, view.external
    return None


def compile_pod(view: View, one: Floating, interface: str, reasons: list[Reason]) -> Result:
    """A pod's own address outside, in both directions."""
    located = view.interface(interface)
    if isinstance(located, Absent):
        if located.where != "elsewhere":
            reasons.append(one.reason(located.code, f"interface {view.name(interface)} {located.text}"))
        return Result(reasons=tuple(reasons))
    inside = located.interface.address_of(one.address.version)
    if inside is None:
        text = f"interface {view.name(interface)} has no IPv{one.address.version} address"
        reasons.append(one.reason("no-family", text))
    if one.found.get("floating_ip_port_mappings_enable"):
        reasons.append(one.reason("port-mappings", "port mappings are of VIPs only; all ports are translated"))
    way = external(view, one, reasons) if located.here and inside is not None else None
    if way is None or inside is None:
        return Result(reasons=tuple(reasons))
    vrf, device = way
    home = located.vrf.index
    units = [
        *ways(vrf, device, [located], one), Egress(home, inside),
        Outside(vrf.index, one.address, located.interface.name, announced=True, inside=inside, home=home),
    ]  # fmt: skip
    return Result(None, tuple(units), tuple(reasons), one.found.created, frozenset(marks(one.network, [located])))


def announced(members: Sequence[Located], here: str) -> bool:
    """Whether this node tells of an address that these members answer for."""
    return min(located.node for located in members) == here


def answers_elsewhere(units: Iterable[Unit], others: Iterable[Unit]) -> bool:
    """Whether these would need another way out of a VRF than the others have."""
    exits = {other.key: other for other in others if isinstance(other, Exit)}
    return any(isinstance(unit, Exit) and exits.get(unit.key, unit) != unit for unit in units)


def ways(vrf: Vrf, device: str, members: Sequence[Located], one: Floating) -> Iterator[Unit]:
    """What leads from outside to the external VRF, and from the members' VRFs back. members: of all nodes."""
    yield vrf
    yield Uplink(vrf.index, device)
    yield Exit(vrf.index, one.address.version, None)
    for other in sorted({located.vrf.index for located in members if located.here}):
        yield Join.between(vrf.index, other)
        yield Exit(other, one.address.version, vrf.index)


def marks(network: str, members: Sequence[Located]) -> Iterator[Mark]:
    """The members of this node are shown to the external network, whose VRF has an uplink."""
    yield uplink(network), ""
    for located in members:
        if located.here:
            yield shown(located.interface.uuid), network
