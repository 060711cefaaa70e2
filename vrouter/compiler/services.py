"""Services: which VIPs stand in which VRF, with which listeners and back-ends.

Two graphs meet here. The floating-ip below a VIP's instance-ip says which interfaces may answer for the VIP; whoever
made it, the server's native driver or somebody's own svc-monitor, is all the same. The loadbalancer tree narrows that
per listener: members, ports, weights, admin state. Without a tree the floating-ip's port mappings stand for
listeners.

A VIP with listeners but without usable back-end stands all the same: its connections are refused at once and not left
to time out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from vrouter.addresses import parse
from vrouter.compiler import outside
from vrouter.compiler.balancing import affinity, limit
from vrouter.compiler.members import Backend, backends, canonical, is_up, port_of
from vrouter.compiler.view import Absent, Mark, Result, Unusable, View, clash, shown
from vrouter.objects import Object
from vrouter.state import Address, Interface, Listener, Member, Outside, Protocol, Reason, Remote, Unit, Vip

# What is balanced is connections; that they carry HTTP or TLS makes no difference to a router.
_PROTOCOLS: Mapping[str, Protocol] = {
    "TCP": "tcp", "UDP": "udp", "HTTP": "tcp", "HTTPS": "tcp", "TERMINATED_HTTPS": "tcp",
}  # fmt: skip


class Place(NamedTuple):
    """Where a VIP is. linked: uuids of the interfaces that may answer for it."""

    address: Address
    network: str
    linked: frozenset[str]


class Service(NamedTuple):
    """A listener's (protocol, port) with back-ends from any VRF. listener: its uuid, None for a port mapping. affinity,
    limit: as in `Listener`."""

    protocol: Protocol
    port: int
    backends: tuple[Backend, ...]
    listener: str | None = None
    affinity: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Examined:
    """What a loadbalancer tree comes to, before any VRF. places: of its VIPs, at most one of each family; empty if it
    has none; a reason says why."""

    places: Sequence[Place]
    services: Sequence[Service]
    reasons: list[Reason]


def examine(view: View, found: Object) -> Examined:
    """Walk the tree of a loadbalancer."""
    reasons: list[Reason] = []
    places: Sequence[Place] = ()
    blocked = None
    try:
        places = _places(view, found)
    except Unusable as unusable:
        blocked = f"loadbalancer {found.name} {unusable.text}"
        reasons.append(Reason((found.type, found.uuid), unusable.code, blocked))
    if not is_up(found, "loadbalancer_properties"):
        down = f"admin_state of loadbalancer {found.name} is down"
        blocked = blocked or down
        reasons.append(Reason((found.type, found.uuid), "admin-down", f"{down}: every connection is refused"))
    services = list(_listeners(view, found, places, blocked, reasons))
    if places and not services:
        reasons.append(Reason((found.type, found.uuid), "no-listener", f"loadbalancer {found.name} has no listener"))
    return Examined(places, services, reasons)


def compile_loadbalancer(view: View, uuid: str) -> Result:
    found = view.get(uuid)
    if found is None:
        return Result()
    examined = examine(view, found)
    reasons = examined.reasons
    if not examined.places or not examined.services:
        return Result(reasons=tuple(reasons))
    outer = list(outside.floating(view, found.targets("virtual-machine-interface")))
    places = [*examined.places, *_insides(examined.places, outer)]
    units: list[Unit] = list(_vips(view, found, places, examined.services, reasons))
    marks = set(_showings(view, examined.places, examined.services))
    for one in outer:
        served, noted = _serve_outside(view, found, examined, one, reasons)
        if outside.answers_elsewhere(served, units):
            text = f"its members answer by another external network already, so {one.address} is not served"
            reasons.append(one.reason("exit-taken", text))
            continue
        units += served
        marks.update(noted)
    return Result(units=tuple(units), reasons=tuple(reasons), age=found.created, marks=frozenset(marks))


def _insides(places: Sequence[Place], outer: Sequence[outside.Floating]) -> Iterator[Place]:
    """Who reaches the VIP reaches its addresses outside as well, without going out."""
    for one in outer:
        yield from (
            place._replace(address=one.address) for place in places if place.address.version == one.address.version
        )


def _serve_outside(
    view: View, found: Object, examined: Examined, one: outside.Floating, reasons: list[Reason]
) -> tuple[list[Unit], Iterable[Mark]]:
    """An address outside, where this node has members."""
    way = outside.external(view, one, reasons)
    place = next((place for place in examined.places if place.address.version == one.address.version), None)
    if place is None:
        text = f"the VIP has no IPv{one.address.version} address, so nothing answers for {one.address}"
        reasons.append(one.reason("no-family", text))
    if way is None or place is None:
        return [], ()
    reach = view.reach(place.network)
    usable = [each.located for each in _each_backend(examined.services) if any(_members(place, [each], reach))]
    if not any(located.here for located in usable):
        return [], ()  # other nodes serve it
    here = [
        service._replace(backends=tuple(each for each in service.backends if each.located.here))
        for service in examined.services
    ]
    vrf, device = way
    name = ":".join(found.fq_name)
    units: list[Unit] = [*outside.ways(vrf, device, usable, one)]
    units.append(Outside(vrf.index, one.address, name, outside.announced(usable, view.node)))
    units.append(Vip(vrf.index, one.address, name, _listeners_of(place, here, reach)))
    return units, outside.marks(one.network, usable)


def compile_floating_ip(view: View, uuid: str) -> Result:
    """A VIP that only a floating-ip tells of; nothing where a loadbalancer has the same interface."""
    found = view.get(uuid)
    if found is None:
        return Result()
    reasons: list[Reason] = []
    if found.parent_type != "instance-ip":
        return _compile_floating(view, found)
    holding = view.get(found.parent)
    if holding is None:
        return Result()
    owners = [view.referrers(interface, "loadbalancer") for interface in holding.targets("virtual-machine-interface")]
    if any(owners):
        return Result()
    services = list(_mappings(view, found, reasons))
    if not services:
        return Result(reasons=tuple(reasons))
    try:
        address, network = _address(found.get("floating_ip_address")), _network(holding)
    except Unusable as unusable:
        text = f"floating-ip {found.name} {unusable.text}"
        return Result(reasons=(*reasons, Reason((found.type, uuid), unusable.code, text)))
    place = Place(address, network, frozenset(found.targets("virtual-machine-interface")))
    vips = tuple(_vips(view, found, [place], services, reasons))
    marks = frozenset(_showings(view, [place], services))
    return Result(units=vips, reasons=tuple(reasons), age=found.created, marks=marks)


def _compile_floating(view: View, found: Object) -> Result:
    """Of a pool. One of a load balancer is the load balancer's affair."""
    one, interfaces = outside.of_pool(view, found), found.targets("virtual-machine-interface")
    if one is None or not interfaces or any(view.referrers(interface, "loadbalancer") for interface in interfaces):
        return Result()
    if len(interfaces) > 1:
        return Result(reasons=(one.reason("several-interfaces", "it is of several interfaces and no load balancer"),))
    return outside.compile_pod(view, one, interfaces[0], [])


def compile_listener(view: View, uuid: str) -> Result:
    """A listener makes units through its loadbalancer; alone it has a reason, and so have its members."""
    return Result(reasons=tuple(_orphan(view, uuid, "loadbalancer")))


def compile_pool(view: View, uuid: str) -> Result:
    return Result(reasons=tuple(_orphan(view, uuid, "loadbalancer-listener")))


def _orphan(view: View, uuid: str, kind: str) -> Iterator[Reason]:
    found = view.get(uuid)
    if found is None or any(view.get(target) for target in found.targets(kind)):
        return
    text = f"{found.type.removeprefix('loadbalancer-')} {found.name} has no {kind.removeprefix('loadbalancer-')}"
    yield Reason((found.type, uuid), "orphan", text)
    uuids = [uuid] if found.type == "loadbalancer-pool" else view.referrers(uuid, "loadbalancer-pool")
    blocked: list[Reason] = []
    pools = [pool for one in uuids if (pool := view.get(one))]
    list(backends(view, pools, {}, text, blocked, asked=False))
    yield from blocked


def _places(view: View, found: Object) -> list[Place]:
    """The VIP is the instance-ip with the `vip_address`; else the first by uuid, as for the native driver. The first of
    the other family is a second one."""
    interfaces = found.targets("virtual-machine-interface")
    if not interfaces:
        raise Unusable("no-interface", "has no virtual-machine-interface, so it has no VIP")
    uuids = sorted({uuid for interface in interfaces for uuid in view.referrers(interface, "instance-ip")})
    holdings = [one for uuid in uuids if (one := view.get(uuid)) and one.get("instance_ip_address")]
    if not holdings:
        name = view.name(interfaces[0])
        raise Unusable("no-instance-ip", f"has no VIP: its interface {name} has no instance-ip with an address")
    wanted = canonical((found.get("loadbalancer_properties") or {}).get("vip_address"))
    exact = [one for one in holdings if canonical(one.get("instance_ip_address")) == wanted]
    chosen: dict[int, tuple[Address, Object]] = {}
    for holding in [*exact, *holdings]:
        address = _address(holding.get("instance_ip_address"))
        chosen.setdefault(address.version, (address, holding))
    provider = found.get("loadbalancer_provider")
    places = []
    for address, holding in chosen.values():
        floating = view.children(holding.uuid, "floating-ip")
        floating = [one for one in floating if canonical(one.get("floating_ip_address")) == str(address)]
        if provider == "native" or floating:
            linked = frozenset(uuid for one in floating for uuid in one.targets("virtual-machine-interface"))
            places.append(Place(address, _network(holding), linked))
    if not places:
        raise Unusable("provider", f"has the provider {provider or 'none'}; only native ones are forwarded here")
    return places


def _address(text: Any) -> Address:
    try:
        return parse(text or "")
    except ValueError:
        raise Unusable("no-address", "has a VIP without address") from None


def _network(holding: Object) -> str:
    networks = holding.targets("virtual-network")
    if not networks:
        raise Unusable("no-network", f"has its VIP in no virtual-network (instance-ip {holding.name})")
    return networks[0]


def _listeners(
    view: View, found: Object, places: Sequence[Place], blocked: str | None, reasons: list[Reason]
) -> Iterator[Service]:
    linked = {place.address.version: place.linked for place in places}
    asked = any(view.has_local(network) for place in places for network in view.reach(place.network))
    taken: dict[tuple[Protocol, int], str] = {}
    for uuid in view.referrers(found.uuid, "loadbalancer-listener"):
        listener = view.get(uuid)
        if listener is None:
            continue
        why = blocked
        key: tuple[Protocol, int] | None = None
        try:
            key = _endpoint(listener)
            if key in taken:
                raise Unusable("duplicate", f"has the protocol and port of listener {taken[key]}")
            taken[key] = listener.name
        except Unusable as unusable:
            text = f"listener {listener.name} {unusable.text}"
            reasons.append(Reason((listener.type, uuid), unusable.code, text))
            key, why = None, why or text
        if not is_up(listener, "loadbalancer_listener_properties"):
            down = f"admin_state of listener {listener.name} is down"
            reasons.append(Reason((listener.type, uuid), "admin-down", f"{down}: its connections are refused"))
            why = why or down
        pools = [pool for pool_uuid in view.referrers(uuid, "loadbalancer-pool") if (pool := view.get(pool_uuid))]
        usable = tuple(backends(view, pools, linked, why, reasons, asked=asked))
        if key is not None:
            if not pools:
                reasons.append(Reason((listener.type, uuid), "no-pool", f"listener {listener.name} has no pool"))
            yield Service(*key, usable, uuid, affinity(pools, reasons), limit(listener))


def _endpoint(listener: Object) -> tuple[Protocol, int]:
    properties = listener.get("loadbalancer_listener_properties") or {}
    named = properties.get("protocol")
    protocol = _PROTOCOLS.get(str(named).upper())
    if protocol is None:
        raise Unusable("protocol", f"has the protocol {named}, which is not supported" if named else "has no protocol")
    return protocol, port_of(properties.get("protocol_port"), "protocol_port")


def _mappings(view: View, found: Object, reasons: list[Reason]) -> Iterator[Service]:
    subject = (found.type, found.uuid)
    uuids = found.targets("virtual-machine-interface")
    if not uuids:
        return
    if not found.get("floating_ip_port_mappings_enable"):
        text = f"floating-ip {found.name} has no loadbalancer and no port mappings enabled: no port of it is known"
        reasons.append(Reason(subject, "no-listener", text))
        return
    entries = (found.get("floating_ip_port_mappings") or {}).get("port_mappings") or ()
    seen: set[tuple[Protocol, int]] = set()
    for entry in entries:
        protocol = _PROTOCOLS.get(str(entry.get("protocol")).upper())
        try:
            if protocol is None:
                raise Unusable("protocol", f"has the protocol {entry.get('protocol')}, which is not supported")
            port, target = port_of(entry.get("src_port"), "src_port"), port_of(entry.get("dst_port"), "dst_port")
            if (protocol, port) in seen:
                raise Unusable("duplicate", f"repeats {protocol} port {port}")
        except Unusable as unusable:
            text = f"a port mapping of floating-ip {found.name} {unusable.text}"
            reasons.append(Reason(subject, unusable.code, text))
            continue
        seen.add((protocol, port))
        yield Service(protocol, port, tuple(_answering(view, found, uuids, target)))
    for uuid in uuids:
        interface = view.interface(uuid)
        if isinstance(interface, Absent):
            text = f"floating-ip {found.name}: interface {view.name(uuid)} {interface.text}"
            reasons.append(Reason(subject, interface.code, text))


def _answering(view: View, found: Object, uuids: Sequence[str], target: int) -> Iterator[Backend]:
    for uuid in uuids:
        interface = view.interface(uuid)
        if not isinstance(interface, Absent):
            yield Backend(found, interface, target, 1)


def _vips(
    view: View, found: Object, places: Sequence[Place], services: Sequence[Service], reasons: list[Reason]
) -> Iterator[Vip]:
    """The VIPs in each VRF of this node from which they may be reached."""
    several: list[Reason] = []
    for place in places:
        yield from _vips_of(view, found, place, services, several)
    reasons += dict.fromkeys(several)  # what holds for both families is said once


def _vips_of(
    view: View, found: Object, place: Place, services: Sequence[Service], reasons: list[Reason]
) -> Iterator[Vip]:
    reach = view.reach(place.network)
    vrfs = {
        uuid: network.vrf
        for uuid in reach
        if view.has_local(uuid) and (network := view.network(uuid)) is not None and network.vrf is not None
    }
    if not vrfs:
        text = f"{found.type} {found.name}: no interface of this node is in a VRF from which its VIP may be reached"
        reasons.append(Reason((found.type, found.uuid), "no-local-vrf", text))
    listeners = _listeners_of(place, services, reach)
    if sum(len(one.members) for one in listeners) < sum(len(one.backends) for one in services):
        reasons += _unjoined(view, place, services, reach)
        reasons += _without(place, services)
    for _, vrf in sorted(vrfs.items()):
        yield Vip(vrf.index, place.address, ":".join(found.fq_name), listeners)


def _unjoined(view: View, place: Place, services: Sequence[Service], reach: Sequence[str]) -> Iterator[Reason]:
    """Why a back-end in a VRF that the VIP's does not know does not answer for it."""
    for backend in _each_backend(services):
        if backend.located.network not in reach:
            network = view.network(place.network)
            service = network.name if network else place.network
            here = f"{backend.label}: interface {backend.located.interface.name} is in VRF {backend.located.vrf.name}"
            if view.is_marked(clash(place.network, backend.located.network)):
                text = f"{here}, which is not joined with the VIP's network {service}, for an address clashes"
                yield Reason(backend.subject, "address-clash", text)
                continue
            text = f"{here}, to which no network-policy joins the VIP's network {service}"
            yield Reason(backend.subject, "not-joined", text)


def _without(place: Place, services: Sequence[Service]) -> Iterator[Reason]:
    """Why a back-end that answers for a VIP of one family does not for that of the other."""
    for backend in _each_backend(services):
        interface = backend.located.interface
        if interface.address_of(place.address.version) is None:
            text = f"{backend.label}: interface {_short(interface)} has no IPv{place.address.version} address"
            yield Reason(backend.subject, "no-family", f"{text}, so it does not answer for VIP {place.address}")
        elif interface.uuid not in place.linked:
            text = (
                f"{backend.label}: interface {_short(interface)} is referenced by no floating-ip of VIP {place.address}"
            )
            yield Reason(backend.subject, "not-linked", text)


def _each_backend(services: Sequence[Service]) -> Iterator[Backend]:
    """Those of a pool of several listeners come once for each."""
    return chain.from_iterable(service.backends for service in services)


def _short(interface: Interface | Remote) -> str:
    return interface.name.rpartition(":")[2]


def _listeners_of(place: Place, services: Sequence[Service], reach: Sequence[str]) -> tuple[Listener, ...]:
    return tuple(sorted(
        Listener(
            service.protocol, service.port, tuple(sorted(_members(place, service.backends, reach))), service.affinity,
            service.limit,
        )
        for service in services
    ))  # fmt: skip


def _members(place: Place, backends: Iterable[Backend], reach: Sequence[str]) -> Iterator[Member]:
    """Those of the VIP's family, in the networks from which it may be reached."""
    family, linked = place.address.version, place.linked
    for _, located, port, weight in backends:
        interface = located.interface
        uuid, address = interface.uuid, interface.address_of(family)
        if address is not None and located.network in reach and uuid in linked:
            yield Member(uuid, address, port, weight)


def _showings(view: View, places: Sequence[Place], services: Sequence[Service]) -> Iterator[Mark]:
    """What clients and members in networks that nothing joins must know of each other, for the service's sake."""
    networks = {backend.located.network for service in services for backend in service.backends}
    for place in places:
        reach = view.reach(place.network)
        apart: dict[str, list[str]] = {}  # network of members -> those of clients
        for network in networks.intersection(reach):
            joined = {network, *(peer.network for peer in view.peers(network))}
            apart[network] = [one for one in reach if one not in joined]
        for backend in _each_backend(services) if any(apart.values()) else ():
            uuid, network = backend.located.interface.uuid, backend.located.network
            for client in apart.get(network, ()) if uuid in place.linked else ():
                if backend.located.here or view.has_local(client):
                    yield shown(uuid), client
                    yield shown(client), network
