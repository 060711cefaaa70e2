"""An address outside in the simulator: in by the VIP alone, out with answers alone."""

from ipaddress import IPv4Address

import pytest

from vrouter.backends.protocol import BackendError, BackendSettings, Delete, Put
from vrouter.backends.simulator import Delivered, Packet, Refused, SimulatorBackend, TcpFlag
from vrouter.state import (
    Egress,
    Exit,
    HostAddress,
    Interface,
    Join,
    Link,
    Listener,
    Member,
    Outside,
    Remote,
    Unit,
    Uplink,
    Vip,
    Vrf,
)

POD, ADDRESS, CLIENT = IPv4Address("10.32.0.7"), IPv4Address("203.0.113.10"), IPv4Address("198.51.100.1")
SERVICE = Vip(9, ADDRESS, "d:p:web", (Listener("udp", 53, (Member("pod", POD, 5353),)),))
UNITS: list[Unit] = [
    Vrf(5, "pods"), Vrf(9, "public"), Join(5, 9), Uplink(9, "eth0"), Exit(9, 4, None), Exit(5, 4, 9),
    Interface("pod", "d:p:pod", 5, "w", "02:00:00:00:00:07", (HostAddress(POD, IPv4Address("10.47.255.254")),)),
    Remote("pod", "d:p:pod", 9, (POD,), Link(5), guarded=True), Outside(9, ADDRESS, "d:p:web", announced=True), SERVICE,
]  # fmt: skip


@pytest.fixture
def backend() -> SimulatorBackend:
    backend = SimulatorBackend(BackendSettings("n1"))
    assert backend.apply([Put(unit) for unit in UNITS]) == [None] * len(UNITS)
    return backend


def test_a_question_and_its_answer(backend: SimulatorBackend) -> None:
    there = backend.arrive(Packet("udp", CLIENT, ADDRESS, 4000, 53))
    assert there == Delivered("pod", Packet("udp", CLIENT, POD, 4000, 5353))
    assert backend.send("pod", there.packet.reply()) == Delivered("outside", Packet("udp", ADDRESS, CLIENT, 53, 4000))


def test_nothing_else_gets_out_or_in(backend: SimulatorBackend) -> None:
    syn = Packet("tcp", POD, CLIENT, 4000, 80, TcpFlag.SYN)
    assert backend.send("pod", syn) == Refused("NoDstRt", "host-unreachable")
    assert backend.send("pod", Packet("udp", POD, CLIENT, 4000, 53)) == Refused("NoDstRt", "host-unreachable")
    assert backend.arrive(Packet("udp", CLIENT, ADDRESS, 4000, 54)) == Refused("NoFipPortMap", "port-unreachable")
    with pytest.raises(BackendError, match="Nobody outside leads to"):
        backend.arrive(Packet("udp", CLIENT, POD, 4000, 5353))


def test_what_stands_is_observed_and_goes(backend: SimulatorBackend) -> None:
    assert set(backend.observe()) == set(UNITS)
    gone = [unit for unit in reversed(UNITS) if isinstance(unit, Vip | Outside | Remote | Exit | Uplink | Join)]
    backend.apply([Delete(unit) for unit in gone])
    assert set(backend.observe()) == set(UNITS) - set(gone)


def test_a_way_out_needs_what_it_stands_on() -> None:
    backend = SimulatorBackend(BackendSettings("n1"))
    backend.apply([Put(Vrf(5, "pods")), Put(Vrf(9, "public"))])
    answers = backend.apply([Put(Exit(5, 4, 9)), Put(Exit(9, 4, None)), Put(Outside(9, ADDRESS, "x", announced=True))])
    assert all(isinstance(answer, BackendError) for answer in answers)


def test_a_pods_own_address_both_ways(backend: SimulatorBackend) -> None:
    backend.apply([Delete(SERVICE), Put(Outside(9, ADDRESS, "d:p:pod", announced=True, inside=POD, home=5)),
                   Put(Egress(5, POD))])  # fmt: skip
    there = backend.arrive(Packet("tcp", CLIENT, ADDRESS, 4000, 22, TcpFlag.SYN))
    assert there == Delivered("pod", Packet("tcp", CLIENT, POD, 4000, 22, TcpFlag.SYN))
    answer = there.packet.reply(TcpFlag.SYN | TcpFlag.ACK)
    out = Packet("tcp", ADDRESS, CLIENT, 22, 4000, TcpFlag.SYN | TcpFlag.ACK)
    assert backend.send("pod", answer) == Delivered("outside", out)
    syn = Packet("tcp", POD, CLIENT, 5000, 80, TcpFlag.SYN)
    assert backend.send("pod", syn) == Delivered("outside", Packet("tcp", ADDRESS, CLIENT, 5000, 80, TcpFlag.SYN))
