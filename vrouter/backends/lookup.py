"""What becomes of one packet, asked of what forwards it and not reckoned: values.

`Backend.lookup` makes a `Lookup` and `Backend.groups` the `Group`s of one VIP; nothing is sent and nothing changes.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vrouter.state import Address, Protocol

if TYPE_CHECKING:
    from vrouter.backends.protocol import Flow


class Header(NamedTuple):
    """What a packet carries: the 5-tuple. Both addresses are of one family."""

    protocol: Protocol
    source: Address
    source_port: int
    destination: Address
    destination_port: int

    def reversed(self) -> "Header":
        return Header(self.protocol, self.destination, self.destination_port, self.source, self.source_port)


@dataclass(frozen=True, slots=True)
class Share:
    """A next hop in a group. id: its own. interface: uuid of the one it leads out of; None if that is nobody's."""

    id: int
    weight: int
    interface: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """The group that a VIP, or a listener of its own, leads to. listener: None for the VIP's. asked: the address that
    is routed. nexthop: the group's id; None: no route leads anywhere, what comes is refused."""

    listener: tuple[Protocol, int] | None
    asked: Address
    nexthop: int | None = None
    members: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """The route that the FIB finds, and the next hop that its hash takes for this very header.

    asked: the address that is looked up: the destination, or the surrogate of a listener that has a group of its own.
    prefix, nexthop: as in `Route`. members: of a group as it stands. hop: id of the next hop taken, None if the backend
    cannot tell which of the members.
    interface, device: it leads out of; None where nobody is (`interface`) or it is the VRF itself (device `lo`).
    """

    asked: Address
    prefix: str
    nexthop: int | None = None
    members: tuple[Share, ...] = ()
    hop: int | None = None
    interface: str | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """The way of a packet with this header, from the workload behind `interface` (a uuid).

    device: by which it enters the VRF. vip: whether the destination is one. match: what a new connection is routed by.
    flow: the living one it belongs to, which goes before the choice of the FIB; but a TCP connection that is opened
    anew from the same port is a new one. reverse: it is an answer on that flow.
    refused: Contrail's word (as `Drop.reason`), empty if it passes. target, out: uuid and device of the interface it
    leaves by, None if nobody can tell which member's. translated: as the receiver gets it. back: device by which the
    answer reaches the sender.
    """

    vrf: int
    interface: str
    device: str
    header: Header
    vip: bool
    match: Match
    flow: "Flow | None" = None
    reverse: bool = False
    refused: str = ""
    target: str | None = None
    out: str | None = None
    translated: Header | None = None
    back: str | None = None
