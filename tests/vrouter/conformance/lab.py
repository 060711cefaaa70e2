"""What the conformance suite asks of a data plane: a backend, and workloads in it that talk.

A `Lab` is one backend of its own node name with nothing applied, plus the means to be a workload: to listen, to
connect, to ping. The words are those of a socket's user, so that real sockets in namespaces and simulated packets can
both stand behind them; a test never learns which. Every call returns when its outcome is known, and none sleeps.

Interfaces are given to `Backend.apply` before they are used here. The lab's backend makes workloads itself
(`create_workloads=True`); names in the suite are random, so two runs can share a machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, Protocol

from vrouter.backends.protocol import Backend, Operation
from vrouter.state import FLOW_LIMIT, Address, Family, Interface
from vrouter.state import Protocol as Transport

Endpoint = tuple[Address, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """A server answered. member: uuid of the interface whose workload it runs in. client: whom the server saw.
    local: the address and port the server was spoken to at (its own side of the socket)."""

    member: str
    client: Endpoint
    local: Endpoint


@dataclass(frozen=True, slots=True)
class Echo:
    """A ping was answered. source: where the reply came from, as the sender saw it."""

    source: Address


@dataclass(frozen=True, slots=True)
class Refused:
    """Somebody said no, at once.

    reset: TCP reset or ICMP port unreachable (ECONNREFUSED, ECONNRESET, EPIPE, or the end of a stream that was open).
    unreachable: ICMP host or network unreachable (EHOSTUNREACH, ENETUNREACH).
    """

    kind: Literal["reset", "unreachable"]


@dataclass(frozen=True, slots=True)
class Silence:
    """Nobody said anything within the lab's patience (about a second where time is real)."""


Outcome = Answer | Refused | Silence


class Connection(Protocol):
    """A client's socket that is open. Of UDP: a connected socket, so only datagrams of that very peer are heard."""

    source_port: int

    def exchange(self) -> Outcome:
        """Send a few bytes, hear who answers."""

    def close(self) -> None:
        """Close in order (FIN on both sides, for TCP)."""

    def abort(self) -> None:
        """Close with a reset (SO_LINGER 0), for TCP."""


VIPS: Mapping[Family, Address] = {4: IPv4Address("10.105.139.153"), 6: IPv6Address("fd05:139::99")}


# Of the lab's own node and of the other; with a test's family the underlay's changes, too.
VTEPS: Mapping[Family, tuple[Address, Address]] = {
    4: (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")),
    6: (IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")),
}


class Lab(Protocol):
    """name: for test ids. backend: opened. survives_restart: what was applied stands on without the process.
    foretells: it can say which member of a group a packet will be given to.
    family: of the addresses that the test uses. vip: an address for its service; the next ones are free, too.
    flow_limit: what the back-end is told (`BackendSettings`)."""

    name: str
    backend: Backend
    survives_restart: bool
    foretells: bool
    family: Family
    vip: Address

    def __init__(self, family: Family = 4, flow_limit: int = FLOW_LIMIT) -> None: ...

    @classmethod
    def unavailable(cls) -> str | None:
        """Why this machine cannot run such a lab, or None."""

    def apply(self, *operations: Operation) -> None:
        """Give these to the backend; raise the first BackendError it answers with."""

    def apply_elsewhere(self, *operations: Operation) -> None:
        """The same on another node, whose VTEP is the second of `VTEPS`; the lab's own has the first. Where nothing is
        there but the lab's own node: nothing."""

    def restart(self) -> None:
        """As after kill -9: a new `self.backend`, opened, that knows nothing of the old one's memory."""

    def listen(self, interface: Interface, protocol: Transport, port: int) -> None:
        """Start a server in the interface's workload, on all its addresses, which answers every message of every
        connection with who it is. Listening already: nothing. It ends with the interface or the lab."""

    def silence(self, interface: str) -> None:
        """End the servers in the workload of the interface with this uuid."""

    def open(
        self,
        interface: Interface,
        protocol: Transport,
        address: Address,
        port: int,
        source_port: int | None = None,
    ) -> Connection | Refused | Silence:
        """Connect from the interface's workload. UDP sends nothing yet."""

    def ping(self, interface: Interface, address: Address) -> Echo | Refused | Silence:
        """One ICMP echo request from the interface's workload."""

    def close(self) -> None:
        """End servers and connections and remove everything that the lab made on this machine."""
