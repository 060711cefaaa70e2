"""What stands in one VRF of the simulator and what has passed, as tools show it."""

from dataclasses import replace

from vrouter.backends.protocol import Drop, Flow, Nexthop, Places, Route, Stat, Vif, by_family, host_prefix
from vrouter.backends.simulator.flow_table import Entry
from vrouter.backends.simulator.standing import Port, Standing
from vrouter.state import Address, Family, Interface, Remote, Tunnel


class Tables(Standing):
    """Of one VRF."""

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
