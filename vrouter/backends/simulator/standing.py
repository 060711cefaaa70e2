"""What stands in one VRF of the simulator: interfaces, VIPs, ways out of it, and what depends on them."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

from vrouter.backends.protocol import BackendError
from vrouter.backends.simulator.affinity import Affinity
from vrouter.backends.simulator.asked import Asked
from vrouter.backends.simulator.flow_table import FlowTable
from vrouter.backends.simulator.group import Group
from vrouter.backends.simulator.limits import Limits
from vrouter.backends.simulator.packet import FiveTuple, Listener, Packet
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
    Uplink,
    Vip,
    Vrf,
    addresses_of,
)


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


class Standing:
    """Of one VRF. seed: of its hash. flows: its flow table, which no other VRF sees. joins: index -> a VRF that is
    joined to this one."""

    joins: dict[int, Self]

    def __init__(self, unit: Vrf, seed: bytes, flow_limit: int, clock: Callable[[], float]) -> None:
        self.unit = unit
        self.flows = FlowTable(flow_limit, clock)
        self.joins = {}
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
