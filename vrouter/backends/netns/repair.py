"""Looks at what somebody may have changed, one object at a time, and puts it right.

What should stand is what a `VrfNamespace` knows to stand: it follows all that the backend does, and everything here
runs between two of its operations. So what differs at a look was changed by somebody else, or by the kernel.

*Restated* where it is, by the same messages that made it: groups, routes, elements, addresses, neighbours, the name of
a namespace, settings. They keep their numbers, and flows do not notice. A table whose rules were changed is loaded
again, with the flows it has (`tables.py`). *Put again*, by whoever asked for it, is an interface whose next hop is
gone: the kernel takes a next hop away with the carrier and never gives it back, and gives none without a carrier.

In the way is what changes where packets of ours go: another route to an address of ours, an element in a set of ours.
It is removed. Anything else that others made is left alone.

What nobody changed, but has become too much, comes the same way: counters of members that have left (`departed.py`).
"""

import os
from collections.abc import Iterable, Iterator
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address

from vrouter import namespace
from vrouter.backends.netns import (
    departed,
    devices,
    elements,
    fib,
    limits,
    links,
    looks,
    nftables,
    outside,
    probe,
    tables,
    vxlan,
)
from vrouter.backends.netns.departed import Count
from vrouter.backends.netns.events import Suspect
from vrouter.backends.netns.fib import RT_TABLE_MAIN
from vrouter.backends.netns.nftables import Elements, Place
from vrouter.backends.netns.standing import Attachment, Reached
from vrouter.backends.netns.vrf import VrfNamespace
from vrouter.backends.protocol import Drift
from vrouter.state import Address, Family, Join, Key

# What others stand on first.
_ORDER = ("namespace", "table", "sysctl", "address", "interface", "nexthop", "route", "element", "counter")


def examine(vrf: VrfNamespace, suspects: Iterable[Suspect]) -> list[Drift]:
    """Look at these and put them right. BackendError, OSError: something could not be read or written; a comparison
    finds it again."""
    found: list[Drift] = []
    places: list[Place] = []
    counters: list[Count] = []
    for suspect in sorted(set(suspects), key=lambda one: _ORDER.index(one.kind)):
        match suspect:
            case Suspect("element", Place() as place):
                places.append(place)
            case Suspect("counter", Count() as count):
                counters.append(count)
            case Suspect("interface", int() as index):
                found += _interface(vrf, index)
            case Suspect("address", int() as index):
                found += _interface(vrf, index, addressed=True)
            case Suspect("nexthop", int() as number):
                found += _nexthop(vrf, number)
            case Suspect("route", None):
                found += _sink(vrf)
            case Suspect("route", IPv4Address() | IPv6Address() as address):
                found += _route(vrf, address)
            case Suspect("table", what):
                found += _table(vrf, 6 if what == 6 else 4)
            case Suspect("namespace", _):
                found += _name(vrf)
            case Suspect("sysctl", _):
                found += _settings(vrf)
    departed.put_together(vrf.nft_socket, vrf.standing, counters)
    return found + list(_elements(vrf, places))


def fallen(vrf: VrfNamespace) -> list[Drift]:
    """Units that were found different while all was read."""
    units, vrf.fallen = vrf.fallen, set()
    return [Drift(str(unit[0]), "did not stand as it was made", unit) for unit in sorted(units, key=str)]


def _interface(vrf: VrfNamespace, index: int, *, addressed: bool = False) -> Iterator[Drift]:
    """addressed: look at its addresses, too, of which the kernel can only be asked for all."""
    attachment = vrf.standing.on(index)
    if attachment is None:
        yield from _join(vrf, index)
        yield from _device(vrf, index)
        return
    key: Key = attachment.unit.key
    link = looks.link(vrf.route_socket, index)
    if attachment.unit.uuid in vrf.standing.dark:
        if link is None or link.carrier:  # it can stand again
            yield Drift("carrier", "its interface has its carrier again", key)
        return
    if link is None:
        vrf.darken(attachment)
        yield Drift("link", f"its link {attachment.device} was removed", key)
        return
    hops = vrf.standing.fib.hops
    if any(looks.nexthop(vrf.route_socket, hop) != hops[hop] for hop in attachment.hops.values()):
        vrf.darken(attachment)
        lost = "link" if not link.up else "carrier" if not link.carrier else "nexthop"
        text = {"link": "its link was set down", "carrier": "its interface has no carrier"}
        yield Drift(lost, text.get(lost, "its next hop was removed or changed"), key)
        return
    wrong = _wrong(vrf, attachment, link.alias, addressed=addressed)
    if wrong:
        vrf.restate(attachment)
        yield Drift(wrong[0], f"{attachment.device} had lost its {', '.join(wrong)}", key, mended=True)


def _join(vrf: VrfNamespace, index: int) -> Iterator[Drift]:
    """What was reached over the link falls with it."""
    other = next((other for other, link in vrf.standing.joins.items() if link == index), None)
    uplink = vrf.standing.uplink is not None and vrf.standing.uplink[1] == index
    if other is None and not uplink:
        return
    link = looks.link(vrf.route_socket, index)
    if link is not None and link.carrier:
        return
    what = "was removed" if link is None else "has no carrier"
    if other is not None:
        vrf.remote.unjoin(other)
        yield Drift("link", f"the link to VRF {other} {what}", Join.between(vrf.index, other).key)
    else:
        outside.lose_uplink(vrf)
        yield Drift("link", f"the uplink {what}", ("uplink", vrf.index))


def _device(vrf: VrfNamespace, index: int) -> Iterator[Drift]:
    """The VXLAN device, if it has that index, and its ways to other nodes."""
    device = vrf.standing.device
    if device is None or device.link != index:
        return
    key: Key = ("vrf", vrf.index)
    stands = vxlan.look(vrf.route_socket, index)
    if stands is None or stands.vtep != device.vtep:
        vrf.lose_device()
        yield Drift("link", "its VXLAN device was removed", key)
        return
    if not stands.up:  # with it went all next hops
        vrf.remote.cut(index)
    routers = {vxlan.mac(router): router for router in vrf.standing.routers}
    own = {vxlan.own_address(router, family): vxlan.mac(router)
           for router in routers.values() for family in vrf.standing.families}  # fmt: skip
    wrong = []
    if stands != device:
        wrong.append("link")
    if not routers.items() <= vxlan.read_routers(vrf.route_socket, device).items():
        wrong.append("forwarding entry")
    if any(looks.neighbour(vrf.route_socket, index, address) != mac for address, mac in own.items()):
        wrong.append("neighbour")
    addresses = {(index, vxlan.own_address(device.vtep.address, family)) for family in vrf.standing.families}
    if not addresses <= links.read_addresses(vrf.route_socket):
        wrong.append("address")
    if wrong:
        vrf.restate_device()
        text = f"the {wrong[0]} of {device.name} was removed or changed"
        yield Drift(wrong[0].partition(" ")[0], text, key, mended=True)


def _remote(vrf: VrfNamespace, reached: Reached) -> Iterator[Drift]:
    unit, hops = reached.unit, vrf.standing.fib.hops
    yield from _join(vrf, reached.link)
    yield from _device(vrf, reached.link)
    if not vrf.standing.remotes[unit.uuid].hops:
        return
    if any(looks.nexthop(vrf.route_socket, hop) != hops[hop] for hop in reached.hops.values()):
        vrf.remote.sever(unit.uuid)
        return
    wrong = []
    for address in unit.addresses:
        if looks.neighbour(vrf.route_socket, reached.link, address) != reached.way.mac:
            wrong.append("neighbour")
        way = looks.way(vrf.route_socket, address)
        if way is None or (way.length, way.link) != (address.max_prefixlen, reached.link):
            wrong.append("route")
    if wrong:
        vrf.remote.restate(reached)
        yield Drift(wrong[0], f"{unit.name}: {reached.device} had lost its {', '.join(wrong)}", unit.key, mended=True)


def _wrong(vrf: VrfNamespace, attachment: Attachment, alias: str, *, addressed: bool) -> list[str]:
    unit, index = attachment.unit, attachment.link
    found = [] if alias == devices.alias(unit) else ["alias"]
    if addressed and not {(index, one.gateway) for one in unit.addresses} <= links.read_addresses(vrf.route_socket):
        found.append("address")
    for one in unit.addresses:
        if looks.neighbour(vrf.route_socket, index, one.address) != unit.mac:
            found.append("neighbour")
        way = looks.way(vrf.route_socket, one.address)
        if way is None or (way.length, way.link) != (one.address.max_prefixlen, index):
            found.append("route")
    return found


def _nexthop(vrf: VrfNamespace, number: int) -> Iterator[Drift]:
    current = vrf.standing.fib
    if number in current.hops:
        yield from _hop(vrf, number)
        return
    if number not in current.groups:
        return
    stands = looks.nexthop(vrf.route_socket, number)
    if stands == current.groups[number]:
        return
    left = {hop for hop, _ in stands} if isinstance(stands, tuple) else set()
    for hop, _ in current.groups[number]:  # a next hop that is gone took the place in the group along
        if hop not in left and hop in current.hops:
            yield from _hop(vrf, hop)
    members = current.groups.get(number)
    if members is None or looks.nexthop(vrf.route_socket, number) == members:
        return
    address = current.led(number)
    if address is None:
        return
    vrf.route_socket.send([fib.put_group(number, members), fib.put_route(address, number)])
    what = "was changed" if left else "was removed"
    yield Drift("nexthop", f"the group of {address} {what}", _vip(vrf, address), mended=True)


def _hop(vrf: VrfNamespace, number: int) -> Iterator[Drift]:
    reached = vrf.standing.remotes.get(vrf.standing.interface_of(number) or "")
    yield from _remote(vrf, reached) if reached else _interface(vrf, vrf.standing.fib.hops[number].link)


def _route(vrf: VrfNamespace, address: Address) -> Iterator[Drift]:
    owner = vrf.standing.at(address)
    if isinstance(owner, Reached):
        yield from _remote(vrf, owner)
        return
    if owner is not None:
        yield from _interface(vrf, owner.link)
        return
    if vrf.standing.device is not None and vxlan.is_own(address):
        yield from _device(vrf, vrf.standing.device.link)
        return
    group = vrf.standing.fib.routes.get(address)
    if group is not None:
        yield from _nexthop(vrf, group)  # the route goes with its group
        group = vrf.standing.fib.routes.get(address)
    key = _vip(vrf, address)
    if key is None:
        return
    way = looks.way(vrf.route_socket, address)
    right = way is not None and (way.nexthop == group if group is not None else _refused(vrf, way))
    if right:
        return
    text = "its route was removed"
    if way is not None and way.table != RT_TABLE_MAIN:
        yield Drift("route", f"a rule sends it to table {way.table}, which is not this agent's to change", None)
        return
    if way is not None and way.length == address.max_prefixlen:
        vrf.route_socket.send([way.delete])
        text = "another route was in the place of its own"
    if group is not None:
        vrf.route_socket.send([fib.put_route(address, group)])
    yield Drift("route", f"{address}: {text}", key, mended=True)


def _sink(vrf: VrfNamespace) -> Iterator[Drift]:
    """The way of what has no other: asked for an address that nobody can have."""
    for family in vrf.standing.families:
        if family in vrf.standing.exits:  # by which the unreachable is refused, too
            _, link = vrf.standing.exits[family]
            if (family, link) not in fib.read_exits(vrf.route_socket):
                vrf.route_socket.send(outside.leading(family, link))
                yield Drift("route", f"the way out of IPv{family} was removed", mended=True)
            continue
        way = looks.way(vrf.route_socket, elements.SURROGATES[family])
        if way is None or not _refused(vrf, way):
            vrf.route_socket.send(fib.put_sink(family, links.LOOPBACK))
            text = f"the default route of IPv{family}, where the unreachable is refused, was removed or changed"
            yield Drift("route", text, mended=True)


def _refused(vrf: VrfNamespace, way: looks.Way) -> bool:
    if any(way.link == link for _, link in vrf.standing.exits.values()):
        return way.length <= 1
    return way.nexthop == fib.SINK or way.link == links.LOOPBACK


def _elements(vrf: VrfNamespace, places: Iterable[Place]) -> Iterator[Drift]:
    remove: list[Place] = []
    add: Elements = {}
    for place in places:
        stands, wanted = nftables.get(vrf.nft_socket, place), expected(vrf, place)
        if stands == wanted:
            continue
        if stands is not None:
            remove.append(place)
        if wanted is not None:
            add[place] = wanted
        what = "removed" if stands is None else "changed" if wanted is not None else "added by somebody"
        yield Drift("element", f"an element of {place.set} was {what}", mended=True)
    nftables.replace(vrf.nft_socket, remove, add)


def expected(vrf: VrfNamespace, place: Place) -> nftables.Value | None:
    """What should stand at that place. Most keys begin with the address that has them; others name none."""
    standing = vrf.standing
    length = elements.LENGTHS[place.family]
    address = place.key[4 : 4 + length] if place.set == "label" else place.key[:length]
    owner = ip_address(address) if len(address) == length else None
    if owner in standing.vips and place in (found := standing.vips[owner].elements(owner)):
        return found[place]
    return next((found[place] for found in standing.expected(vrf.unit) if place in found), None)


def _table(vrf: VrfNamespace, family: Family) -> Iterator[Drift]:
    if family not in vrf.standing.families:
        return
    whole = tables.whole(vrf.nft_socket, family, vrf.flow_limit)
    if not whole:
        tables.reload(vrf.network, family, vrf.flow_limit)
    templates = tables.templates(family, vrf.flow_limit)
    broken = limits.broken(vrf.nft_socket, family, templates, vrf.standing.chains(family))
    if whole and not broken:
        return
    limits.restore(vrf.nft_socket, family, templates, broken)
    places = [place for found in vrf.standing.expected(vrf.unit) for place in found if place.family == family]
    lost = sum(1 for _ in _elements(vrf, places))
    yield Drift("table", f"the rules were changed; loaded again, with {lost} elements that were lost", mended=True)


def _name(vrf: VrfNamespace) -> Iterator[Drift]:
    handle = vrf.route_socket.open_namespace()
    try:
        if namespace.has_name(vrf.network, handle):
            return
        namespace.restore(vrf.network, handle)
    finally:
        os.close(handle)
    yield Drift("namespace", f"the name {vrf.network} was removed", mended=True)


def _settings(vrf: VrfNamespace) -> Iterator[Drift]:
    wanted = probe.settings_of(vrf.standing.families)
    for name in namespace.inside(vrf.network, partial(probe.restate_settings, wanted)):
        yield Drift("sysctl", f"net.{name.replace('/', '.')} was changed", mended=True)


def _vip(vrf: VrfNamespace, address: Address) -> Key | None:
    """The VIP that it is, or is a listener's surrogate of."""
    if address in vrf.standing.vips:
        return ("vip", vrf.index, str(address))
    for vip, table in vrf.standing.vips.items():
        if table.split and address in table.surrogates.values():
            return ("vip", vrf.index, str(vip))
    return None
