"""What the data plane should be, as values.

The compiler makes these from the objects, the reconciler compares them, a backend makes them true. They are named by
what an operator names (a VRF, an interface's uuid, a VIP), never by a kernel id: numbers of nexthops, groups and marks
are the backend's own affair, found again in the kernel after a restart.

A *unit* is the smallest thing that is compiled, compared and applied by itself: a `Vrf`, a `Join`, an
`Uplink`, an `Exit`, an `Interface`, a `Remote`, an `Outside`, an `Egress` or a `Vip`.
Each has a `key`; two units with one key are two versions of the same thing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, NamedTuple

Family = Literal[4, 6]
FAMILIES: tuple[Family, ...] = (4, 6)
Address = IPv4Address | IPv6Address
Protocol = Literal["tcp", "udp"]
Key = tuple[str | int, ...]

# Seconds for which a client is remembered after its last new connection: `service.spec.sessionAffinityConfig` of
# Kubernetes has the same default; Contrail's pools have no property for it.
AFFINITY = 10_800

FLOW_LIMIT = 512 * 1024  # of one protocol in one VRF, unless the agent is told otherwise: vRouter's VR_DEF_FLOW_ENTRIES


@dataclass(frozen=True, slots=True)
class Vtep:
    """A VRF's own end of its VXLAN (RFC 7348). address: this node's, in the underlay. vni: 1..2**24-1, of the network,
    the same on all nodes."""

    address: Address
    vni: int

    def __str__(self) -> str:
        return f"{self.address} VNI {self.vni}"


@dataclass(frozen=True, slots=True)
class Vrf:
    """A routing instance that has an interface on this node.

    index: the virtual network's `virtual_network_network_id`, Contrail's own number for it, unique in the cluster.
    name: the routing instance's fq_name, joined by colons. vtep: None: it has no way to other nodes.
    """

    index: int
    name: str
    vtep: Vtep | None = None

    @property
    def key(self) -> Key:
        return ("vrf", self.index)


@dataclass(frozen=True, slots=True)
class HostAddress:
    """An address of a workload. gateway: of the same family, what the VRF's side answers for."""

    address: Address
    gateway: Address

    def __str__(self) -> str:
        return f"{self.address} via {self.gateway}"


@dataclass(frozen=True, slots=True)
class Interface:
    """A virtual-machine-interface of this node: one veth between a VRF and a workload's namespace.

    uuid: of the virtual-machine-interface. name: its fq_name, joined by colons, for people.
    workload: name of the namespace, `[A-Za-z0-9_.-]{1,64}`. mac: of the workload's side, six lower-case hexadecimal
    pairs. addresses: one or two, at most one of each family, IPv4 first. device: of this machine, which others made and
    a port names as its link (`Plug`); then the workload's side is theirs and there need be no such namespace. Empty: a
    veth is made.
    """

    uuid: str
    name: str
    vrf: int
    workload: str
    mac: str
    addresses: tuple[HostAddress, ...]
    device: str = ""

    @property
    def key(self) -> Key:
        return ("interface", self.uuid)

    @property
    def address(self) -> Address:
        """Its first one, by which it is shown."""
        return self.addresses[0].address

    @property
    def address_text(self) -> str:
        """All of them, for people."""
        return " and ".join(str(one.address) for one in self.addresses)

    def address_of(self, family: Family) -> Address | None:
        """Its address of that family, if it has one."""
        for one in self.addresses:
            if one.address.version == family:
                return one.address
        return None


@dataclass(frozen=True, slots=True)
class Plug:
    """What a port says of an interface: it is on this node, behind that device. machine: uuid of its virtual-machine,
    or of the interface where the port names none."""

    device: str
    machine: str


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The way to another node. router: the address of its VTEP, of the family of the VRF's own."""

    router: Address

    def __str__(self) -> str:
        return f"VXLAN to {self.router}"


@dataclass(frozen=True, slots=True)
class Link:
    """The way through another VRF of this node, by its index."""

    vrf: int

    def __str__(self) -> str:
        return f"VRF {self.vrf}"


@dataclass(frozen=True, slots=True)
class Remote:
    """An interface that a VRF reaches though it does not stand in it here.

    uuid: of the virtual-machine-interface. name: its fq_name, joined by colons, for people. vrf: index of the VRF that
    reaches it. addresses: one or two, at most one of each family, IPv4 first. guarded: from this VRF it gets what has
    gone through a VIP, and answers, and nothing else.
    """

    uuid: str
    name: str
    vrf: int
    addresses: tuple[Address, ...]
    via: Tunnel | Link
    guarded: bool = False

    @property
    def key(self) -> Key:
        return ("remote", self.vrf, self.uuid)

    @property
    def address(self) -> Address:
        """Its first one, by which it is shown."""
        return self.addresses[0]

    @property
    def address_text(self) -> str:
        """All of them, for people."""
        return " and ".join(map(str, self.addresses))

    def address_of(self, family: Family) -> Address | None:
        """Its address of that family, if it has one."""
        return next((one for one in self.addresses if one.version == family), None)


@dataclass(frozen=True, slots=True)
class Join:
    """What connects two VRFs of this node, by their indices, the smaller first: the way of `Remote`s with a `Link`."""

    one: int
    other: int

    @classmethod
    def between(cls, vrf: int, other: int) -> "Join":
        return cls(min(vrf, other), max(vrf, other))

    @property
    def key(self) -> Key:
        return ("join", self.one, self.other)

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.one} and {self.other}"


@dataclass(frozen=True, slots=True)
class Uplink:
    """What connects an external network's VRF with this node's own namespace, and so with the outside. device: of the
    node, by which the outside is reached."""

    vrf: int
    device: str

    @property
    def key(self) -> Key:
        return ("uplink", self.vrf)

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.vrf} by {self.device}"


@dataclass(frozen=True, slots=True)
class Exit:
    """What a VRF sends to nobody that it knows, of one family, goes out: to the VRF `via`, which is joined with it, or
    (None) by its own uplink. But answers only."""

    vrf: int
    family: Family
    via: int | None

    @property
    def key(self) -> Key:
        return ("exit", self.vrf, self.family)

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.vrf} by {'its uplink' if self.via is None else f'VRF {self.via}'}"


@dataclass(frozen=True, slots=True)
class Outside:
    """An address of a VRF with an uplink that the outside reaches here. name: whose, for people. announced: this node
    tells the outside's network that it has it, as one that asks for neighbours hears. inside: the address in the VRF
    `home` that it stands for, in both directions; None: it is a VIP's."""

    vrf: int
    address: Address
    name: str
    announced: bool
    inside: Address | None = None
    home: int | None = None

    @property
    def key(self) -> Key:
        return ("outside", self.vrf, str(self.address))


@dataclass(frozen=True, slots=True)
class Egress:
    """An address of an interface that may open connections by its VRF's exit, for it has an address outside."""

    vrf: int
    address: Address

    @property
    def key(self) -> Key:
        return ("egress", self.vrf, str(self.address))

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.vrf} of {self.address}"


def addresses_of(unit: Interface | Remote) -> tuple[Address, ...]:
    """Its own, without gateways."""
    return unit.addresses if isinstance(unit, Remote) else tuple(one.address for one in unit.addresses)


class Member(NamedTuple):
    """A back-end of one listener. interface: uuid of its `Interface` or `Remote`, in the VIP's VRF. weight: 1..256.
    port: where it listens, 1..65535."""

    interface: str
    address: Address
    port: int
    weight: int = 1


class Listener(NamedTuple):
    """(protocol, port) of a VIP and the back-ends that answer for it, in a fixed order. None: refused at once.

    affinity: a client's new connections go to the member of its last one, as long as that is a member: seconds after
    the last new one, `AFFINITY` or 0 for none. limit: the most connections at a time, 0 for no limit; what is beyond is
    refused."""

    protocol: Protocol
    port: int
    members: tuple[Member, ...]
    affinity: int = 0
    limit: int = 0

    @property
    def backends(self) -> dict[str, Member]:
        """One member for each interface, as `strongest` has them."""
        return strongest(self.members)


@dataclass(frozen=True, slots=True)
class Vip:
    """A service address in one VRF from which it may be reached. name: the loadbalancer's fq_name, joined by colons.
    Its members are of its family.

    `VIP/32` (IPv6: `/128`) leads to the group of all back-ends; a listener whose back-ends are fewer chooses among its
    own.
    """

    vrf: int
    address: Address
    name: str
    listeners: tuple[Listener, ...]

    @property
    def key(self) -> Key:
        return ("vip", self.vrf, str(self.address))

    @property
    def interfaces(self) -> set[str]:
        """uuids of those that answer for it."""
        return {member.interface for listener in self.listeners for member in listener.members}

    @property
    def backends(self) -> dict[str, Member]:
        """One member for each interface, of all listeners, as `strongest` has them."""
        return strongest(member for listener in self.listeners for member in listener.members)


def socket_address(address: Address, port: int) -> str:
    """`10.0.0.1:80` or `[fd00::1]:80` (RFC 5952)."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def strongest(members: Iterable[Member]) -> dict[str, Member]:
    """interface uuid -> the member with the greatest weight there, in the order of the uuids: a group has an interface
    once."""
    chosen: dict[str, Member] = {}
    for member in members:
        other = chosen.setdefault(member.interface, member)
        if other is not member and (member.weight > other.weight or (member.weight == other.weight and member < other)):
            chosen[member.interface] = member
    return dict(sorted(chosen.items()))


Unit = Vrf | Join | Uplink | Exit | Interface | Remote | Outside | Egress | Vip


def base_of(units: Mapping[Key, Unit], vrf: int, uuid: str) -> Interface | Remote | None:
    """What a VIP in that VRF reaches an interface by, among these units."""
    found = units.get(("interface", uuid))
    if isinstance(found, Interface) and found.vrf == vrf:
        return found
    found = units.get(("remote", vrf, uuid))
    return found if isinstance(found, Remote) else None


MonitorKind = Literal["ping", "tcp", "http", "https"]


@dataclass(frozen=True, slots=True)
class Monitor:
    """How a health monitor probes. uuid, name: of the loadbalancer-healthmonitor.

    delay: seconds from the beginning of a probe to that of the next. timeout: seconds a probe may take.
    retries: good or bad answers in a row that change a member's state. codes: ranges of good HTTP statuses, both ends
    included.
    """

    uuid: str
    name: str
    kind: MonitorKind
    delay: int
    timeout: int
    retries: int
    method: str = ""
    path: str = ""
    codes: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """A member that is probed: it takes connections only while all its monitors are content.

    member: uuid of the loadbalancer-member. interface: of its `Interface` or `Remote`, in the VRF from which it is
    probed.
    """

    member: str
    interface: str
    vrf: int
    address: Address
    port: int
    monitors: tuple[Monitor, ...]

    @property
    def target(self) -> tuple[str, int, Address, int]:
        """What is probed; how is another matter."""
        return self.interface, self.vrf, self.address, self.port


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of a probed member. waiting: no good answer yet. monitor: by which, as people call it. text: of a
    member that is down, what was wrong, a clause."""

    state: Literal["waiting", "up", "down"]
    monitor: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Reason:
    """Why something that was asked for is not done, for people.

    subject: (resource type, uuid) of the object it is about. code: a short stable word. text: a whole sentence.
    """

    subject: tuple[str, str]
    code: str
    text: str
