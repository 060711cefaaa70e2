"""What stands in a VRF's namespace, read from the kernel and from nothing else."""

import errno
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import NamedTuple

from vrouter.backends.netns import elements, fib, links, nftables, vxlan
from vrouter.backends.netns.elements import POD, VipTable
from vrouter.backends.netns.fib import Fib, Hop, Members
from vrouter.backends.netns.netlink import NetlinkError, Socket
from vrouter.backends.netns.nftables import Elements
from vrouter.backends.protocol import BackendError, by_family
from vrouter.state import (
    AFFINITY,
    FAMILIES,
    Address,
    Exit,
    Family,
    HostAddress,
    Interface,
    Join,
    Key,
    Link,
    Listener,
    Member,
    Outside,
    Remote,
    Tunnel,
    Uplink,
    Vip,
    Vrf,
)

_JOIN = "join"
UPLINK = "uplink"  # what the link to outside is called


@dataclass(frozen=True, slots=True)
class Attachment:
    """An interface that stands whole: its link's index and name, and the ids of its next hops."""

    unit: Interface
    link: int
    device: str
    hops: Mapping[Family, int]


class Part(NamedTuple):
    """Of an interface that is not whole. device: what its link was called before it was borrowed."""

    link: int
    workload: str
    device: str


@dataclass(frozen=True, slots=True)
class Way:
    """The link by which a VRF reaches remote interfaces, and the MAC they have on it."""

    link: int
    device: str
    mac: str


@dataclass(frozen=True, slots=True)
class Reached:
    """A remote interface that stands whole, by the way of its link; hops: ids of its next hops."""

    unit: Remote
    way: Way
    hops: Mapping[Family, int]

    @property
    def link(self) -> int:
        return self.way.link

    @property
    def device(self) -> str:
        return self.way.device


Base = Attachment | Reached
"""What a VIP stands on."""


@dataclass(slots=True)
class Standing:
    """What stands.

    families: those that have a table. endpoints: pod -> port -> id. partial: uuid -> what there is of an
    interface that is not whole. dark: uuid -> one that is whole but for its next hops, which the kernel has taken away
    with the carrier. remotes: uuid -> remote interface. joins: index of another VRF -> the link to it. device: of its
    VXLAN. routers: VTEP of another node to which the device has a way -> uuids of those reached there.
    uplink, exits: with their links. outsides: address -> what the outside reaches.
    egress: addresses that may open connections by an exit.
    orphans: what the tables have of pods that no whole interface has. strays: groups that lead to no VIP's members, and
    next hops to nobody. astray: (address, link) of routes to remote interfaces that do not stand.

    Attachments and remotes are changed by the methods, which keep the ways back.
    """

    families: set[Family]
    fib: Fib
    vips: dict[Address, VipTable]
    endpoints: dict[Address, dict[int, int]]
    attachments: dict[str, Attachment] = field(default_factory=dict)
    partial: dict[str, Part] = field(default_factory=dict)
    dark: dict[str, Attachment] = field(default_factory=dict)
    remotes: dict[str, Reached] = field(default_factory=dict)
    joins: dict[int, int] = field(default_factory=dict)
    device: vxlan.Device | None = None
    routers: dict[Address, set[str]] = field(default_factory=dict)
    uplink: tuple[Uplink, int] | None = None
    exits: dict[Family, tuple[Exit, int]] = field(default_factory=dict)
    outsides: dict[Address, Outside] = field(default_factory=dict)
    egress: set[Address] = field(default_factory=set)
    orphans: Elements = field(default_factory=dict)
    strays: set[int] = field(default_factory=set)
    astray: set[tuple[Address, int]] = field(default_factory=set)
    _at: dict[Address, Base] = field(default_factory=dict, init=False)
    _on: dict[int, Attachment] = field(default_factory=dict, init=False)  # link -> attachment
    _uuids: dict[int, str] = field(default_factory=dict, init=False)  # hop -> interface
    _inside: dict[str, set[str]] = field(default_factory=dict, init=False)  # workload -> interfaces

    def attach(self, attachment: Attachment) -> None:
        """A new one, or one that has another name now."""
        unit = attachment.unit
        self.attachments[unit.uuid] = attachment
        self._on[attachment.link] = attachment
        self._at.update({one.address: attachment for one in unit.addresses})
        self._uuids.update(dict.fromkeys(attachment.hops.values(), unit.uuid))
        self._inside.setdefault(unit.workload, set()).add(unit.uuid)

    def detach(self, uuid: str) -> None:
        gone = self.attachments.pop(uuid)
        del self._on[gone.link]
        for one in gone.unit.addresses:
            del self._at[one.address]
        for hop in gone.hops.values():
            del self._uuids[hop]
        self._inside[gone.unit.workload].discard(uuid)
        if not self._inside[gone.unit.workload]:
            del self._inside[gone.unit.workload]

    def darken(self, uuid: str) -> None:
        """Its next hops are gone."""
        attachment = self.attachments[uuid]
        self.detach(uuid)
        self.dark[uuid] = attachment

    def reach(self, reached: Reached) -> None:
        """A new remote interface, or one that has another name now."""
        unit = reached.unit
        if unit.uuid in self.remotes:
            self._leave(self.remotes[unit.uuid])
        if isinstance(unit.via, Tunnel):
            self.routers.setdefault(unit.via.router, set()).add(unit.uuid)
        self.remotes[unit.uuid] = reached
        self._at.update(dict.fromkeys(unit.addresses, reached))
        self._uuids.update(dict.fromkeys(reached.hops.values(), unit.uuid))

    def forget(self, uuid: str) -> None:
        """A remote interface is reached no more."""
        gone = self.remotes.pop(uuid)
        self._leave(gone)
        for address in gone.unit.addresses:
            del self._at[address]
        for hop in gone.hops.values():
            del self._uuids[hop]

    def _leave(self, reached: Reached) -> None:
        via = reached.unit.via
        if isinstance(via, Tunnel) and via.router in self.routers:
            self.routers[via.router].discard(reached.unit.uuid)

    def base(self, uuid: str) -> Base | None:
        """What VIPs reach an interface by, if it stands whole."""
        return self.attachments.get(uuid) or self.remotes.get(uuid)

    def owners(self) -> dict[Address, str]:
        """Address -> uuid of the interface, here or not, that has it."""
        return {address: one.unit.uuid for address, one in self._at.items()}

    def at(self, address: Address) -> Base | None:
        """Whose address it is."""
        dark = (one for one in self.dark.values() if one.unit.address_of(address.version) == address)
        return self._at.get(address) or next(dark, None)

    def attachments_on(self, link: int) -> Attachment | None:
        """The interface that stands whole on the link with that index."""
        return self._on.get(link)

    def on(self, link: int) -> Attachment | None:
        """Whose link has that index."""
        return self._on.get(link) or next((one for one in self.dark.values() if one.link == link), None)

    def interface_of(self, hop: int) -> str | None:
        return self._uuids.get(hop)

    def inside(self, workload: str) -> list[str]:
        """uuids of a workload's interfaces, whole or not."""
        return [
            *self._inside.get(workload, ()),
            *(uuid for uuid, one in self.dark.items() if one.unit.workload == workload),
            *(uuid for uuid, part in self.partial.items() if part.workload == workload),
        ]

    def keep_dark(self, before: "Standing") -> None:
        """What was dark before, and still has that link and no carrier, is not partial but dark."""
        for uuid, attachment in before.dark.items():
            unit = attachment.unit
            if self.partial.get(uuid) == (attachment.link, unit.workload, unit.device):
                del self.partial[uuid]
                self.dark[uuid] = attachment
                for one in unit.addresses:
                    self.endpoints[one.address] = before.endpoints.get(one.address, {})
                own = self.of_interface(unit)
                self.orphans = {place: value for place, value in self.orphans.items() if place not in own}

    def expected(self, vrf: Vrf) -> Iterator[Elements]:
        """All that the table should have, unit by unit; more than one thread may go through it."""
        yield elements.label(elements.VRF_LABEL, elements.NOWHERE, vrf.name)
        if 6 in self.families:
            yield elements.complete()
        for attachment in [*self.attachments.values(), *self.dark.values()]:
            yield self.of_interface(attachment.unit)
        for reached in list(self.remotes.values()):
            yield self.of_remote(reached.unit)
        for exit_, link in list(self.exits.values()):
            yield self.of_exit(exit_, link)
        for outside in list(self.outsides.values()):
            yield self.of_outside(outside) | self.of_translation(outside)
        for address in list(self.egress):
            yield elements.egress(address)
        for address, table in list(self.vips.items()):
            yield table.elements(address)
        yield dict(self.orphans)

    def chains(self, family: Family) -> list[str]:
        """Of limited listeners."""
        tables = [table for address, table in list(self.vips.items()) if address.version == family and table.limits]
        return [name for table in tables for name in table.chains.values()]

    def of_interface(self, unit: Interface) -> Elements:
        found = elements.label(elements.INTERFACE_LABEL, unit.address, unit.name)
        for one in unit.addresses:
            found |= elements.self_element(one.address) | self._endpoints_of(one.address)
        return found

    def of_remote(self, unit: Remote) -> Elements:
        found: Elements = {}
        for address in unit.addresses:
            found |= elements.label(elements.REMOTE_LABEL, address, _remote_text(unit)) | self._endpoints_of(address)
            found |= elements.guard(address) if unit.guarded else {}
        return found

    @staticmethod
    def of_exit(unit: Exit, link: int) -> Elements:
        return elements.way_out(unit.family, link, uplink=unit.via is None)

    @staticmethod
    def of_outside(unit: Outside) -> Elements:
        inside = "-" if unit.inside is None else f"{unit.home}/{unit.inside}"
        text = f"{'announced' if unit.announced else 'quiet'} {inside} {unit.name}"
        return elements.label(elements.OUTSIDE_LABEL, unit.address, text)

    def of_translation(self, unit: Outside) -> Elements:
        """Of one that stands for an address inside."""
        link = self.joins.get(unit.home or 0)
        if unit.inside is None or link is None:
            return {}
        return elements.one_to_one(unit.address, unit.inside, link)

    def _endpoints_of(self, pod: Address) -> Elements:
        found: Elements = {}
        for port, number in list(self.endpoints.get(pod, {}).items()):
            found |= elements.endpoint_elements(pod, port, number)
        return found


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


def differences(vrf: int, before: Standing, after: Standing) -> set[Key]:
    """Keys of the units that stand otherwise than they did."""
    found: set[Key] = set()
    for uuid, attachment in before.attachments.items():
        if after.attachments.get(uuid) != attachment:
            found.add(("interface", uuid))
    for uuid, reached in before.remotes.items():
        if after.remotes.get(uuid) != reached:
            found.add(("remote", vrf, uuid))
    for other, link in before.joins.items():
        if after.joins.get(other) != link:
            found.add(Join.between(vrf, other).key)
    if before.uplink is not None and after.uplink != before.uplink:
        found.add(("uplink", vrf))
    found |= {("exit", vrf, family) for family, way in before.exits.items() if after.exits.get(family) != way}
    for address, outside in before.outsides.items():
        if after.outsides.get(address) != outside:
            found.add(("outside", vrf, str(address)))
    for address, table in before.vips.items():
        ways = [address, *(table.surrogates.values() if table.split else ())]
        if after.vips.get(address) != table or any(_members(before, way) != _members(after, way) for way in ways):
            found.add(("vip", vrf, str(address)))
    return found


def _members(standing: Standing, address: Address) -> Members | None:
    group = standing.fib.routes.get(address)
    return None if group is None else standing.fib.groups.get(group)


def vip_unit(found: Standing, vrf: int, address: Address) -> Vip:
    """The VIP as it stands: its members are those of the groups. It has no name, as nobody can want it, if its own
    group is not that of all its listeners' members."""
    table = found.vips[address]
    listeners = []
    for service in sorted(table.surrogates):
        group = found.fib.routes.get(table.surrogates[service] if table.split else address)
        members = []
        for hop, weight in found.fib.groups.get(group or 0, ()):
            uuid = found.interface_of(hop)
            if uuid is not None and service in table.targets:
                pod = found.fib.hops[hop].gateway
                members.append(Member(uuid, pod, table.port(service, pod), weight))
        affinity = AFFINITY if service in table.sticky else 0
        listeners.append(Listener(*service, tuple(sorted(members)), affinity, table.limits.get(service, 0)))
    unit = Vip(vrf, address, table.name, tuple(listeners))
    own = found.fib.groups.get(found.fib.routes.get(address, 0), ())
    weights = {uuid: weight for hop, weight in own if (uuid := found.interface_of(hop)) is not None}
    whole = weights == {uuid: member.weight for uuid, member in unit.backends.items()}
    return unit if whole else replace(unit, name="")


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


def join_device(other: int) -> str:
    """Name of the link to the VRF of that index."""
    return f"{_JOIN}{other}"


def _remote_text(unit: Remote) -> str:
    """What a label says of it."""
    return f"{unit.uuid} {'guarded' if unit.guarded else 'open'} {unit.name}"


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
        other = link.name.removeprefix(_JOIN)
        if link.name == UPLINK and link.carrier:
            found.uplink = (Uplink(index, link.alias), link.index)
        if link.name.startswith(_JOIN) and other.isdecimal() and link.carrier:
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


def tunnel_way(device: vxlan.Device, router: Address) -> Way:
    """To a remote interface on the node with that VTEP."""
    return Way(device.link, device.name, vxlan.mac(router))


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
