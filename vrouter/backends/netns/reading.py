"""What stands in a VRF's namespace, read from the kernel and from nothing else."""

import errno
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address

from vrouter.backends.netns import elements, fib, links, nftables, vxlan
from vrouter.backends.netns.elements import POD
from vrouter.backends.netns.fib import Hop
from vrouter.backends.netns.netlink import NetlinkError, Socket
from vrouter.backends.netns.nftables import Elements
from vrouter.backends.netns.standing import JOIN, UPLINK, Attachment, Part, Reached, Standing, Way, tunnel_way
from vrouter.backends.protocol import BackendError, by_family
from vrouter.state import (
    FAMILIES,
    Address,
    Exit,
    Family,
    HostAddress,
    Interface,
    Link,
    Outside,
    Remote,
    Tunnel,
    Uplink,
    Vrf,
)


def read(index: int, route: Socket, nft: Socket) -> tuple[Vrf, Standing]:
    """What stands in the namespace of the sockets, that of VRF `index`. Raises BackendError."""
    try:
        table = _read_table(nft, 4)
        families: set[Family] = {4}
        if wide := _read_whole_table(nft, 6):
            table |= wide
            families.add(6)
        labels = elements.read_labels(table)
        found = Standing(families, fib.read(route), elements.read_vips(table, labels), elements.read_endpoints(table))
        _read_interfaces(found, index, route, table, labels)
        _read_remotes(found, index, route, labels)
        lost = _read_exits(found, index, route, table)
        lost |= _read_outsides(found, index, table, labels)
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            raise BackendError(f"The namespace of VRF {index} has lost its nft table") from error
        raise BackendError(f"The namespace of VRF {index} cannot be read: {error.strerror}") from error
    found.watching = Counter(place.family for place in table if place.set in elements.WATCHING)
    pods = set(found.owners())
    found.orphans = elements.of_other_pods(table, pods) | lost
    found.endpoints = {pod: ports for pod, ports in found.endpoints.items() if pod in pods}
    vips = set(found.vips)
    for vip in found.vips.values():
        vips.update(vip.surrogates.values() if vip.split else ())
    found.strays |= found.fib.groups.keys() - {group for address, group in found.fib.routes.items() if address in vips}
    vtep = found.device.vtep if found.device is not None else None
    return Vrf(index, labels.get((elements.VRF_LABEL, elements.NOWHERE), ""), vtep), found


def _read_table(nft: Socket, family: Family) -> Elements:
    table: Elements = {}
    for name in elements.STATIC_SETS:
        table |= nftables.read(nft, family, name)
    return table


def _read_whole_table(nft: Socket, family: Family) -> Elements | None:
    """None without one, or if whoever made it died before it was done."""
    try:
        table = _read_table(nft, family)
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return table if elements.complete().keys() <= table.keys() else None


def _read_interfaces(
    found: Standing, index: int, route: Socket, table: Elements, labels: dict[tuple[int, Address], str]
) -> None:
    addresses = {(link, address.version): address for link, address in links.read_addresses(route)}
    neighbours = links.read_neighbours(route)
    routes = fib.read_link_routes(route)
    hops = {(hop.link, hop.gateway.version): hop for hop in found.fib.hops.values()}
    for link in links.read(route):
        uuid, _, rest = link.alias.partition(" ")
        workload, _, device = rest.partition(" ")
        if not link.name.startswith("tap") or not workload:
            continue
        found.partial[uuid] = Part(link.index, workload, device)
        legs: list[HostAddress] = []
        macs: set[str | None] = set()
        for family in FAMILIES:
            hop, gateway = hops.get((link.index, family)), addresses.get((link.index, family))
            if hop is None and gateway is None:
                continue
            if hop is None or gateway is None or (hop.gateway, link.index) not in routes:
                break
            known = elements.self_element(hop.gateway).keys() <= table.keys()
            if not known or POD not in found.endpoints.get(hop.gateway, {}):
                break
            macs.add(neighbours.get((link.index, hop.gateway)))
            legs.append(HostAddress(hop.gateway, gateway))
        else:
            mac = macs.pop() if len(macs) == 1 else None
            if mac is None or not link.carrier:
                continue
            name = labels.get((elements.INTERFACE_LABEL, legs[0].address), "")
            unit = Interface(uuid, name, index, workload, mac, tuple(legs), device)
            ids = {leg.address.version: hops[link.index, leg.address.version].id for leg in legs}
            found.attach(Attachment(unit, link.index, link.name, ids))
            del found.partial[uuid]


def _read_remotes(found: Standing, index: int, route: Socket, labels: dict[tuple[int, Address], str]) -> None:
    """Those that have all that their label promises; what is left of others is astray."""
    ways = _read_ways(found, index, route)
    neighbours, routes = links.read_neighbours(route), fib.read_link_routes(route)
    hops = {hop.gateway: hop for hop in found.fib.hops.values() if hop.link in ways}
    told: dict[str, dict[Address, Hop | None]] = {}
    for (kind, address), text in labels.items():
        if kind == elements.REMOTE_LABEL:
            hop = hops.get(address)
            if (
                hop is None
                or (address, hop.link) not in routes
                or neighbours.get((hop.link, address)) not in ways[hop.link]
                or POD not in found.endpoints.get(address, {})
            ):
                hop = None
            told.setdefault(text, {})[address] = hop
    for text, legs in told.items():
        uuid, guard, name = text.split(" ", 2)
        whole = [hop for hop in legs.values() if hop is not None]
        if len(whole) == len(legs) and len({hop.link for hop in whole}) == 1:
            way, via = ways[whole[0].link][neighbours[whole[0].link, whole[0].gateway]]
            addresses = tuple(sorted(legs, key=by_family))
            unit = Remote(uuid, name, index, addresses, via, guard == "guarded")
            found.reach(Reached(unit, way, {hop.gateway.version: hop.id for hop in whole}))
    found.strays |= {hop.id for hop in hops.values() if found.interface_of(hop.id) is None}
    reached = found.owners()
    found.astray = {(address, link) for address, link in routes if link in ways and address not in reached}


def _read_ways(found: Standing, index: int, route: Socket) -> dict[int, dict[str, tuple[Way, Link | Tunnel]]]:
    """Index of a link by which remote interfaces may be reached, and the MAC they have on it -> how, and by what."""
    ways: dict[int, dict[str, tuple[Way, Link | Tunnel]]] = {}
    for link in links.read(route):
        other = link.name.removeprefix(JOIN)
        if link.name == UPLINK and link.carrier:
            found.uplink = (Uplink(index, link.alias), link.index)
        if link.name.startswith(JOIN) and other.isdecimal() and link.carrier:
            found.joins[int(other)] = link.index
            way = Way(link.index, link.name, links.GATEWAY_MAC)
            ways[link.index] = {way.mac: (way, Link(int(other)))}
    device = vxlan.read(route)
    if device is not None and device.up:
        found.device = device
        routers = vxlan.read_routers(route, device)
        found.routers = {router: set() for mac, router in routers.items() if mac == vxlan.mac(router)}
        ways[device.link] = {
            vxlan.mac(router): (tunnel_way(device, router), Tunnel(router)) for router in found.routers
        }
    return ways


def _read_exits(found: Standing, index: int, route: Socket, table: Elements) -> Elements:
    """Those that are whole. Returns what the tables have of others."""
    routes = fib.read_exits(route)
    vias: dict[int, int | None] = {link: other for other, link in found.joins.items()}
    if found.uplink is not None:
        vias[found.uplink[1]] = None
    of_exits: Elements = {}
    for place in [place for place in table if place.set == "exits"]:
        link = elements.number_of(place.key)
        if link in vias and (place.family, link) in routes:
            unit = Exit(index, place.family, vias[link])
            found.exits[place.family] = (unit, link)
            of_exits |= found.of_exit(unit, link)
    return {p: value for p, value in table.items() if p.set in ("exits", "uplinks") and p not in of_exits}


def _read_outsides(found: Standing, index: int, table: Elements, labels: dict[tuple[int, Address], str]) -> Elements:
    """As far as this namespace knows. Returns what the tables have of others."""
    found.egress = {ip_address(place.key) for place in table if place.set == "floating"}
    translations: Elements = {}
    for (kind, address), text in labels.items():
        if kind != elements.OUTSIDE_LABEL:
            continue
        announced, inside, name = text.split(" ", 2)
        home, _, pod = inside.partition("/")
        unit = Outside(index, address, name, announced == "announced")
        if pod:
            unit = replace(unit, inside=ip_address(pod), home=int(home))
        translation = found.of_translation(unit)
        if (unit.inside is None or translation) and translation.items() <= table.items():
            found.outsides[address] = unit
            translations |= translation
    labelled = {place: value for unit in found.outsides.values() for place, value in found.of_outside(unit).items()}
    return {
        place: value for place, value in table.items()
        if (place.set in ("float_in", "float_out") and place not in translations)
        or (place.set == "label" and place.key[:4] == elements.mark(elements.OUTSIDE_LABEL) and place not in labelled)
    }  # fmt: skip
