"""`SimulatorBackend`: the data plane without a kernel.

What is applied stands in this object and nowhere else: a new process starts empty, `observe()` tells it so, and the
agent applies everything again. Nothing is asked of the machine, so it opens everywhere.

Calls come from one thread at a time, `send` and `connect` included.
"""

import time
from collections.abc import Callable, Sequence
from itertools import cycle

from vrouter.backends.lookup import Group, Header, Lookup
from vrouter.backends.protocol import (
    BackendError,
    BackendSettings,
    Drift,
    Drop,
    Flow,
    Operation,
    Places,
    Put,
    Stat,
    Tables,
    Vif,
)
from vrouter.backends.simulator.connection import Connection, connect
from vrouter.backends.simulator.packet import FiveTuple, Packet, Refused, Verdict
from vrouter.backends.simulator.vrf import VrfTable
from vrouter.state import (
    Address,
    Check,
    Egress,
    Exit,
    Interface,
    Join,
    Key,
    Link,
    Monitor,
    Outside,
    Remote,
    Unit,
    Uplink,
    Vip,
    Vrf,
)

EPHEMERAL_PORTS = range(32_768, 61_000)  # Linux's ip_local_port_range


class SimulatorBackend:
    """A `Backend` (`vrouter/backends/protocol.py`) to which one can send packets.

    There is no other node: a remote interface counts as reached where its tunnel begins, and what it sends (`send`)
    has come out of the tunnel.

    clock: seconds for the idle times of flows, never going back. A flow takes about 1 kB.
    """

    problems: Sequence[str] = ()

    def __init__(
        self,
        settings: BackendSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._vrfs: dict[int, VrfTable] = {}  # index -> VRF
        self._home: dict[str, VrfTable] = {}  # interface uuid -> its VRF
        self._away: dict[str, VrfTable] = {}  # the same of interfaces of other nodes
        self._ports = cycle(EPHEMERAL_PORTS)
        self._disturbed: Callable[[], None] = lambda: None
        self._lost: list[Drift] = []
        self._ills: dict[tuple[str, int], str] = {}  # (interface, port) -> what its probes hear

    def open(self) -> None:
        """Always possible."""

    def observe(self) -> list[Unit]:
        """What was applied and not deleted."""
        vrfs = self._vrfs.values()
        found: list[Unit] = [vrf.unit for vrf in vrfs]
        found += [Join(vrf.unit.index, other) for vrf in vrfs for other in vrf.joins if vrf.unit.index < other]
        found += [unit for vrf in vrfs for unit in vrf.ways_out]
        found += [unit for vrf in vrfs for unit in vrf.interfaces]
        found += [unit for vrf in vrfs for unit in vrf.remotes]
        found += [unit for vrf in vrfs for unit in vrf.outsides.values()]
        found += [unit for vrf in vrfs for unit in vrf.egress.values()]
        return found + [unit for vrf in vrfs for unit in vrf.vips]

    def apply(self, operations: Sequence[Operation]) -> list[BackendError | None]:
        """A VIP of which a member's interface does not stand is made to stand with the others, and answered with an
        error that names it; the member joins when its interface comes."""
        answers: list[BackendError | None] = []
        for operation in operations:
            try:
                (self._put if isinstance(operation, Put) else self._delete)(operation.unit)
            except BackendError as error:
                answers.append(error)
            else:
                answers.append(None)
        return answers

    def tables(self, vrf: int | None = None) -> Tables:
        chosen = self._chosen(vrf)
        return Tables(
            interfaces=self.vifs(vrf),
            nexthops=[nexthop for table in chosen for nexthop in table.nexthops()],
            routes=[route for table in chosen for route in table.routes()],
        )

    def lookup(self, interface: str, header: Header) -> Lookup:
        return self._home_of(interface).lookup(interface, header)

    def groups(self, vrf: int, vip: Address) -> list[Group]:
        return self._vrfs[vrf].groups(vip) if vrf in self._vrfs else []

    def carrier(self, interface: str) -> bool | None:
        """What is plugged in here works."""
        return True if interface in self._home else None

    def vifs(self, vrf: int | None = None) -> list[Vif]:
        return [vif for table in self._chosen(vrf) for vif in table.vifs()]

    def flows(self, vrf: int | None = None) -> list[Flow]:
        return [flow for table in self._chosen(vrf) for flow in table.list_flows()]

    def drops(self) -> list[Drop]:
        return [drop for table in self._vrfs.values() for drop in table.list_drops()]

    async def probe(self, check: Check, monitor: Monitor) -> str | None:
        """Workloads are well unless `fall_ill` said otherwise."""
        if check.interface not in self._home and check.interface not in self._away:
            return "there is no such interface"
        return self._ills.get((check.interface, check.port))

    def fall_ill(self, interface: str, port: int, text: str | None) -> None:
        """From now on probes of that port hear this; None: it is well again."""
        if text is None:
            self._ills.pop((interface, port), None)
        else:
            self._ills[interface, port] = text

    def stats(self, vrf: int | None = None) -> list[Stat]:
        return [stat for table in self._chosen(vrf) for stat in table.list_stats()]

    def watch(self, disturbed: Callable[[], None]) -> None:
        self._disturbed = disturbed

    def drift(self) -> list[Drift]:
        found, self._lost = self._lost, []
        return found

    def lose(self, key: Key) -> None:
        """Somebody removes that unit behind the agent's back. KeyError: it does not stand."""
        unit = {unit.key: unit for unit in self.observe()}[key]
        self._delete(unit)
        self._lost.append(Drift(str(key[0]), "was removed by somebody", key))
        self._disturbed()

    def counts(self, vip: Vip) -> list[Stat]:
        members = {(one.protocol, one.port, member.address, member.port)
                   for one in vip.listeners for member in one.members}  # fmt: skip
        return [stat for stat in self.stats(vip.vrf) if stat.vip == vip.address
                and (stat.protocol, stat.port, stat.member_address, stat.member_port) in members]  # fmt: skip

    def places(self, vip: Vip | None = None) -> list[Places]:
        chosen = self._chosen(vip.vrf if vip else None)
        return [one for table in chosen for one in table.list_places(vip.address if vip else None)]

    def cleanup(self) -> list[str]:
        removed = [f"VRF {vrf.unit.index} ({vrf.unit.name})" for vrf in self._vrfs.values()]
        self._vrfs.clear()
        self._home.clear()
        self._away.clear()
        return removed

    def close(self) -> None:
        """What stands goes on forwarding, as long as this object lives."""

    def send(self, interface: str, packet: Packet) -> Verdict:
        """The workload behind `interface` (a uuid) sends a packet. BackendError: there is no such interface."""
        return self._home_of(interface).forward(interface, packet)

    def arrive(self, packet: Packet) -> Verdict:
        """A packet comes from outside. BackendError: nothing here has its destination."""
        for table in self._vrfs.values():
            if packet.destination in table.outsides:
                return table.enter(packet)
        raise BackendError(f"Nobody outside leads to {packet.destination} here")

    def connect(
        self, interface: str, address: Address, port: int, source_port: int | None = None
    ) -> Connection | Refused:
        """Open a TCP connection from the workload behind `interface` to a VIP, or to another interface's address.

        source_port: an ephemeral one that no living flow has, unless given. BackendError: there is no such interface.
        """
        home = self._home_of(interface)
        source = home.address_of(interface, address.version)
        if source_port is not None:
            return connect(self.send, interface, FiveTuple("tcp", source, source_port, address, port))
        for _ in EPHEMERAL_PORTS:
            header = FiveTuple("tcp", source, next(self._ports), address, port)
            if home.flows.find(header) is None:
                return connect(self.send, interface, header)
        raise BackendError(f"{source} has no free port left for {address}:{port}")

    def _put(self, unit: Unit) -> None:
        if isinstance(unit, Vrf):
            self._put_vrf(unit)
        elif isinstance(unit, Vip):
            self._put_vip(unit)
        elif isinstance(unit, Uplink | Exit | Outside | Egress):
            self._standing(unit.vrf, f"the way out of VRF {unit.name}").put_way_out(unit)
        elif isinstance(unit, Join):
            one, other = self._standing(unit.one, "a join"), self._standing(unit.other, "a join")
            one.joins[unit.other], other.joins[unit.one] = other, one
        else:
            self._put_base(unit)

    def _put_vrf(self, unit: Vrf) -> None:
        if unit.index in self._vrfs:
            self._vrfs[unit.index].unit = unit
            return
        # Another seed for each node and VRF: two levels of equal hashes would send everything the same way.
        seed = f"{self._settings.node}/{unit.index}".encode()[-64:]
        self._vrfs[unit.index] = VrfTable(unit, seed, self._settings.flow_limit, self._clock)

    def _put_base(self, unit: Interface | Remote) -> None:
        vrf = self._standing(unit.vrf, f"interface {unit.name}")
        if isinstance(unit, Remote) and isinstance(unit.via, Link):
            if unit.via.vrf not in vrf.joins:
                raise BackendError(f"Remote interface {unit.name}: VRF {unit.vrf} has no way by {unit.via}")
            vrf.put_interface(unit)  # its home is another VRF
            return
        if isinstance(unit, Remote) and vrf.unit.vtep is None:
            raise BackendError(f"Remote interface {unit.name}: VRF {unit.vrf} has no VTEP")
        homes = self._homes(unit)
        home = homes.get(unit.uuid)
        if home is not None and home is not vrf:
            home.delete_interface(unit.uuid)
        vrf.put_interface(unit)
        homes[unit.uuid] = vrf

    def _homes(self, unit: Interface | Remote) -> dict[str, VrfTable]:
        return self._home if isinstance(unit, Interface) else self._away

    def _put_vip(self, unit: Vip) -> None:
        missing = self._standing(unit.vrf, f"VIP {unit.address}").put_vip(unit)
        if missing:
            raise BackendError(f"VIP {unit.address}: no interface {', '.join(missing)} in VRF {unit.vrf}")

    def _delete(self, unit: Unit) -> None:
        if isinstance(unit, Vrf):
            vrf = self._vrfs.pop(unit.index, None)
            for table in self._vrfs.values():
                table.unjoin(unit.index)
            self._home = {uuid: home for uuid, home in self._home.items() if home is not vrf}
            self._away = {uuid: home for uuid, home in self._away.items() if home is not vrf}
        elif isinstance(unit, Vip):
            if vrf := self._vrfs.get(unit.vrf):
                vrf.delete_vip(unit.address)
        elif isinstance(unit, Uplink | Exit | Outside | Egress):
            if vrf := self._vrfs.get(unit.vrf):
                vrf.delete_way_out(unit)
        elif isinstance(unit, Join):
            for index, away in ((unit.one, unit.other), (unit.other, unit.one)):
                if index in self._vrfs:
                    self._vrfs[index].unjoin(away)
        elif isinstance(unit, Remote) and isinstance(unit.via, Link):
            if vrf := self._vrfs.get(unit.vrf):
                vrf.delete_interface(unit.uuid)
        elif home := self._homes(unit).pop(unit.uuid, None):
            home.delete_interface(unit.uuid)

    def _standing(self, vrf: int, what: str) -> VrfTable:
        if vrf not in self._vrfs:
            raise BackendError(f"There is no VRF {vrf} for {what}")
        return self._vrfs[vrf]

    def _home_of(self, interface: str) -> VrfTable:
        home = self._home.get(interface) or self._away.get(interface)
        if home is None:
            raise BackendError(f"There is no interface {interface}")
        return home

    def _chosen(self, vrf: int | None) -> list[VrfTable]:
        return [table for index, table in self._vrfs.items() if vrf in (None, index)]
