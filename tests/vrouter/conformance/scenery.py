"""A network of pods and services for the tests, and the questions they ask of it."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar
from uuid import uuid4

from lab import VTEPS, Answer, Connection, Lab, Outcome, Refused, Silence

from vrouter.backends.protocol import Delete, Flow, Put
from vrouter.state import (
    Address,
    Family,
    HostAddress,
    Interface,
    Join,
    Link,
    Listener,
    Member,
    Protocol,
    Remote,
    Tunnel,
    Vip,
    Vrf,
    Vtep,
    addresses_of,
)

# The addresses of pods begin after these.
PODS: Mapping[Family, Address] = {4: IPv4Address("10.47.255.0"), 6: IPv6Address("fd47::ff00")}
GATEWAYS: Mapping[Family, Address] = {4: IPv4Address("10.47.255.254"), 6: IPv6Address("fd47::fffe")}

T = TypeVar("T")


def member(pod: Interface, port: int, weight: int = 1) -> Member:
    return Member(pod.uuid, pod.address, port, weight)


def listener(port: int, *members: Member, protocol: Protocol = "tcp") -> Listener:
    return Listener(protocol, port, members)


class Network:
    """One VRF of a lab, and the services it has."""

    def __init__(self, lab: Lab, index: int = 1, *, apply: bool = True, spanning: bool = False) -> None:
        """spanning: it is on two nodes."""
        self.lab = lab
        self.index = index
        self.spanning = spanning
        vteps = [Vtep(address, 5000 + index) for address in VTEPS[lab.family]] if spanning else [None, None]
        name = f"default-domain:lab:net-{index}:net-{index}"
        self.vrf, far = (Vrf(index, name, vtep) for vtep in vteps)
        self._last = PODS[lab.family]
        self._vips: dict[Address, Vip] = {}
        if apply:
            lab.apply(Put(self.vrf))
            if spanning:
                lab.apply_elsewhere(Put(far))

    def new_pod(self, address: Address | None = None, uuid: str | None = None) -> Interface:
        """One that does not stand yet."""
        if address is None:
            self._last += 1
            address = self._last
        uuid = uuid or str(uuid4())
        mac = ":".join(f"{byte:02x}" for byte in (2, *address.packed[-4:], self.index))
        workload = f"vt-{uuid[:13]}"
        addresses = (HostAddress(address, GATEWAYS[address.version]),)
        return Interface(uuid, f"default-domain:lab:{workload}", self.index, workload, mac, addresses)

    def pod(self, *serving: int, protocol: Protocol = "tcp", address: Address | None = None) -> Interface:
        """One that stands, with servers on these ports."""
        pod = self.new_pod(address)
        self.lab.apply(Put(pod))
        if self.spanning:
            self.lab.apply_elsewhere(Put(self.remote(pod, node=0)))
        for port in serving:
            self.lab.listen(pod, protocol, port)
        return pod

    def remote(self, pod: Interface, node: int = 1) -> Remote:
        """What the other one of the two nodes has of a pod on that node."""
        return Remote(pod.uuid, pod.name, self.index, addresses_of(pod), Tunnel(VTEPS[self.lab.family][node]))

    def far_pod(self, *serving: int, protocol: Protocol = "tcp") -> Interface:
        """One that stands on the other node, with servers on these ports."""
        pod = self.new_pod()
        self.lab.apply_elsewhere(Put(pod))
        self.lab.apply(Put(self.remote(pod)))
        for port in serving:
            self.lab.listen(pod, protocol, port)
        return pod

    def pods(self, number: int, *serving: int, protocol: Protocol = "tcp") -> list[Interface]:
        return [self.pod(*serving, protocol=protocol) for _ in range(number)]

    def service(self, *listeners: Listener, vip: Address | None = None) -> Vip:
        """Make the VIP have these listeners and no others."""
        vip = vip or self.lab.vip
        unit = Vip(self.index, vip, f"default-domain:lab:service-{vip}", listeners)
        self.lab.apply(Put(unit))
        self._vips[vip] = unit
        return unit

    def remove_service(self, vip: Address | None = None) -> None:
        self.lab.apply(Delete(self._vips.pop(vip or self.lab.vip)))


def ask(
    lab: Lab,
    client: Interface,
    address: Address,
    port: int,
    protocol: Protocol = "tcp",
    source_port: int | None = None,
) -> Outcome:
    """One question on a connection of its own."""
    connection = lab.open(client, protocol, address, port, source_port)
    if isinstance(connection, Refused | Silence):
        return connection
    outcome = connection.exchange()
    connection.close()
    return outcome


def answer(lab: Lab, client: Interface, address: Address, port: int, protocol: Protocol = "tcp") -> Answer:
    """As `ask`, where an answer must come."""
    outcome = ask(lab, client, address, port, protocol)
    assert isinstance(outcome, Answer), outcome
    return outcome


def connect(
    lab: Lab,
    client: Interface,
    address: Address,
    port: int,
    protocol: Protocol = "tcp",
    source_port: int | None = None,
) -> Connection:
    """A connection that must open."""
    connection = lab.open(client, protocol, address, port, source_port)
    assert not isinstance(connection, Refused | Silence), connection
    return connection


def who(connection: Connection) -> str:
    """uuid of the pod that answers on it; somebody must."""
    outcome = connection.exchange()
    assert isinstance(outcome, Answer), outcome
    return outcome.member


def spread(
    lab: Lab, client: Interface, address: Address, port: int, tries: int, protocol: Protocol = "tcp"
) -> Counter[str]:
    """member -> how many of `tries` new connections it answered."""
    return Counter(answer(lab, client, address, port, protocol).member for _ in range(tries))


def assert_reaches(
    lab: Lab,
    client: Interface,
    address: Address,
    port: int,
    pods: Iterable[Interface],
    protocol: Protocol = "tcp",
) -> None:
    """New connections reach every one of these pods and nobody else.

    It stops when all were seen and some more tries brought no stranger; 400 tries miss one of 8 by a chance of 1e-23.
    """
    expected = {pod.uuid for pod in pods}
    missing = set(expected)
    tries = 0
    while missing or tries < 2 * len(expected) + 4:
        tries += 1
        assert tries <= 400, f"never reached: {missing}"
        reached = answer(lab, client, address, port, protocol).member
        assert reached in expected, f"{reached} is no member"
        missing.discard(reached)


def chi_square(observed: Counter[str], weights: dict[str, int]) -> float:
    """Pearson's statistic of the spread against one proportional to the weights."""
    total = observed.total()
    expected = {key: total * weight / sum(weights.values()) for key, weight in weights.items()}
    return sum((observed[key] - number) ** 2 / number for key, number in expected.items())


def drops(lab: Lab, reason: str, vrf: int = 1) -> int:
    """Packets counted as dropped for this reason."""
    return sum(drop.packets for drop in lab.backend.drops() if (drop.vrf, drop.reason) == (vrf, reason))


def flow_of(lab: Lab, client: Interface, connection: Connection) -> Flow | None:
    """The flow of a client's connection, if there is one; never two."""
    flows = [
        flow
        for flow in lab.backend.flows(client.vrf)
        if (flow.source, flow.source_port) == (client.address, connection.source_port)
    ]
    assert len(flows) < 2, flows
    return flows[0] if flows else None


def eventually(look: Callable[[], T], patience: float = 5.0) -> T:
    """The first true value of `look`; what it was last, when patience (seconds) ends."""
    deadline = time.monotonic() + patience
    while not (value := look()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return value


def join(one: Network, other: Network) -> Join:
    unit = Join.between(one.index, other.index)
    one.lab.apply(Put(unit))
    return unit


def leak(pod: Interface, network: Network, *, guarded: bool = False) -> Remote:
    """Make a pod of another network, which is joined, be reached from this one."""
    unit = Remote(pod.uuid, pod.name, network.index, addresses_of(pod), Link(pod.vrf), guarded)
    network.lab.apply(Put(unit))
    return unit
