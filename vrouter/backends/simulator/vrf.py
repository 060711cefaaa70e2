"""One VRF of the simulator, and the way of a packet through it.

The way is that of the kernel backend. A packet of a known flow is translated and follows it. A new one to a VIP takes
the listener's group (per listener, so that a port reaches only pods that serve it), where the hash chooses; the choice
is recorded before the packet leaves. Anything else is plain routing to `address/32`. Nothing to a VIP ever leaves
untranslated: without listener or usable member it is refused at once and counted.
"""

from dataclasses import replace

from vrouter.backends.lookup import Group as Looked
from vrouter.backends.lookup import Header, Lookup, Match, Share
from vrouter.backends.protocol import host_prefix
from vrouter.backends.simulator.flow_table import Entry
from vrouter.backends.simulator.group import Group, hash_of
from vrouter.backends.simulator.packet import Delivered, Dropped, FiveTuple, Packet, Refused, TcpFlag, Verdict
from vrouter.backends.simulator.standing import Port, Service
from vrouter.backends.simulator.tables import Tables
from vrouter.state import Address, Link, Member, Protocol, Remote

# Contrail's words (`flow_get_drop_reason` in tf-vrouter's utils/flow.c).
NO_PORT_MAP = "NoFipPortMap"
NO_ROUTE = "NoDstRt"
FLOW_LIMIT = "FlowLim"
NO_REVERSE_FLOW = "NoRevFlow"
POLICY = "Policy"
OUTSIDE = "outside"  # who gets what leaves by an uplink
SAME_FLOW = "SameFlowRflowKey"
CONNECTION_LIMIT = "ConnLim"  # of our own; Contrail has no limit of listeners


class VrfTable(Tables):
    """To which packets can be given."""

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
