"""What only the simulator has: packets and their verdicts, a clock, a limit. What it shares with the kernel backend is
tested in `conformance/`."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrouter.backends.protocol import BackendError, BackendSettings, Delete, Drop, Put
from vrouter.backends.simulator import (
    Connection,
    Delivered,
    Dropped,
    FiveTuple,
    Packet,
    Refused,
    SimulatorBackend,
    TcpFlag,
)
from vrouter.backends.simulator.group import Group, hash_of
from vrouter.state import HostAddress, Interface, Listener, Member, Vip, Vrf

VIP = IPv4Address("10.105.139.153")
SYN, ACK, FIN, RST = TcpFlag.SYN, TcpFlag.ACK, TcpFlag.FIN, TcpFlag.RST


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backend(clock: Clock) -> SimulatorBackend:
    """VRF 1 with pods c (10.0.0.1), a (.2) and b (.3), and the VIP's port 8888 at port 80 of a and b."""
    return furnish(SimulatorBackend(BackendSettings("n1"), clock=clock))


def furnish(backend: SimulatorBackend) -> SimulatorBackend:
    units = [Vrf(1, "d:p:n:n"), pod("c", 1), pod("a", 2), pod("b", 3), service(("a", 2, 80), ("b", 3, 80))]
    assert backend.apply([Put(unit) for unit in units]) == [None] * 5
    return backend


def pod(uuid: str, number: int, vrf: int = 1) -> Interface:
    address = IPv4Address("10.0.0.0") + number
    gateway = IPv4Address("10.0.0.254")
    mac = f"02:00:00:00:00:{number:02x}"
    return Interface(uuid, f"d:p:{uuid}", vrf, uuid, mac, (HostAddress(address, gateway),))


def service(*members: tuple[str, int, int]) -> Vip:
    backends = tuple(Member(uuid, IPv4Address("10.0.0.0") + number, port) for uuid, number, port in members)
    return Vip(1, VIP, "d:p:web", (Listener("tcp", 8888, backends), Listener("udp", 53, backends)))


def syn(source_port: int = 40_000, **fields: object) -> Packet:
    packet = Packet("tcp", pod("c", 1).address, VIP, source_port, 8888, SYN)
    return replace(packet, **fields)


def delivered(verdict: object) -> Delivered:
    assert isinstance(verdict, Delivered), verdict
    return verdict


def opened(backend: SimulatorBackend, source_port: int | None = None) -> Connection:
    connection = backend.connect("c", VIP, 8888, source_port)
    assert isinstance(connection, Connection), connection
    return connection


def test_a_packet_to_the_vip_arrives_translated_and_so_does_the_answer(backend: SimulatorBackend) -> None:
    there = delivered(backend.send("c", syn(size=52)))
    chosen = {"a": pod("a", 2), "b": pod("b", 3)}[there.interface]
    assert there.packet == syn(size=52, destination=chosen.address, destination_port=80)
    back = backend.send(there.interface, there.packet.reply(SYN | ACK))
    assert back == Delivered("c", Packet("tcp", VIP, pod("c", 1).address, 8888, 40_000, SYN | ACK, 52))


def test_what_no_flow_asks_for_is_routed_as_it_is(backend: SimulatorBackend) -> None:
    packet = Packet("tcp", pod("a", 2).address, pod("c", 1).address, 80, 40_000, ACK)
    assert backend.send("a", packet) == Delivered("c", packet)


@pytest.mark.parametrize(
    ("packet", "verdict"),
    [
        (syn(destination_port=80), Refused("NoFipPortMap", "tcp-reset")),
        (syn(protocol="udp", flags=TcpFlag(0)), Refused("NoFipPortMap", "port-unreachable")),
        (syn(destination_port=80, flags=RST), Dropped("NoFipPortMap")),
        (syn(destination=IPv4Address("10.9.9.9")), Refused("NoDstRt", "host-unreachable")),
    ],
)
def test_refusals(backend: SimulatorBackend, packet: Packet, verdict: Refused | Dropped) -> None:
    assert backend.send("c", packet) == verdict
    assert backend.drops() == [Drop(1, verdict.reason, 1, 64)]
    assert not backend.flows()


@pytest.mark.parametrize(
    ("packet", "answer"),
    [
        (syn(), "tcp-reset"),
        (syn(protocol="udp", destination_port=53, flags=TcpFlag(0)), "host-unreachable"),
        (Packet("icmp", pod("c", 1).address, VIP, source_port=7), "host-unreachable"),
    ],
)
def test_a_vip_without_usable_member_refuses(backend: SimulatorBackend, packet: Packet, answer: str) -> None:
    backend.apply([Put(service())])
    assert backend.send("c", packet) == Refused("NoDstRt", answer)


@pytest.mark.parametrize(
    ("use", "seconds"),
    [
        (lambda send: None, 30),
        (lambda send: send(ACK), 180),
        (lambda send: (send(ACK), send(FIN | ACK)), 180),
        (lambda send: send(RST), 10),
    ],
    ids=["one packet", "two packets", "FIN of one side", "RST"],
)
def test_an_idle_flow_is_forgotten(
    backend: SimulatorBackend, clock: Clock, use: Callable[[Callable[[TcpFlag], object]], object], seconds: float
) -> None:
    delivered(backend.send("c", syn()))
    use(lambda flags: delivered(backend.send("c", syn(flags=flags))))
    (flow,) = backend.flows()
    assert flow.expires == seconds
    clock.now += seconds - 0.001
    assert len(backend.flows()) == 1
    clock.now += 0.001
    assert not backend.flows()


def test_a_flow_that_both_sides_have_closed_is_forgotten_soon(backend: SimulatorBackend) -> None:
    opened(backend).close()
    (flow,) = backend.flows()
    assert flow.closing
    assert flow.expires == 10


def test_a_flow_in_use_is_not_forgotten(backend: SimulatorBackend, clock: Clock) -> None:
    connection = opened(backend)
    for _ in range(10):
        clock.now += 179
        assert connection.exchange() == connection.member


def test_the_members_answers_keep_a_flow_too(backend: SimulatorBackend, clock: Clock) -> None:
    connection = opened(backend)
    answer = Packet("tcp", connection.accepted.destination, connection.accepted.source, 80, connection.header[2], ACK)
    for _ in range(10):
        clock.now += 179
        assert delivered(backend.send(connection.member, answer)).interface == "c"


def test_a_half_closed_connection_goes_on_while_it_is_used(backend: SimulatorBackend, clock: Clock) -> None:
    """A client that has sent all of its request (FIN) may wait long for the end of the answer."""
    connection = opened(backend)
    backend.send("c", syn(connection.header.source_port, flags=FIN | ACK))
    for _ in range(10):
        clock.now += 179
        assert connection.exchange() == connection.member
    (flow,) = backend.flows()
    assert not flow.closing


def test_a_new_connection_from_the_port_of_a_closed_one_is_a_new_flow(backend: SimulatorBackend, clock: Clock) -> None:
    opened(backend, 40_000).abort()
    connection = opened(backend, 40_000)
    clock.now += 100
    assert connection.exchange() == connection.member
    (flow,) = backend.flows()
    assert not flow.closing


def test_a_repeated_syn_begins_the_flow_anew(backend: SimulatorBackend) -> None:
    first, second = (delivered(backend.send("c", syn())) for _ in range(2))
    assert first == second
    (flow,) = backend.flows()
    assert flow.packets == 1


def test_a_full_flow_table_refuses_new_flows_and_keeps_the_old(clock: Clock) -> None:
    backend = furnish(SimulatorBackend(BackendSettings("n1", flow_limit=3), clock=clock))
    connections = [opened(backend) for _ in range(3)]
    assert backend.send("c", syn()) == Refused("FlowLim", "tcp-reset")
    assert backend.drops() == [Drop(1, "FlowLim", 1, 64)]
    assert all(connection.exchange() == connection.member for connection in connections)
    clock.now += 180
    assert isinstance(backend.connect("c", VIP, 8888), Connection)


def test_a_flow_whose_answers_would_go_astray_is_refused(backend: SimulatorBackend) -> None:
    """Two services, one pod, one source port: the pod could not tell them apart."""
    other = Vip(1, IPv4Address("10.97.0.1"), "d:p:other", service(("a", 2, 80)).listeners)
    backend.apply([Put(service(("a", 2, 80))), Put(other)])
    first = opened(backend, 40_000)
    assert backend.connect("c", other.address, 8888, 40_000) == Refused("NoRevFlow", "tcp-reset")
    assert first.exchange() == "a"
    first.close()
    assert isinstance(backend.connect("c", other.address, 8888, 40_000), Connection)


def test_a_withdrawn_member_keeps_its_connections_until_its_interface_goes(backend: SimulatorBackend) -> None:
    connections = [opened(backend) for _ in range(20)]
    backend.apply([Put(service(("a", 2, 80)))])
    assert {connection.exchange() for connection in connections} == {"a", "b"}
    assert {opened(backend).member for _ in range(20)} == {"a"}
    backend.apply([Delete(pod("b", 3))])
    for connection in connections:
        outcome = connection.exchange()
        assert outcome == "a" if connection.member == "a" else isinstance(outcome, Refused)


def test_a_ping_that_a_member_sends_to_itself(backend: SimulatorBackend) -> None:
    backend.apply([Put(service(("a", 2, 80)))])
    there = delivered(backend.send("a", Packet("icmp", pod("a", 2).address, VIP, source_port=7)))
    assert there == Delivered("a", Packet("icmp", VIP, pod("a", 2).address, source_port=7))
    back = backend.send("a", there.packet.reply())
    assert back == Delivered("a", Packet("icmp", VIP, pod("a", 2).address, destination_port=7))


def test_pings_are_no_rows_of_the_flow_table(backend: SimulatorBackend) -> None:
    delivered(backend.send("c", Packet("icmp", pod("c", 1).address, VIP, source_port=7)))
    assert not backend.flows()


def test_connect_to_a_pods_own_address(backend: SimulatorBackend) -> None:
    connection = backend.connect("c", pod("b", 3).address, 80)
    assert isinstance(connection, Connection)
    assert (connection.member, connection.exchange()) == ("b", "b")


def test_connect_says_why_not(backend: SimulatorBackend) -> None:
    assert backend.connect("c", VIP, 9999) == Refused("NoFipPortMap", "tcp-reset")
    with pytest.raises(BackendError, match="no interface x"):
        backend.connect("x", VIP, 8888)


def test_connect_takes_no_port_twice(backend: SimulatorBackend) -> None:
    connections = [opened(backend) for _ in range(100)]
    assert len({connection.header.source_port for connection in connections}) == 100


def test_a_vip_with_a_missing_interface_serves_with_the_others(backend: SimulatorBackend) -> None:
    (error,) = backend.apply([Put(service(("a", 2, 80), ("d", 4, 80)))])
    assert isinstance(error, BackendError)
    assert "no interface d " in str(error)
    assert not error.permanent
    assert {opened(backend).member for _ in range(30)} == {"a"}
    assert backend.apply([Put(pod("d", 4))]) == [None]
    assert {opened(backend).member for _ in range(60)} == {"a", "d"}


def test_a_listener_that_names_an_interface_twice_uses_it_once(backend: SimulatorBackend) -> None:
    twice = (Member("a", pod("a", 2).address, 80, 1), Member("a", pod("a", 2).address, 81, 5))
    backend.apply([Put(Vip(1, VIP, "d:p:web", (Listener("tcp", 8888, twice),)))])
    assert {opened(backend).accepted.destination_port for _ in range(30)} == {81}


def test_an_interface_moves_to_another_vrf(backend: SimulatorBackend) -> None:
    assert backend.apply([Put(Vrf(2, "d:p:m:m")), Put(pod("a", 2, vrf=2))]) == [None, None]
    assert {opened(backend).member for _ in range(30)} == {"b"}
    assert [vif.uuid for vif in backend.tables(2).interfaces] == ["a"]
    assert backend.send("c", syn(destination=pod("a", 2).address)) == Refused("NoDstRt", "host-unreachable")


def test_a_deleted_vrf_takes_everything_in_it_along(backend: SimulatorBackend) -> None:
    assert backend.apply([Delete(Vrf(1, "d:p:n:n"))]) == [None]
    assert backend.observe() == []
    with pytest.raises(BackendError):
        backend.send("c", syn())


def test_cleanup_has_a_line_for_each_vrf(backend: SimulatorBackend) -> None:
    assert backend.cleanup() == ["VRF 1 (d:p:n:n)"]


def test_what_stands_outlives_close(backend: SimulatorBackend) -> None:
    backend.close()
    assert opened(backend).exchange() in {"a", "b"}


def test_the_choice_depends_on_node_and_vrf_and_is_the_same_each_time() -> None:
    def choices(node: str) -> list[str]:
        backend = furnish(SimulatorBackend(BackendSettings(node)))
        return [delivered(backend.send("c", syn(port))).interface for port in range(40_000, 40_050)]

    assert choices("n1") == choices("n1")
    assert choices("n1") != choices("n2")


@given(st.lists(st.integers(1, 256), min_size=1, max_size=64))
def test_a_group_divides_the_hashes_in_proportion_to_the_weights(weights: list[int]) -> None:
    members = [Member(str(n), VIP, 80, weight) for n, weight in enumerate(weights)]
    group = Group(1, members)
    first, total, done = 0, sum(weights), 0
    for member, weight in zip(members, weights, strict=True):
        done += weight
        last = int(Fraction(done * 2**31, total)) - 1
        assert group.choose(first) is group.choose(last) is member
        first = last + 1
    assert first == 2**31


def test_an_empty_group_chooses_nobody() -> None:
    assert Group(1, []).choose(0) is None


addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
ports = st.integers(0, 65535)


@given(st.sampled_from(["tcp", "udp", "icmp"]), addresses, ports, addresses, ports, st.binary(min_size=1, max_size=64))
def test_a_hash_has_31_bits(
    protocol: str, source: IPv4Address, source_port: int, destination: IPv4Address, port: int, seed: bytes
) -> None:
    assert 0 <= hash_of(FiveTuple(protocol, source, source_port, destination, port), seed) < 2**31


events = st.lists(
    st.tuples(
        st.sampled_from(["forward", "reverse"]),
        st.integers(40_000, 40_003),
        st.sampled_from([SYN, ACK, FIN | ACK, RST]),
        st.floats(0, 60, allow_nan=False),
    ),
    max_size=60,
)


@given(events)
def test_no_flow_is_forgotten_early_or_late(events: list[tuple[str, int, TcpFlag, float]]) -> None:
    """Against a model that looks at every flow at every step."""
    clock = Clock()
    backend = furnish(SimulatorBackend(BackendSettings("n1"), clock=clock))
    backend.apply([Put(service(("a", 2, 80)))])
    model: dict[int, dict[str, Any]] = {}  # source port -> its flow
    for direction, port, flags, wait in events:
        clock.now += wait
        model = {port: flow for port, flow in model.items() if flow["expires"] > clock.now}
        if direction == "forward":
            delivered(backend.send("c", syn(port, flags=flags)))
            if flags == SYN or port not in model:
                model[port] = {"forward": 0, "reverse": 0, "finished": set(), "closing": False}
        else:
            backend.send("a", Packet("tcp", pod("a", 2).address, pod("c", 1).address, 80, port, flags))
        if flow := model.get(port):
            flow[direction] += 1
            flow["finished"] |= {direction} if flags & FIN else set()
            flow["closing"] |= bool(flags & RST) or len(flow["finished"]) == 2
            seconds = 10 if flow["closing"] else 180 if flow["forward"] + flow["reverse"] > 1 else 30
            flow["expires"] = clock.now + seconds
        listed = {f.source_port: (f.expires, f.packets, f.reverse_packets, f.closing) for f in backend.flows()}
        assert listed == {
            port: (pytest.approx(flow["expires"] - clock.now), flow["forward"], flow["reverse"], flow["closing"])
            for port, flow in model.items()
        }


def test_a_member_that_speaks_to_itself_from_the_very_port_it_serves(backend: SimulatorBackend) -> None:
    """Question and answer would have one header: there is no telling which is which."""
    member = Member("a", pod("a", 2).address, 8888)
    backend.apply([Put(Vip(1, VIP, "d:p:web", (Listener("tcp", 8888, (member,)),)))])
    packet = Packet("tcp", member.address, VIP, 8888, 8888, SYN)
    assert backend.send("a", packet) == Refused("SameFlowRflowKey", "tcp-reset")
    assert not backend.flows()


def test_an_echo_reply_that_nobody_asked_for(backend: SimulatorBackend) -> None:
    packet = Packet("icmp", pod("c", 1).address, VIP, destination_port=7)
    assert backend.send("c", packet) == Refused("NoFipPortMap", "port-unreachable")


def test_numbers_of_listeners_groups_are_kept(backend: SimulatorBackend) -> None:
    def numbers() -> dict[int, int]:
        return {nexthop.id: len(nexthop.members) for nexthop in backend.tables(1).nexthops if nexthop.members}

    before = numbers()
    assert set(before.values()) == {2}
    backend.apply([Put(service(("a", 2, 80)))])
    assert numbers() == dict.fromkeys(before, 1)


def test_of_two_interfaces_with_one_address_the_later_is_reached_until_it_goes(backend: SimulatorBackend) -> None:
    packet = Packet("tcp", pod("a", 2).address, pod("c", 1).address, 1, 2, SYN)
    twin = pod("twin", 1)
    assert backend.apply([Put(twin)]) == [None]
    assert backend.send("a", packet) == Delivered("twin", packet)
    assert backend.connect("c", VIP, 8888) == Refused("Reset", "tcp-reset")  # the answers go to the twin
    backend.apply([Delete(twin)])
    assert backend.send("a", packet) == Delivered("c", packet)


def test_connect_passes_over_a_port_in_use(backend: SimulatorBackend) -> None:
    opened(backend, 32_768)
    assert opened(backend).header.source_port == 32_769
