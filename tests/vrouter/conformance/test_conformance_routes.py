"""Routes between VRFs: what is joined reaches each other, by itself and through VIPs, and nothing else does."""

from dataclasses import replace

import pytest
from lab import Answer, Echo, Lab, Refused
from scenery import Network, answer, ask, assert_reaches, connect, drops, join, leak, listener, member, who

from vrouter.backends.lookup import Header
from vrouter.backends.protocol import BackendError, Delete, Put, host_prefix
from vrouter.state import Address, Interface, Join, Protocol, Remote

PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp")


class Two:
    """Two networks that are joined, with a pod in each that the other reaches. `near` has the clients."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.near, self.far = Network(lab, 1), Network(lab, 2)
        self.join = join(self.near, self.far)
        self.client = self.near.pod(80)
        self.server = self.far_pod(80)
        self.back = leak(self.client, self.far)
        self.there = leak(self.server, self.near)

    def far_pod(self, *serving: int) -> Interface:
        """With an address that no pod of the near network has."""
        count = sum(isinstance(unit, Interface) for unit in self.lab.backend.observe())
        base = self.near._last
        return self.far.pod(*serving, address=base + 100 + count)


def unreachable(lab: Lab, client: Interface, address: Address) -> bool:
    """Of UDP: Linux tells a TCP client of ICMPv6 errors late."""
    return ask(lab, client, address, 80, "udp") == Refused("unreachable")


@pytest.fixture
def two(lab: Lab) -> Two:
    return Two(lab)


def test_what_is_joined_is_reached_and_nothing_else(two: Two) -> None:
    stranger, third = two.far_pod(80), Network(two.lab, 3)  # nobody leaks these
    double, beside = third.pod(80), third.pod()
    assert double.address == two.client.address
    for client, server in ((two.client, two.server), (two.server, two.client)):
        found = answer(two.lab, client, server.address, 80)
        assert (found.member, found.client[0]) == (server.uuid, client.address)
        assert two.lab.ping(client, server.address) == Echo(server.address)
    assert answer(two.lab, beside, double.address, 80).member == double.uuid
    for client, address in ((two.client, stranger.address), (beside, two.server.address)):
        assert unreachable(two.lab, client, address)


def test_a_member_in_another_vrf_serves(two: Two) -> None:
    pods = [two.near.pod(8080), two.server]
    two.lab.listen(two.server, "tcp", 8080)
    two.near.service(listener(8888, *(member(pod, 8080) for pod in pods)))
    assert_reaches(two.lab, two.client, two.lab.vip, 8888, pods)
    assert unreachable(two.lab, two.server, two.lab.vip)  # it is no VIP of that VRF


def test_the_member_sees_its_client_and_answers_as_the_vip(two: Two) -> None:
    for protocol in PROTOCOLS:
        two.lab.listen(two.server, protocol, 8080)
        two.near.service(listener(8888, member(two.server, 8080), protocol=protocol))
        found = answer(two.lab, two.client, two.lab.vip, 8888, protocol)
        assert (found.member, found.client[0], found.local) == (
            two.server.uuid, two.client.address, (two.server.address, 8080),
        )  # fmt: skip
        assert two.lab.ping(two.client, two.lab.vip) == Echo(two.lab.vip)
        two.near.service(listener(8888, member(two.server, 9), protocol=protocol))  # a closed port
        assert ask(two.lab, two.client, two.lab.vip, 8888, protocol) == Refused("reset")


def test_ways_and_members_come_and_go(two: Two) -> None:
    two.near.service(listener(8888, member(two.server, 80)))
    assert answer(two.lab, two.client, two.lab.vip, 8888).member == two.server.uuid
    two.near.service(listener(8888))
    two.lab.apply(Delete(two.there))
    assert unreachable(two.lab, two.client, two.server.address)
    assert isinstance(ask(two.lab, two.client, two.lab.vip, 8888), Refused)
    with pytest.raises(BackendError, match=two.server.uuid):
        two.near.service(listener(8888, member(two.server, 80)))
    two.there = leak(two.server, two.near)  # it joins then
    assert answer(two.lab, two.client, two.lab.vip, 8888).member == two.server.uuid
    service = two.lab.backend.observe()[-1]
    two.lab.apply(Delete(two.join))
    assert not [unit for unit in two.lab.backend.observe() if isinstance(unit, Remote)]
    assert isinstance(ask(two.lab, two.client, two.lab.vip, 8888), Refused)
    with pytest.raises(BackendError, match="no way by VRF 2"):
        leak(two.server, two.near)
    two.lab.apply(Put(two.join), Put(two.there), Put(two.back), Put(service))
    assert answer(two.lab, two.client, two.lab.vip, 8888).member == two.server.uuid


def test_what_stands_is_observed_and_shown(two: Two) -> None:
    observed = two.lab.backend.observe()
    assert [unit for unit in observed if isinstance(unit, Join | Remote)] == [two.join, two.there, two.back]
    renamed = replace(two.there, name="default-domain:lab:another")
    two.lab.apply(Put(renamed), Put(renamed), Put(two.join))
    assert renamed in two.lab.backend.observe()
    tables = two.lab.backend.tables(1)
    (hop,) = [one for one in tables.nexthops if one.interface == two.server.uuid]
    assert (hop.device, hop.address) == ("join2", two.server.address)
    assert [one.nexthop for one in tables.routes if one.prefix == host_prefix(two.server.address)] == [hop.id]
    assert two.server.uuid not in {vif.uuid for vif in tables.interfaces}
    two.lab.apply(Delete(two.there), Delete(two.back), Delete(two.join))
    assert not [unit for unit in two.lab.backend.observe() if isinstance(unit, Join | Remote)]


def test_after_a_restart_it_is_the_same(two: Two) -> None:
    two.near.service(listener(8888, member(two.server, 80)))
    connection = connect(two.lab, two.client, two.lab.vip, 8888)
    assert isinstance(connection.exchange(), Answer)
    before = two.lab.backend.observe()
    two.lab.restart()
    if not two.lab.survives_restart:
        return
    assert two.lab.backend.observe() == before
    two.lab.apply(*(Put(unit) for unit in before))
    assert who(connection) == two.server.uuid
    assert two.lab.backend.observe() == before


# --- guarded ones


def guard(two: Two, *, client: bool = True, server: bool = True) -> None:
    two.back = leak(two.client, two.far, guarded=client)
    two.there = leak(two.server, two.near, guarded=server)


def test_a_guarded_member_serves_and_is_not_reached_otherwise(two: Two) -> None:
    guard(two)
    for protocol in PROTOCOLS:
        for pod in (two.client, two.server):
            two.lab.listen(pod, protocol, 8080)
        two.near.service(listener(8888, member(two.server, 8080), protocol=protocol))
        for _ in range(2):
            assert answer(two.lab, two.client, two.lab.vip, 8888, protocol).member == two.server.uuid
        two.near.service(listener(8888, member(two.server, 9), protocol=protocol))
        assert ask(two.lab, two.client, two.lab.vip, 8888, protocol) == Refused("reset")
    assert two.lab.ping(two.client, two.lab.vip) == Echo(two.lab.vip)
    for client, server in ((two.client, two.server), (two.server, two.client)):
        assert unreachable(two.lab, client, server.address)
        assert two.lab.ping(client, server.address) == Refused("unreachable")
    assert drops(two.lab, "Policy") == drops(two.lab, "Policy", vrf=2) == 2


def test_one_side_opens_and_the_other_answers(two: Two) -> None:
    for pod in (two.client, two.server):
        two.lab.listen(pod, "udp", 80)
    guard(two, server=False)
    for protocol in PROTOCOLS:
        assert answer(two.lab, two.client, two.server.address, 80, protocol).member == two.server.uuid
    assert two.lab.ping(two.client, two.server.address) == Echo(two.server.address)
    assert unreachable(two.lab, two.server, two.client.address)
    assert two.lab.ping(two.server, two.client.address) == Refused("unreachable")
    header = Header("tcp", two.server.address, 40_000, two.client.address, 80)
    assert two.lab.backend.lookup(two.server.uuid, header).refused == "Policy"
    guard(two, client=False, server=False)  # a policy lets them
    assert answer(two.lab, two.server, two.client.address, 80).member == two.client.uuid
    assert [unit.guarded for unit in two.lab.backend.observe() if isinstance(unit, Remote)] == [False, False]
