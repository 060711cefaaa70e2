"""The seam between the agent and what forwards packets.

A backend is idempotent operations on units and a look at what stands. It decides nothing: which units there are, in
which order and when to retry is the reconciler's. A backend knows `vrouter.state` and nothing else of this project.

Backends are found by entry point in the group `vaportrail.backends`: a callable `(BackendSettings) -> Backend`.
All calls but `probe` come from one thread at a time and may block for a short while.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from vrouter import state
from vrouter.backends.lookup import Group, Header, Lookup
from vrouter.state import FLOW_LIMIT, Address, Check, HostAddress, Key, Monitor, Unit, Vip


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """node: this node's name; what a backend makes carries it, so that two agents can share a machine.
    create_workloads: make the namespace of a workload (and delete it again); else plug into one that exists.
    flow_limit: flows of one protocol in one VRF; when there are so many, new ones are refused."""

    node: str
    create_workloads: bool = False
    flow_limit: int = FLOW_LIMIT


class BackendError(Exception):
    """An operation could not be done. The text is a sentence for people. permanent: trying again is of no use until
    the desired unit changes (a name somebody else has, say)."""

    def __init__(self, text: str, *, permanent: bool = False) -> None:
        super().__init__(text)
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Put:
    """Make `unit` stand, whatever stands of it now. Only what differs is changed."""

    unit: Unit


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove `unit`, as it was applied. Absent already: done."""

    unit: Unit


Operation = Put | Delete


@dataclass(frozen=True, slots=True)
class Nexthop:
    """A next hop or group as it stands. kind: encap (one interface), tunnel (one on another node) or composite (ECMP).

    id: unique in its VRF. members: (id, weight) of a composite. interface: uuid of an encap's or tunnel's. router, vni:
    of a tunnel, as in `Tunnel` and `Vtep`."""

    vrf: int
    id: int
    kind: Literal["encap", "tunnel", "composite"]
    interface: str | None = None
    device: str | None = None
    address: Address | None = None
    members: tuple[tuple[int, int], ...] = ()
    router: Address | None = None
    vni: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """prefix: `a.b.c.d/n` or `x::y/n`. nexthop: id of a `Nexthop` of the VRF. refused: known, but without a usable
    member."""

    vrf: int
    prefix: str
    nexthop: int | None
    refused: bool = False


def host_prefix(address: Address) -> str:
    """As a `Route` to that address alone has it."""
    return f"{address}/{address.max_prefixlen}"


def by_family(address: Address) -> tuple[int, Address]:
    """A key to sort addresses of both families."""
    return address.version, address


@dataclass(frozen=True, slots=True)
class Vif:
    """An interface as it stands. device: its name in the VRF. addresses: as in `Interface`. Counters: what the workload
    received and sent."""

    uuid: str
    vrf: int
    device: str
    workload: str
    addresses: tuple[HostAddress, ...]
    mac: str
    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow from a client to a VIP and back. packets, bytes: client to VIP; reverse_*: the answers.
    expires: seconds until it is forgotten if nothing comes any more. idle: seconds since the last packet.
    closing: a FIN or RST was seen."""

    vrf: int
    protocol: state.Protocol
    source: Address
    source_port: int
    vip: Address
    port: int
    member: str | None
    member_address: Address
    member_port: int
    packets: int
    bytes: int
    reverse_packets: int
    reverse_bytes: int
    expires: float
    idle: float = 0.0
    closing: bool = False


@dataclass(frozen=True, slots=True)
class Drop:
    """Packets refused. reason: Contrail's word (`NoFipPortMap`: no listener has the port;
    `NoDstRt`: no usable member); of our own `ConnLim`: the listener has as many connections as it may."""

    vrf: int
    reason: str
    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Stat:
    """What has gone from one port of a VIP to one back-end and back since the VRF was made.

    It does not go down when flows end or agents restart. Nor do the totals of a listener or VIP, which are sums, ever:
    what went to a member that has left, or through a listener that was removed, stays. Members that left long ago may
    be one together, with port 0 of no address.

    member: uuid of the interface that has the address now, None without one. connections: flows begun, of UDP, too; a
    connection attempt that the client repeats counts again. packets, bytes: client to VIP, IP headers included;
    reverse_*: the answers. Refused packets are `Drop`s and not counted here.
    """

    vrf: int
    protocol: state.Protocol
    vip: state.Address
    port: int
    member: str | None
    member_address: state.Address
    member_port: int
    connections: int
    packets: int
    bytes: int
    reverse_packets: int
    reverse_bytes: int


@dataclass(frozen=True, slots=True)
class Places:
    """Of a listener with a limit. taken: by connections that are open, or were until a moment ago. refused: packets
    that found no place, since it has a limit."""

    vrf: int
    protocol: state.Protocol
    vip: state.Address
    port: int
    limit: int
    taken: int
    refused: int


@dataclass(frozen=True, slots=True)
class Tables:
    """What stands, as the tools show it."""

    interfaces: Sequence[Vif] = field(default_factory=tuple)
    nexthops: Sequence[Nexthop] = field(default_factory=tuple)
    routes: Sequence[Route] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Drift:
    """Something that does not stand as it was made, by no doing of this backend. kind: of the object, a short stable
    word (`link`, `carrier`, `nexthop`, `route`, `element`, ...). text: what was found, a clause. mended: it stands
    again; else `unit` has to be put again."""

    kind: str
    text: str
    unit: Key | None = None
    mended: bool = False


class Backend(Protocol):
    """See the module."""

    @property
    def problems(self) -> Sequence[str]:
        """Empty, or what this machine lacks and how it was worked round, in sentences; as it is now."""

    def open(self) -> None:
        """Get ready. BackendError (permanent) if this machine cannot serve, with the reason and what to do."""

    def observe(self) -> list[Unit]:
        """The units that stand, made by this node's agent before: VRFs, then interfaces, remote ones, VIPs. One of
        which a part is missing or different is given as it is, or as one that nobody wants (without name): a later Put
        mends it, a Delete removes the rest of it."""

    def apply(self, operations: Sequence[Operation]) -> list[BackendError | None]:
        """Do these in order; one answer each. One that fails leaves the others alone and nothing half done of its own
        that a second Put would not mend."""

    def tables(self, vrf: int | None = None) -> Tables:
        """What stands now, asked of the thing itself, in one VRF or all."""

    def lookup(self, interface: str, header: Header) -> Lookup:
        """What becomes of a packet with this header that the workload behind `interface` (a uuid) sends: asked, and
        nothing is changed. BackendError: there is no such interface, or it has no address of that family."""

    def groups(self, vrf: int, vip: Address) -> Sequence[Group]:
        """The VIP's group as it stands now, then that of each listener with one of its own. Empty: no such VIP."""

    def carrier(self, interface: str) -> bool | None:
        """Whether the link of that interface (a uuid) works; None if there is none."""

    def vifs(self, vrf: int | None = None) -> Sequence[Vif]:
        """The interfaces that stand, with their counters now."""

    def flows(self, vrf: int | None = None) -> Iterable[Flow]: ...

    def drops(self) -> Sequence[Drop]: ...

    def stats(self, vrf: int | None = None) -> Sequence[Stat]:
        """The counters of all VIPs that stand, of one VRF or all, read now; in no order."""

    def counts(self, vip: Vip) -> Sequence[Stat]:
        """The counters of this VIP's members, looked up one by one: what `stats` has of them, but not of all others.
        Who has got nothing yet may be missing."""

    def places(self, vip: Vip | None = None) -> Sequence[Places]:
        """Of the limited listeners of this VIP, or of all, read now."""

    async def probe(self, check: Check, monitor: Monitor) -> str | None:
        """Ask a member once whether it serves, from inside its VRF. None: a good answer; else what was wrong, a clause
        that is the same for the same fault. Takes `monitor.timeout` seconds at most. Runs on the agent's event loop,
        many at a time, also while another call runs in its thread. OSError: this machine's own trouble (no file or
        buffer is left), which tells nothing of the member."""

    def watch(self, disturbed: Callable[[], None]) -> None:
        """From now on, once `open`, look out for what others do to what stands, and call `disturbed`, from any thread,
        when `drift` has something to look at."""

    def drift(self) -> list[Drift]:
        """Look at what others may have changed since the last call, each object by itself, and put right what can be
        put right where it is. What is given has been found different just now, between two operations. Nothing is
        removed that is not in the way."""

    def cleanup(self) -> list[str]:
        """Remove everything this node's agents ever made here, and nothing else. A line for each thing removed."""

    def close(self) -> None:
        """Let go; what stands stays and goes on forwarding."""
