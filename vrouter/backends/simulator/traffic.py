"""What has gone through each member of each listener. Unlike a flow, nothing of it is ever forgotten."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping
from typing import Literal, NamedTuple

from vrouter.backends.protocol import Stat
from vrouter.backends.simulator.flow_table import Direction, Entry
from vrouter.backends.simulator.packet import Packet
from vrouter.state import Address


class Path(NamedTuple):
    """From a port of a VIP to one of a member."""

    protocol: Literal["tcp", "udp", "icmp"]
    vip: Address
    port: int
    member_address: Address
    member_port: int


class Traffic:
    def __init__(self) -> None:
        self._counters: dict[Path, Counter[str]] = defaultdict(Counter)

    def count(self, entry: Entry, direction: Direction, packet: Packet, *, opened: bool = False) -> None:
        """A packet of a flow passes; `opened`: the first one."""
        there, translated = entry.forward, entry.translated
        path = Path(
            there.protocol, there.destination, there.destination_port, translated.destination,
            translated.destination_port,
        )  # fmt: skip
        prefix = "reverse_" if direction == "reverse" else ""
        self._counters[path].update({"connections": int(opened), f"{prefix}packets": 1, f"{prefix}bytes": packet.size})

    def stats(self, vrf: int, vips: Container[Address], members: Mapping[Address, str]) -> Iterator[Stat]:
        """Of these VIPs, without echoes. members: address -> uuid of the interface."""
        for path, counters in self._counters.items():
            if path.vip in vips and path.protocol != "icmp":
                yield Stat(
                    vrf=vrf,
                    protocol=path.protocol,
                    vip=path.vip,
                    port=path.port,
                    member=members.get(path.member_address),
                    member_address=path.member_address,
                    member_port=path.member_port,
                    connections=counters["connections"],
                    packets=counters["packets"],
                    bytes=counters["bytes"],
                    reverse_packets=counters["reverse_packets"],
                    reverse_bytes=counters["reverse_bytes"],
                )
