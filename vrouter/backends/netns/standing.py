"""What stands in a VRF's namespace, as values; `reading.py` reads it from the kernel and from nothing else."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from vrouter.backends.netns import elements, vxlan
from vrouter.backends.netns.elements import VipTable
from vrouter.backends.netns.fib import Fib, Members
from vrouter.backends.netns.nftables import Elements
from vrouter.state import (
    AFFINITY,
    Address,
    Exit,
    Family,
    Interface,
    Join,
    Key,
    Listener,
    Member,
    Outside,
    Remote,
    Tunnel,
    Uplink,
    Vip,
    Vrf,
)

JOIN = "join"  # how the name of a link to another VRF begins
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
    watching: how many elements of `elements.WATCHING` the tables have.
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
    watching: Counter[Family] = field(default_factory=Counter)
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
        yield self.watched
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

    @property
    def watched(self) -> Elements:
        """What says whether packets that no VIP translates are watched."""
        found: Elements = {}
        for family in list(self.families):
            found |= elements.watch(family) if self.watching[family] else {}
        return found

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
            found |= elements.label(elements.REMOTE_LABEL, address, remote_text(unit)) | self._endpoints_of(address)
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


def join_device(other: int) -> str:
    """Name of the link to the VRF of that index."""
    return f"{JOIN}{other}"


def remote_text(unit: Remote) -> str:
    """What a label says of it."""
    return f"{unit.uuid} {'guarded' if unit.guarded else 'open'} {unit.name}"


def tunnel_way(device: vxlan.Device, router: Address) -> Way:
    """To a remote interface on the node with that VTEP."""
    return Way(device.link, device.name, vxlan.mac(router))
