"""What has gone through each member of each listener is counted, and stays counted."""

import pytest
from lab import Lab
from scenery import Network, answer, ask, connect, eventually, flow_of, listener, member, who

from vrouter.backends.protocol import Delete, Stat
from vrouter.state import Address, Interface, Protocol


def stats(lab: Lab, **wanted: object) -> list[Stat]:
    return [one for one in lab.backend.stats() if all(getattr(one, name) == value for name, value in wanted.items())]


def totals(lab: Lab, vip: Address | None = None) -> tuple[int, ...]:
    found = stats(lab, vip=vip or lab.vip)
    names = ("connections", "packets", "bytes", "reverse_packets", "reverse_bytes")
    return tuple(sum(getattr(one, name) for one in found) for name in names)


def connections(lab: Lab, pod: Interface, port: int, protocol: Protocol = "tcp") -> int:
    return sum(one.connections for one in stats(lab, member=pod.uuid, port=port, protocol=protocol))


@pytest.mark.parametrize("listeners", [1, 2])
def test_every_packet_of_both_directions_counts(lab: Lab, network: Network, listeners: int) -> None:
    client, dns = network.pod(), network.pod(53, protocol="udp")
    network.service(*(listener(5300 + n, member(dns, 53), protocol="udp") for n in range(listeners)))
    assert stats(lab) == []
    connection = connect(lab, client, lab.vip, 5300, "udp")
    for _ in range(10):
        who(connection)
    flow = flow_of(lab, client, connection)
    assert flow is not None
    (one,) = stats(lab)
    assert (one.vrf, one.protocol, one.vip, one.port) == (1, "udp", lab.vip, 5300)
    assert (one.member, one.member_address, one.member_port) == (dns.uuid, dns.address, 53)
    assert (one.connections, one.packets, one.reverse_packets) == (1, 10, 10)
    assert (one.bytes, one.reverse_bytes) == (flow.bytes, flow.reverse_bytes)


@pytest.mark.parametrize("limit", [0, 10])
def test_a_connection_that_ends_counts_for_its_flow_as_for_its_member(lab: Lab, network: Network, limit: int) -> None:
    client, web = network.pods(2, 80)
    network.service(listener(8888, member(web, 80))._replace(limit=limit))
    connection = connect(lab, client, lab.vip, 8888)
    who(connection)
    connection.close()

    def counted() -> tuple[int, ...] | None:
        flow = flow_of(lab, client, connection)
        return (flow.packets, flow.bytes, flow.reverse_packets, flow.reverse_bytes) if flow else None

    assert eventually(lambda: counted() == totals(lab)[1:]), (counted(), totals(lab))


@pytest.mark.parametrize("listeners", [1, 2])
def test_connections_count_for_their_member_and_listener(lab: Lab, network: Network, listeners: int) -> None:
    client, a, b = network.pods(3, 80, 81)
    network.service(*(listener(8888 + n, member(a, 80 + n), member(b, 80 + n)) for n in range(listeners)))
    reached = [(answer(lab, client, lab.vip, 8888 + n).member, 8888 + n) for n in range(listeners) for _ in range(12)]
    for pod in (a, b):
        for n in range(listeners):
            assert connections(lab, pod, 8888 + n) == reached.count((pod.uuid, 8888 + n))


def test_the_counts_of_a_vip_are_its_own(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    other = lab.vip + 1
    network.service(listener(8888, member(web, 80)))
    network.service(listener(8888, member(web, 80)), vip=other)
    answer(lab, client, lab.vip, 8888)
    assert totals(lab)[0] == 1
    assert totals(lab, other)[0] == 0


def test_a_member_that_talks_to_itself_counts(lab: Lab, network: Network) -> None:
    web = network.pod(80)
    network.service(listener(8888, member(web, 80)))
    answer(lab, web, lab.vip, 8888)
    (one,) = stats(lab)
    assert (one.member, one.connections) == (web.uuid, 1)
    assert min(one.packets, one.reverse_packets) >= 2


def test_what_is_refused_does_not_count(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    network.service(listener(8888, member(web, 80)), listener(9999))
    for port in (9999, 7777):
        ask(lab, client, lab.vip, port)
    answer(lab, client, web.address, 80)
    assert stats(lab) == []


def test_totals_outlive_members_listeners_and_agents(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80)
    network.service(listener(8888, member(a, 80)), listener(9999, member(a, 80)))
    for port in (8888, 9999):
        answer(lab, client, lab.vip, port)
    eventually(lambda: all(flow.closing for flow in lab.backend.flows()))
    before = totals(lab)
    assert before[0] == 2
    network.service(listener(8888, member(b, 80)))
    lab.apply(Delete(a))
    assert totals(lab) == before
    assert {one.member for one in stats(lab)} == {None}
    if lab.survives_restart:
        lab.restart()
        assert totals(lab) == before
    answer(lab, client, lab.vip, 8888)
    assert totals(lab)[0] == 3
    network.remove_service()
    assert stats(lab) == []


def test_the_counters_of_one_vip_looked_up_one_by_one(lab: Lab, network: Network) -> None:
    client, a, b, c = network.pods(4, 80, 81)
    vip = network.service(listener(8888, member(a, 80), member(b, 80)), listener(9999, member(a, 81), member(c, 81)))
    network.service(listener(8888, member(a, 80)), vip=lab.vip + 1)
    for address, port in ((lab.vip, 8888), (lab.vip, 9999), (lab.vip + 1, 8888)):
        for _ in range(6):
            answer(lab, client, address, port)
    eventually(lambda: all(flow.closing for flow in lab.backend.flows()))
    counted = [one for one in lab.backend.counts(vip) if one.packets]
    assert sorted(counted, key=str) == sorted(stats(lab, vip=lab.vip), key=str)
    assert counted
