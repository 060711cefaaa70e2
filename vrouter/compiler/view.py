"""What a compile function sees of the world, and what it gives back.

A function of this package is pure: it reads through a `View` and returns a `Result`. The view notes each fact that was
read; the engine runs the function again when one of them changes, and only then. So no list of "what touches what" has
to be maintained by hand, or can be forgotten.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Literal, NamedTuple, Protocol

from vrouter.cache import Cache, Fact, children_of, health_of, holders_of, name_of, referrers_of, router_of
from vrouter.objects import Object
from vrouter.state import Address, Check, Health, Interface, Plug, Reason, Remote, Unit, Vrf

Rule = Literal[
    "router", "network", "peers", "interface", "joined", "listener", "pool", "loadbalancer", "floating-ip", "outlook",
    "leak", "inlet", "needs", "scopes",
]  # fmt: skip
PORTS: Fact = ("ports",)
"""Which ports there are; who plugs touches it."""
Node = tuple[Rule, str]  # what is computed, and for which uuid
Mark = tuple[Fact, str]
"""A fact that results make true together, and a value of it: true as long as one of them has it."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """uuid: as instance-ips name it; None where only the address tells. gateway, dns: None if it has none."""

    uuid: str | None
    network: IPv4Network | IPv6Network
    gateway: Address | None
    dns: Address | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """A virtual-network. name: fq_name joined by colons. vrf: None until it has a network id."""

    uuid: str
    name: str
    vrf: Vrf | None
    subnets: tuple[Subnet, ...]
    policies: tuple[str, ...]  # in their sequence
    external: bool = False


@dataclass(frozen=True, slots=True)
class Peer:
    """A network (its uuid) that exchanges routes with another. inward: it may open connections to that; outward: that
    to it."""

    network: str
    inward: bool
    outward: bool


@dataclass(frozen=True, slots=True)
class Sight:
    """A VRF of this node, of another network, from which interfaces are reached; guarded: as in `Remote`."""

    network: str
    vrf: int
    guarded: bool


@dataclass(frozen=True, slots=True)
class Router:
    """A virtual-router. name: of the node. address: of its VTEP in the underlay, None if it has none."""

    name: str
    address: Address | None


@dataclass(frozen=True, slots=True)
class Located:
    """A virtual-machine-interface that can be reached in the VRF of its network (a uuid): one of this node, or what
    that VRF has of one of another node, whether the VRF stands here or not. node: its name."""

    interface: Interface | Remote
    vrf: Vrf
    network: str
    node: str

    @property
    def here(self) -> bool:
        return isinstance(self.interface, Interface)


@dataclass(frozen=True, slots=True)
class Absent:
    """A virtual-machine-interface that can not. text: a clause with the interface as its subject. where: whose it is
    to make it stand."""

    code: str
    text: str
    where: Literal["here", "elsewhere", "nowhere"] = "nowhere"


class Unusable(Exception):
    """A reason on its way up, not an error. text: a clause; who catches it knows the subject."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


Value = Router | Network | tuple[Peer, ...] | tuple[Sight, ...] | tuple[str, ...] | Located | Absent | None


class Result(NamedTuple):
    """value: for other functions to read. units: for the data plane. age: who was first, where two want one address.
    marks: facts for functions that come later."""

    value: Value = None
    units: tuple[Unit, ...] = ()
    reasons: tuple[Reason, ...] = ()
    age: str = ""
    marks: frozenset[Mark] = frozenset()


def local(network: str) -> Fact:
    """An interface of this node is in that network."""
    return ("local", network)


def clash(one: str, other: str) -> Fact:
    """These two networks are not joined, though policies would: an address is twice in what they would share."""
    return ("clash", *sorted((one, other)))


def shown(uuid: str) -> Fact:
    """Networks from which an interface, or all of a network, is reached for the sake of a service alone."""
    return ("shown", uuid)


def uplink(network: str) -> Fact:
    """The VRF of that network is reached from outside, by this node."""
    return ("uplink", network)


class Evaluator(Protocol):
    """The engine, as a view needs it."""

    node: str
    external: str | None
    cache: Cache

    def value(self, node: Node) -> Value: ...
    def health(self, check: Check) -> Health: ...
    def marked(self, fact: Fact) -> Collection[str]: ...
    def plug(self, interface: str) -> Plug | None: ...
    def ports(self) -> Mapping[str, str]: ...


class View:
    """One compile function's eyes. reads: the facts and nodes seen so far. checks: whose health was asked for."""

    __slots__ = ("_evaluator", "_reaches", "checks", "reads")

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._reaches: dict[str, tuple[str, ...]] = {}
        self.reads: set[Fact] = set()
        self.checks: list[Check] = []

    @property
    def node(self) -> str:
        """This node's name."""
        return self._evaluator.node

    @property
    def external(self) -> str | None:
        """The device of this node by which the outside is reached, if it has one."""
        return self._evaluator.external

    def get(self, uuid: str | None) -> Object | None:
        if uuid is None:
            return None
        self.reads.add(uuid)
        return self._evaluator.cache.get(uuid)

    def name(self, uuid: str) -> str:
        """Last part of the fq_name, or the uuid of what is not here; reads no more than that of the object."""
        found = self._evaluator.cache.get(uuid)
        self.reads.add(name_of(uuid) if found else uuid)
        return found.name if found else uuid

    def referrers(self, uuid: str, kind: str) -> Sequence[str]:
        return self._linked(referrers_of(uuid, kind))

    def children(self, uuid: str, kind: str) -> Sequence[Object]:
        """All that they say is one fact: a pool may have a thousand members, and they are read together."""
        cache = self._evaluator.cache
        return [found for one in self._linked(children_of(uuid, kind)) if (found := cache.get(one)) is not None]

    def holders(self, address: str) -> Sequence[str]:
        """uuids of the instance-ips with this address, in any network."""
        return self._linked(holders_of(address))

    def routers(self, node: str) -> Sequence[str]:
        """uuids of the virtual-routers of that name."""
        return self._linked(router_of(node))

    def router(self, uuid: str) -> Router | None:
        value = self._value(("router", uuid))
        return value if isinstance(value, Router) else None

    def network(self, uuid: str) -> Network | None:
        value = self._value(("network", uuid))
        return value if isinstance(value, Network) else None

    def policy_peers(self, network: str) -> tuple[Peer, ...]:
        """The networks that policies join to this one."""
        value = self._value(("peers", network))
        return value if isinstance(value, tuple) else ()  # type: ignore[return-value]  # of that rule they are peers

    def peers(self, network: str) -> tuple[Peer, ...]:
        """Those of them that share no address with it."""
        value = self._value(("joined", network))
        return value if isinstance(value, tuple) else ()  # type: ignore[return-value]  # of that rule they are peers

    def outlook(self, network: str) -> tuple[Sight, ...]:
        """From where the interfaces of that network are reached."""
        value = self._value(("outlook", network))
        return value if isinstance(value, tuple) else ()  # type: ignore[return-value]  # of that rule they are sights

    def reach(self, network: str) -> tuple[str, ...]:
        """uuids of the networks from which this one may be reached, itself first."""
        found = self._reaches.get(network)
        if found is None:
            there = self.network(network) is not None
            found = (network, *[peer.network for peer in self.peers(network) if peer.inward]) if there else ()
            self._reaches[network] = found
        return found

    def interface(self, uuid: str) -> Located | Absent:
        value = self._value(("interface", uuid))
        if isinstance(value, Located):
            return value
        return value if isinstance(value, Absent) else Absent("gone", "does not exist")

    def plug(self, interface: str) -> Plug | None:
        """What a port says of an interface. Who reads it has read the interface, whose uuid is touched when it
        changes."""
        return self._evaluator.plug(interface)

    def ports(self) -> Mapping[str, str]:
        """The interfaces that ports plug here, and of each the network that its port names."""
        self.reads.add(PORTS)
        return self._evaluator.ports()

    def needs(self, interface: str) -> tuple[str, ...]:
        """The networks that an interface of this node needs to have in sight."""
        value = self._value(("needs", interface))
        return value if isinstance(value, tuple) else ()  # type: ignore[return-value]  # of that rule they are uuids

    def health(self, check: Check) -> Health:
        """What the probes of a member say; asking is what has it probed."""
        self.reads.add(health_of(check.member))
        self.checks.append(check)
        return self._evaluator.health(check)

    def has_local(self, network: str) -> bool:
        """Whether any interface of this node is in the network."""
        return self.is_marked(local(network))

    def is_marked(self, fact: Fact) -> bool:
        """Whether results before this one make it true."""
        self.reads.add(fact)
        return bool(self._evaluator.marked(fact))

    def marked(self, fact: Fact) -> Sequence[str]:
        """The values of a fact that results before this one make true."""
        self.reads.add(fact)
        return sorted(self._evaluator.marked(fact))

    def _linked(self, fact: Fact) -> Sequence[str]:
        self.reads.add(fact)
        return self._evaluator.cache.linked(fact)

    def _value(self, node: Node) -> Value:
        self.reads.add(node)
        return self._evaluator.value(node)
