"""One VRF of the simulator: its interfaces, its VIPs, its flows, and the way of a packet through it.

The way is that of the kernel backend. A packet of a known flow is translated and follows it. A new one to a VIP takes
the listener's group (per listener, so that a port reaches only pods that serve it), where the hash chooses; the choice
is recorded before the packet leaves. Anything else is plain routing to `address/32`. Nothing to a VIP ever leaves
untranslated: without listener or usable member it is refused at once and counted.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from vrouter.backends.lookup import Group as Looked
from vrouter.backends.lookup import Header, Lookup, Match, Share
from vrouter.backends.protocol import (
    BackendError,
    Drop,
    Flow,
    Nexthop,
    Places,
    Route,
    Stat,
    Vif,
    by_family,
    host_prefix,
)
from vrouter.backends.simulator.affinity import Affinity
from vrouter.backends.simulator.asked import Asked
from vrouter.backends.simulator.flow_table import Entry, FlowTable
from vrouter.backends.simulator.group import Group, hash_of
from vrouter.backends.simulator.limits import Limits
from vrouter.backends.simulator.packet import Delivered, Dropped, FiveTuple, Listener, Packet, Refused, TcpFlag, Verdict
from vrouter.backends.simulator.traffic import Traffic
from vrouter.state import (
    AFFINITY,
    Address,
    Egress,
    Exit,
    Family,
    Interface,
    Link,
    Member,
    Outside,
    Protocol,
    Remote,
    Tunnel,
    Uplink,
    Vip,
    Vrf,
    addresses_of,
)

# Contrail's words (`flow_get_drop_reason` in tf-vrouter's utils/flow.c).
NO_PORT_MAP = "NoFipPortMap"
NO_ROUTE = "NoDstRt"
FLOW_LIMIT = "FlowLim"
NO_REVERSE_FLOW = "NoRevFlow"
POLICY = "Policy"
OUTSIDE = "outside"  # who gets what leaves by an uplink
SAME_FLOW = "SameFlowRflowKey"
CONNECTION_LIMIT = "ConnLim"  # of our own; Contrail has no limit of listeners


@dataclass(slots=True)
class Port:
    """An interface as it stands, or one of another node. ids: of its nexthops. Counters are the workload's, as in
    `Vif`."""

    unit: Interface | Remote
    ids: dict[Family, int]
    traffic: Counter[str] = field(default_factory=Counter)

    @property
    def device(self) -> str:
        if isinstance(self.unit, Remote) and isinstance(self.unit.via, Link):
            return f"join{self.unit.via.vrf}"
        return "vxlan" if isinstance(self.unit, Remote) else f"tap{self.unit.uuid[:11]}"  # as Contrail names it

    def sent(self, packet: Packet) -> None:
        self.traffic.update(tx_packets=1, tx_bytes=packet.size)

    def received(self, packet: Packet) -> None:
        self.traffic.update(rx_packets=1, rx_bytes=packet.size)


@dataclass(slots=True)
class Service:
    """A VIP as it stands: the group of all its back-ends, which `VIP/32` leads to, and one for each of its listeners.
    With a single listener they are the same group."""

    unit: Vip
    group: Group
    listeners: dict[tuple[Protocol, int], Group]

    def is_sticky(self, flow: FiveTuple) -> bool:
        port = (flow.protocol, flow.destination_port)
        return any(one.affinity for one in self.unit.listeners if (one.protocol, one.port) == port)


class VrfTable:
    """The forwarding state of one VRF. seed: of its hash. flows: its flow table, which no other VRF sees."""

    def __init__(self, unit: Vrf, seed: bytes, flow_limit: int, clock: Callable[[], float]) -> None:
        self.unit = unit
        self.flows = FlowTable(flow_limit, clock)
        self.joins: dict[int, VrfTable] = {}  # index -> a VRF that is joined to this one
        self.uplink: Uplink | None = None
        self.exits: dict[Family, Exit] = {}
        self.outsides: dict[Address, Outside] = {}
        self.egress: dict[Address, Egress] = {}
        self._traffic = Traffic()
        self._affinity = Affinity(clock)
        self._limits = Limits(clock)
        self._seed = seed
        self._clock = clock
        self._ports: dict[str, Port] = {}  # interface uuid -> port
        self._routes: dict[Address, Port] = {}  # address -> port
        self._services: dict[Address, Service] = {}  # VIP -> service
        self._drops: Counter[str] = Counter()  # reason -> packets
        self._dropped_bytes: Counter[str] = Counter()  # reason -> bytes
        self._last_id = 0
        self._asked = Asked(clock)

    # Units

    @property
    def interfaces(self) -> list[Interface]:
        return [port.unit for port in self._ports.values() if isinstance(port.unit, Interface)]

    @property
    def remotes(self) -> list[Remote]:
        return [port.unit for port in self._ports.values() if isinstance(port.unit, Remote)]

    @property
    def vips(self) -> list[Vip]:
        return [service.unit for service in self._services.values()]

    def address_of(self, interface: str, family: Family) -> Address:
        unit = self._ports[interface].unit
        address = unit.address_of(family)
        if address is None:
            raise BackendError(f"Interface {unit.name} has no IPv{family} address")
        return address

    def put_interface(self, unit: Interface | Remote) -> None:
        """Plug in, or change what differs; nexthops keep their ids. Of two with one address the later is reached."""
        port = self._ports.get(unit.uuid)
        if port is None:
            port = self._ports[unit.uuid] = Port(unit, {})
        elif addresses_of(port.unit) != addresses_of(unit):
            self._unroute(port)
            self._forget_member(unit.uuid)
        port.unit = unit
        families = [one.version for one in addresses_of(unit)]
        port.ids = {family: port.ids.get(family) or self._new_id() for family in families}
        for one in addresses_of(unit):
            self._routes[one] = port
        self._regroup(unit.uuid)

    def delete_interface(self, uuid: str) -> None:
        port = self._ports.pop(uuid, None)
        if port is not None:
            self._unroute(port)
            self._forget_member(uuid)
            self._regroup(uuid)

    def unjoin(self, other: int) -> None:
        """That VRF is joined no more, and nobody is reached through it."""
        self.joins.pop(other, None)
        self.exits = {family: way for family, way in self.exits.items() if way.via != other}
        for unit in self.remotes:
            if unit.via == Link(other):
                self.delete_interface(unit.uuid)

    @property
    def ways_out(self) -> list[Uplink | Exit]:
        return [*([self.uplink] if self.uplink else []), *self.exits.values()]

    def put_way_out(self, unit: Uplink | Exit | Outside | Egress) -> None:
        match unit:
            case Uplink():
                self.uplink = unit
            case Exit():
                if self.uplink is None if unit.via is None else unit.via not in self.joins:
                    raise BackendError(f"There is no way out of VRF {unit.name}")
                self.exits[unit.family] = unit
            case Outside():
                if self.uplink is None:
                    raise BackendError(f"VRF {unit.vrf} has no uplink by which {unit.address} could be reached")
                port = self._routes.get(unit.inside) if unit.inside is not None else None
                if unit.inside is not None and (port is None or _via(port.unit) != unit.home):
                    raise BackendError(f"{unit.inside} in VRF {unit.vrf} is not that of VRF {unit.home}")
                self.outsides[unit.address] = unit
            case Egress():
                self.egress[unit.address] = unit

    def delete_way_out(self, unit: Uplink | Exit | Outside | Egress) -> None:
        match unit:
            case Uplink():
                self.uplink = None
                self.outsides.clear()
                self.exits = {family: way for family, way in self.exits.items() if way.via is not None}
            case Exit():
                self.exits.pop(unit.family, None)
            case Outside():
                self.outsides.pop(unit.address, None)
            case Egress():
                self.egress.pop(unit.address, None)

    def put_vip(self, unit: Vip) -> list[str]:
        """Make the VIP stand with those of its members whose interface does; groups keep their ids. Returns the uuids
        of missing interfaces."""
        if unknown := {listener.affinity for listener in unit.listeners} - {0, AFFINITY}:
            raise BackendError(f"VIP {unit.address}: affinity is {AFFINITY} s or none, not {unknown}", permanent=True)
        old = self._services.get(unit.address)
        ids = {key: group.id for key, group in old.listeners.items() if group is not old.group} if old else {}
        whole = Group(old.group.id if old else self._new_id(), self._usable(unit.backends.values()))
        service = self._services[unit.address] = Service(unit, whole, {})
        for listener in unit.listeners:
            key = (listener.protocol, listener.port)
            service.listeners[key] = (
                whole
                if len(unit.listeners) == 1
                else Group(ids.get(key) or self._new_id(), self._usable(listener.backends.values()))
            )
            self._limits.put((listener.protocol, unit.address, listener.port), listener.limit)
        self._forget_unserved(old, service)
        return sorted(uuid for uuid, member in unit.backends.items() if not self._usable([member]))

    def delete_vip(self, address: Address) -> None:
        self._forget_unserved(self._services.pop(address, None), None)

    # Packets

    def forward(self, interface: str, packet: Packet) -> Verdict:
        """What becomes of a packet that the workload behind `interface` sends. KeyError: no such interface."""
        self._ports[interface].sent(packet)
        return self.enter(packet)

    def enter(self, packet: Packet) -> Verdict:
        """What becomes of a packet that comes in, from a workload or another VRF."""
        known = self.flows.find(packet.five_tuple)
        if known and known[1] == "forward" and packet.opens:
            self.flows.remove(known[0])  # a new connection, whatever is remembered of an older one from that port
            known = None
        if known:
            entry, direction = known
            self.flows.count(entry, direction, packet)
            self._traffic.count(entry, direction, packet)
            if entry.closing:
                self._limits.leave(entry.forward)
            elif entry.limited and direction == "forward":
                self._limits.keep(entry.forward)
            if direction == "forward":
                return self._deliver(self._ports[entry.member.interface], packet.with_header(entry.translated))
            return self._route(packet.with_header(entry.forward.reversed()), translated=True)
        service = self._services.get(packet.destination)
        return self._direct(packet) if service is None else self._begin(service, packet)

    def _direct(self, packet: Packet) -> Verdict:
        """Routed as it is. A guarded interface takes answers only."""
        floated = self._float(packet)
        if floated != packet:
            return self._route(floated, translated=True)
        comes_from_outside = packet.source not in self._routes
        if (self._is_guarded(packet.source) or comes_from_outside) and packet.protocol == "udp":
            self._asked.remember(packet.five_tuple)
        if self._is_guarded(packet.destination) and not self._answers(packet):
            return self._refuse(packet, POLICY)
        return self._route(packet)

    def _float(self, packet: Packet) -> Packet:
        """Between addresses outside and those that they stand for."""
        source, destination = packet.source, packet.destination
        for unit in self.outsides.values():
            if unit.inside is not None and packet.source == unit.inside:
                source = unit.address
            if unit.inside is not None and packet.destination == unit.address:
                destination = unit.inside
        return replace(packet, source=source, destination=destination)

    def _is_guarded(self, address: Address) -> bool:
        port = self._routes.get(address)
        return port is not None and isinstance(port.unit, Remote) and port.unit.guarded

    def _answers(self, packet: Packet) -> bool:
        """Whether it is no packet that begins something."""
        if packet.protocol == "icmp":
            return packet.source_port == 0
        return not packet.opens if packet.protocol == "tcp" else self._asked.answers(packet.five_tuple)

    def _begin(self, service: Service, packet: Packet) -> Verdict:
        """The first packet of a flow to a VIP: choose a member, record the flow, translate."""
        entry = self._new_entry(service, packet.five_tuple)
        if not isinstance(entry, Entry):
            return self._refuse(packet, entry)
        if taken := self.flows.find(entry.tuples[1]):  # by one that is closing
            self.flows.remove(taken[0])
        entry.limited = self._limits.take(entry.forward)
        self.flows.add(entry)
        self.flows.count(entry, "forward", packet)
        self._traffic.count(entry, "forward", packet, opened=True)
        if service.is_sticky(entry.forward):
            self._affinity.remember(entry.forward, entry.member)
        return self._deliver(self._ports[entry.member.interface], packet.with_header(entry.translated))

    def _new_entry(self, service: Service, flow: FiveTuple) -> Entry | str:
        """What would be recorded of a new flow, or why it is refused."""
        group = self._group(service, flow)
        if group is None:
            return NO_PORT_MAP
        member = self._remembered(service, group, flow) or group.choose(hash_of(flow, self._seed))
        if member is None:
            return NO_ROUTE
        if not self._limits.has_room(flow):
            return CONNECTION_LIMIT
        # A member that talks to itself must not see its own address as the sender: it would answer inside.
        source = flow.destination if flow.source == member.address else flow.source
        target_port = 0 if flow.protocol == "icmp" else member.port
        entry = Entry(flow, FiveTuple(flow.protocol, source, flow.source_port, member.address, target_port), member)
        there, back = entry.tuples
        if there == back:
            return SAME_FLOW
        taken = self.flows.find(back)
        if taken is not None and not taken[0].closing:  # the member's answers are another flow's already
            return NO_REVERSE_FLOW
        return FLOW_LIMIT if taken is None and self.flows.is_full(flow.protocol) else entry

    def _remembered(self, service: Service, group: Group, flow: FiveTuple) -> Member | None:
        """Where a sticky service's client goes again."""
        return self._affinity.find(flow, group.members) if service.is_sticky(flow) else None

    @staticmethod
    def _group(service: Service, flow: FiveTuple) -> Group | None:
        if flow.protocol == "icmp":
            return service.group if flow.destination_port == 0 else None
        return service.listeners.get((flow.protocol, flow.destination_port))

    def _route(self, packet: Packet, *, translated: bool = False) -> Verdict:
        port = self._routes.get(packet.destination)
        if port is not None:
            return self._deliver(port, packet)
        way = self.exits.get(packet.destination.version)
        if way is not None and way.via is None and translated:
            return Delivered(OUTSIDE, packet)
        if (
            way is not None
            and way.via is not None
            and (translated or packet.source in self.egress or self._answers(packet))
        ):
            return self.joins[way.via].enter(packet)
        return self._refuse(packet, NO_ROUTE)

    def _deliver(self, port: Port, packet: Packet) -> Verdict:
        port.received(packet)
        if isinstance(port.unit, Remote) and isinstance(port.unit.via, Link):
            return self.joins[port.unit.via.vrf].enter(packet)
        return Delivered(port.unit.uuid, packet)

    def _refuse(self, packet: Packet, reason: str) -> Refused | Dropped:
        if reason == CONNECTION_LIMIT:
            self._limits.refuse(packet.five_tuple)
        self._drops[reason] += 1
        self._dropped_bytes[reason] += packet.size
        to_vip = packet.destination in self._services
        if packet.flags & TcpFlag.RST:
            return Dropped(reason)
        if packet.protocol == "tcp" and to_vip:
            return Refused(reason, "tcp-reset")
        return Refused(reason, "port-unreachable" if reason == NO_PORT_MAP else "host-unreachable")

    def lookup(self, interface: str, header: Header) -> Lookup:
        """As `forward` with a packet that nobody sends. KeyError: no such interface."""
        sender, flow = self._ports[interface], FiveTuple(*header)
        service = self._services.get(header.destination)
        found = Lookup(
            self.unit.index, interface, sender.device, header, service is not None, self._match(service, flow)
        )
        known = self.flows.find(flow)
        if known:
            entry, direction = known
            found = replace(found, flow=self._flow_of(entry), reverse=direction == "reverse")
            return self._leaves(found, entry.translated if direction == "forward" else entry.forward.reversed())
        if service is None and self._is_guarded(flow.destination) and not self._asked.answers(flow):
            return replace(found, refused=POLICY)
        if service is None:
            way = self.exits.get(flow.destination.version)
            if flow.destination not in self._routes and flow.source in self.egress and way is not None:
                return replace(found, match=replace(found.match, device=f"join{way.via}"))
            return self._leaves(found, flow)
        new = self._new_entry(service, flow)
        return self._leaves(found, new.translated) if isinstance(new, Entry) else replace(found, refused=new)

    def groups(self, vip: Address) -> list[Looked]:
        service = self._services.get(vip)
        if service is None:
            return []
        found: list[tuple[tuple[Protocol, int] | None, Group]] = [(None, service.group)]
        found += [(key, group) for key, group in service.listeners.items() if group is not service.group]
        return [
            Looked(listener, vip, group.id if group.members else None, self._shares(group)) for listener, group in found
        ]

    def _shares(self, group: Group) -> tuple[Share, ...]:
        return tuple(Share(self._hop(one), one.weight, one.interface) for one in group.members)

    def _leaves(self, found: Lookup, translated: FiveTuple) -> Lookup:
        port, back = self._routes.get(translated.destination), self._routes.get(found.header.source)
        if port is None:
            return replace(found, refused=NO_ROUTE)
        return replace(
            found, target=port.unit.uuid, out=port.device, translated=Header(found.header.protocol, *translated[1:]),
            back=back.device if back else None,
        )  # fmt: skip

    def _match(self, service: Service | None, flow: FiveTuple) -> Match:
        address, group = flow.destination, None
        if service is None:
            port = self._routes.get(address)
        else:
            group = self._group(service, flow) or service.group
            again = self._remembered(service, group, flow)
            member = again or group.choose(hash_of(flow, self._seed))
            port = self._ports[member.interface] if member else None
            if again is not None:
                address, group = again.address, None
        if port is None:
            return Match(address, "")
        members = self._shares(group) if group else ()
        hop = port.ids[address.version]
        nexthop = group.id if group else hop
        return Match(address, host_prefix(address), nexthop, members, hop, port.unit.uuid, port.device)

    # Tables

    def vifs(self) -> list[Vif]:
        return [
            Vif(
                port.unit.uuid,
                port.unit.vrf,
                port.device,
                port.unit.workload,
                port.unit.addresses,
                port.unit.mac,
                **port.traffic,
            )
            for port in self._ports.values()
            if isinstance(port.unit, Interface)
        ]

    def nexthops(self) -> list[Nexthop]:
        found = {
            number: self._nexthop(port, family, number)
            for port in self._ports.values()
            for family, number in port.ids.items()
        }
        for service in self._services.values():
            for group in (service.group, *service.listeners.values()):
                members = tuple((self._hop(member), member.weight) for member in group.members)
                found.setdefault(group.id, Nexthop(self.unit.index, group.id, "composite", members=members))
        return [found[number] for number in sorted(found)]

    def _nexthop(self, port: Port, family: Family, number: int) -> Nexthop:
        unit = port.unit
        found = Nexthop(self.unit.index, number, "encap", unit.uuid, port.device, unit.address_of(family))
        if isinstance(unit, Remote) and isinstance(unit.via, Tunnel) and self.unit.vtep is not None:
            return replace(found, kind="tunnel", router=unit.via.router, vni=self.unit.vtep.vni)
        return found

    def routes(self) -> list[Route]:
        """In the order of the addresses. A VIP hides an interface of the same address."""
        index = self.unit.index
        routes = {}
        for address, port in self._routes.items():
            routes[address] = Route(index, host_prefix(address), port.ids[address.version])
        for address, service in self._services.items():
            group = service.group.id if service.group.members else None
            routes[address] = Route(index, host_prefix(address), group, refused=group is None)
        return [routes[address] for address in sorted(routes, key=by_family)]

    def list_flows(self) -> list[Flow]:
        """Those of TCP and UDP; an echo's is only kept to find the way back."""
        return [self._flow_of(entry) for entry in self.flows if entry.forward.protocol != "icmp"]

    def _flow_of(self, entry: Entry) -> Flow:
        forward = entry.forward
        assert forward.protocol != "icmp"
        return Flow(
            vrf=self.unit.index,
            protocol=forward.protocol,
            source=forward.source,
            source_port=forward.source_port,
            vip=forward.destination,
            port=forward.destination_port,
            member=entry.member.interface,
            member_address=entry.member.address,
            member_port=entry.member.port,
            packets=entry.packets,
            bytes=entry.bytes,
            reverse_packets=entry.reverse_packets,
            reverse_bytes=entry.reverse_bytes,
            expires=entry.expires - self._clock(),
            idle=entry.timeout - (entry.expires - self._clock()),
            closing=entry.closing,
        )

    def list_drops(self) -> list[Drop]:
        return [
            Drop(self.unit.index, reason, packets, self._dropped_bytes[reason])
            for reason, packets in sorted(self._drops.items())
        ]

    def list_stats(self) -> list[Stat]:
        members: dict[Address, str] = {address: port.unit.uuid for address, port in self._routes.items()}
        return list(self._traffic.stats(self.unit.index, self._services.keys(), members))

    def list_places(self, vip: Address | None) -> list[Places]:
        """vip: None for all."""
        return [
            Places(
                self.unit.index, protocol, address, port, limit, taken, self._limits.refused[protocol, address, port]
            )
            for address, service in self._services.items()
            if vip in (None, address)
            for protocol, port in service.listeners
            if (counted := self._limits.count((protocol, address, port)))
            for limit, taken in [counted]
        ]

    # Upkeep

    def _new_id(self) -> int:
        """Never one that was used before: whoever noted a number finds that thing or nothing."""
        self._last_id += 1
        return self._last_id

    def _usable(self, members: Iterable[Member]) -> list[Member]:
        return [
            member
            for member in members
            if (port := self._ports.get(member.interface)) and member.address.version in port.ids
        ]

    def _hop(self, member: Member) -> int:
        return self._ports[member.interface].ids[member.address.version]

    def _unroute(self, port: Port) -> None:
        """Another interface of the same address, if there is one, takes the place."""
        for one in addresses_of(port.unit):
            if self._routes.get(one) is port:
                del self._routes[one]
        for other in self._ports.values():
            if other is not port:
                for one in addresses_of(other.unit):
                    self._routes.setdefault(one, other)

    def _regroup(self, interface: str) -> None:
        """An interface came or went: the VIPs that name it gain or lose a member."""
        for service in list(self._services.values()):
            if any(member.interface == interface for each in service.unit.listeners for member in each.members):
                self.put_vip(service.unit)

    def _forget_unserved(self, old: Service | None, new: Service | None) -> None:
        """Flows to a listener that is no more end. A member that leaves takes no new flows and keeps those it has, for
        as long as its interface stands."""
        gone = (_listeners(old) if old else set()) - (_listeners(new) if new else set())
        if gone:
            self.flows.remove_if(lambda entry: entry.forward.listener in gone)
            for listener in gone:
                self._limits.put(listener, 0)

    def _forget_member(self, interface: str) -> None:
        """Flows that lead to an interface end: their next packet begins anew."""
        self.flows.remove_if(lambda entry: entry.member.interface == interface)


def _listeners(service: Service) -> set[Listener]:
    """What a flow can be to; a ping has no port."""
    return {(protocol, service.unit.address, port) for protocol, port in [("icmp", 0), *service.listeners]}


def _via(unit: Interface | Remote) -> int | None:
    """The VRF through which it is reached."""
    return unit.via.vrf if isinstance(unit, Remote) and isinstance(unit.via, Link) else None
