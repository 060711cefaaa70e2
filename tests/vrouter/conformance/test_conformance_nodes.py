"""A VRF on two nodes: members on the other one are reached as those here are, and leave as they do."""

import pytest
from lab import VTEPS, Answer, Echo, Lab, Refused
from scenery import Network, answer, assert_reaches, connect, eventually, flow_of, listener, member, spread, who

from vrouter.backends.lookup import Header
from vrouter.backends.protocol import BackendError, Delete, Put
from vrouter.state import Interface


@pytest.fixture
def network(lab: Lab) -> Network:
    return Network(lab, spanning=True)


def test_pods_of_both_nodes_reach_each_other(lab: Lab, network: Network) -> None:
    here, there = network.pod(80), network.far_pod(80)
    for client, server in ((here, there), (there, here)):
        found = answer(lab, client, server.address, 80)
        assert (found.member, found.client[0], found.local) == (server.uuid, client.address, (server.address, 80))
        assert lab.ping(client, server.address) == Echo(server.address)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_service_has_members_on_both(lab: Lab, network: Network, protocol: str) -> None:
    client, here = network.pod(), network.pod(80, protocol=protocol)
    there = [network.far_pod(80, protocol=protocol) for _ in range(2)]
    network.service(listener(8888, *(member(pod, 80) for pod in (here, *there)), protocol=protocol))
    assert_reaches(lab, client, lab.vip, 8888, (here, *there), protocol)
    connection = connect(lab, client, lab.vip, 8888, protocol)
    found = connection.exchange()
    assert isinstance(found, Answer)
    assert found.client == (client.address, connection.source_port)
    assert lab.ping(client, lab.vip) == Echo(lab.vip)


def test_a_drained_member_of_the_other_node_keeps_its_connections(lab: Lab, network: Network) -> None:
    client, here, there = network.pod(), network.pod(80), network.far_pod(80)
    network.service(listener(8888, member(here, 80), member(there, 80)))
    open_ = [connect(lab, client, lab.vip, 8888) for _ in range(12)]
    before = [who(one) for one in open_]
    assert set(before) == {here.uuid, there.uuid}
    network.service(listener(8888, member(here, 80)))
    assert [who(one) for one in open_] == before
    assert set(spread(lab, client, lab.vip, 8888, 8)) == {here.uuid}


def test_a_member_of_the_other_node_that_goes_takes_its_own_connections_along(lab: Lab, network: Network) -> None:
    client, here, there = network.pod(), network.pod(80), network.far_pod(80)
    network.service(listener(8888, member(here, 80), member(there, 80)))
    open_ = [connect(lab, client, lab.vip, 8888) for _ in range(12)]
    before = [who(one) for one in open_]
    network.service(listener(8888, member(here, 80)))
    lab.apply(Delete(network.remote(there)))
    after = [one.exchange() for one in open_]
    assert [isinstance(one, Refused) for one in after] == [uuid == there.uuid for uuid in before]
    assert set(spread(lab, client, lab.vip, 8888, 8)) == {here.uuid}
    assert isinstance(lab.ping(client, there.address), Refused)


def move(network: Network, pod: Interface, *, away: bool) -> None:
    """As the reconcilers of both nodes do it."""
    lab, here, there = network.lab, Put(pod), network.remote(pod)
    if away:
        lab.apply(Delete(pod))
        lab.apply_elsewhere(Delete(network.remote(pod, node=0)), Put(pod))
        lab.apply(Put(there))
    else:
        lab.apply(Delete(there))
        lab.apply_elsewhere(Delete(pod))
        lab.apply(here)
        lab.apply_elsewhere(Put(network.remote(pod, node=0)))
    lab.silence(pod.uuid)
    lab.listen(pod, "tcp", 80)


def test_a_member_moves_to_the_other_node_and_back(lab: Lab, network: Network) -> None:
    client, stays, mover = network.pod(), network.pod(80), network.pod(80)
    both = listener(8888, member(stays, 80), member(mover, 80))
    network.service(both)
    open_ = [one for one in (connect(lab, client, lab.vip, 8888) for _ in range(12)) if who(one) == stays.uuid]
    assert open_
    for away in (True, False):
        network.service(listener(8888, member(stays, 80)))
        move(network, mover, away=away)
        network.service(both)
        assert {who(one) for one in open_} == {stays.uuid}
        assert_reaches(lab, client, lab.vip, 8888, (stays, mover))


def test_a_restart_finds_what_is_on_the_other_node(lab: Lab, network: Network) -> None:
    client, there = network.pod(), network.far_pod(80)
    vip = network.service(listener(8888, member(there, 80)))
    connection = connect(lab, client, lab.vip, 8888)
    if lab.survives_restart:
        lab.restart()
    assert lab.backend.observe() == [network.vrf, client, network.remote(there), vip]
    lab.apply(Put(network.vrf), Put(network.remote(there)), Put(vip))
    assert who(connection) == there.uuid
    lab.apply(Delete(vip), Delete(network.remote(there)), Delete(client), Delete(network.vrf))
    assert lab.backend.observe() == []


def test_the_tables_show_the_tunnel(lab: Lab, network: Network) -> None:
    there = network.far_pod()
    (nexthop,) = lab.backend.tables(1).nexthops
    router = VTEPS[lab.family][1]
    assert (nexthop.kind, nexthop.interface, nexthop.address) == ("tunnel", there.uuid, there.address)
    assert (nexthop.router, nexthop.vni) == (router, 5001)
    (route,) = lab.backend.tables(1).routes
    assert (route.prefix, route.nexthop) == (f"{there.address}/{there.address.max_prefixlen}", nexthop.id)


def test_a_packet_to_the_other_node_is_told_beforehand(lab: Lab, network: Network) -> None:
    client, there = network.pod(), network.far_pod(80)
    network.service(listener(8888, member(there, 80)))
    found = lab.backend.lookup(client.uuid, Header("tcp", client.address, 40000, lab.vip, 8888))
    assert (found.target, found.refused) == (there.uuid, "")
    assert found.translated is not None
    assert (found.translated.destination, found.translated.destination_port) == (there.address, 80)


def test_a_flow_to_the_other_node_is_counted(lab: Lab, network: Network) -> None:
    client, there = network.pod(), network.far_pod(80)
    network.service(listener(8888, member(there, 80)))
    connection = connect(lab, client, lab.vip, 8888)
    who(connection)
    flow = flow_of(lab, client, connection)
    assert flow is not None
    assert (flow.member, flow.member_address) == (there.uuid, there.address)
    assert eventually(lambda: sum(one.connections for one in lab.backend.stats() if one.member == there.uuid)) == 1


def test_without_a_vtep_nothing_leads_to_other_nodes(lab: Lab) -> None:
    network = Network(lab)
    with pytest.raises(BackendError):
        lab.apply(Put(network.remote(network.new_pod())))
