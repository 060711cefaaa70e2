"""Packets that one can send through the simulator, and what becomes of them."""

import enum
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

from vrouter.state import Address


class TcpFlag(enum.IntFlag):
    """Control bits of a TCP header (RFC 9293, section 3.1)."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10


Listener = tuple[str, Address, int]
"""Protocol, VIP and port."""


class FiveTuple(NamedTuple):
    """What identifies one direction of a flow."""

    protocol: Literal["tcp", "udp", "icmp"]
    source: Address
    source_port: int
    destination: Address
    destination_port: int

    @property
    def listener(self) -> "Listener":
        """To which a client sends it."""
        return (self.protocol, self.destination, self.destination_port)

    def reversed(self) -> "FiveTuple":
        return FiveTuple(self.protocol, self.destination, self.destination_port, self.source, self.source_port)


NO_FLAGS = TcpFlag(0)


@dataclass(frozen=True, slots=True)
class Packet:
    """An IP packet as far as forwarding looks at it. size: bytes, IP header included.

    An ICMP packet is an echo. Its identifier takes the place of the sender's port in a request and of the receiver's
    port in a reply; the other port is 0 (a flow's key is made so in Contrail as well).
    """

    protocol: Literal["tcp", "udp", "icmp"]
    source: Address
    destination: Address
    source_port: int = 0
    destination_port: int = 0
    flags: TcpFlag = NO_FLAGS
    size: int = 64

    @property
    def five_tuple(self) -> FiveTuple:
        return FiveTuple(self.protocol, self.source, self.source_port, self.destination, self.destination_port)

    @property
    def opens(self) -> bool:
        """Whether this is the first segment of a TCP connection (a bare SYN)."""
        return self.protocol == "tcp" and self.flags & (TcpFlag.SYN | TcpFlag.ACK) == TcpFlag.SYN

    def with_header(self, header: FiveTuple) -> Self:
        """The same packet between other addresses and ports."""
        return replace(
            self,
            source=header.source,
            source_port=header.source_port,
            destination=header.destination,
            destination_port=header.destination_port,
        )

    def reply(self, flags: TcpFlag = NO_FLAGS) -> Self:
        """A packet of the same size from where this one arrived, back to where it says it comes from."""
        return replace(self.with_header(self.five_tuple.reversed()), flags=flags)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The packet left through `interface` (a uuid), with the header it has there."""

    interface: str
    packet: Packet


@dataclass(frozen=True, slots=True)
class Refused:
    """The sender got an answer at once that says no. reason: Contrail's word, as `Drop.reason`."""

    reason: str
    answer: Literal["tcp-reset", "port-unreachable", "host-unreachable"]


@dataclass(frozen=True, slots=True)
class Dropped:
    """The packet is gone and nobody was told: a refusal is never answered with a refusal. reason: as `Drop.reason`."""

    reason: str


Verdict = Delivered | Refused | Dropped
