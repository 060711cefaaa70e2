"""What the backend tells of itself is what stands."""

import pytest
from lab import Lab
from scenery import Network, answer, ask, assert_reaches, connect, eventually, flow_of, listener, member, who

from vrouter.backends.protocol import BackendError, Delete, Put, Route, host_prefix
from vrouter.state import Key, Unit, Vip


def by_key(units: list[Unit]) -> dict[Key, Unit]:
    """The members of a listener are a set: their order is the compiler's."""
    found: dict[Key, Unit] = {}
    for unit in units:
        assert unit.key not in found
        if isinstance(unit, Vip):
            listeners = tuple(sorted(x._replace(members=tuple(sorted(x.members))) for x in unit.listeners))
            unit = Vip(unit.vrf, unit.address, unit.name, listeners)  # noqa: PLW2901
        found[unit.key] = unit
    return found


def test_observe_returns_what_was_put(lab: Lab) -> None:
    units: list[Unit] = []
    for index in (1, 2):
        network = Network(lab, index)
        a, b, c = network.pods(3)
        units += [network.vrf, a, b, c]
        units.append(network.service(listener(8888, member(a, 80), member(b, 8080, 7))))
        several = (
            listener(80, member(a, 80), member(b, 80)),
            listener(443, member(c, 8443)),
            listener(53, member(a, 5353), member(c, 5354, 3), protocol="udp"),
            listener(9999),
        )
        units.append(network.service(*several, vip=lab.vip + 1))
        units.append(network.service(listener(80), vip=lab.vip + 2))
    assert by_key(lab.backend.observe()) == by_key(units)


def test_observe_follows_changes(lab: Lab, network: Network) -> None:
    a, b, c = network.pods(3)
    network.service(listener(8888, member(a, 80), member(b, 80)))
    network.service(listener(8888, member(a, 81)), listener(9999, member(b, 80), member(c, 80)))
    vip = network.service(listener(8888, member(a, 82, 4)), listener(7777, member(b, 80)))
    lab.apply(Delete(c))
    assert by_key(lab.backend.observe()) == by_key([network.vrf, a, b, vip])
    network.remove_service()
    assert by_key(lab.backend.observe()) == by_key([network.vrf, a, b])


def test_a_restart_finds_what_stands_and_changes_nothing(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80, 81)
    single = network.service(listener(8888, member(a, 80), member(b, 80, 2)))
    several = network.service(listener(80, member(a, 80)), listener(81, member(a, 80), member(b, 81)), vip=lab.vip + 1)
    units: list[Unit] = [network.vrf, client, a, b, single, several]
    connection = connect(lab, client, lab.vip, 8888)
    served_by = who(connection)
    before = lab.backend.tables()
    lab.restart()
    if lab.survives_restart:
        assert by_key(lab.backend.observe()) == by_key(units)
        assert who(connection) == served_by
    else:
        assert lab.backend.observe() == []
    lab.apply(*(Put(unit) for unit in units))
    after = lab.backend.tables()
    if lab.survives_restart:
        assert (after.nexthops, after.routes) == (before.nexthops, before.routes)
        assert who(connection) == served_by
    assert by_key(lab.backend.observe()) == by_key(units)
    assert_reaches(lab, client, lab.vip, 8888, [a, b])
    connection.close()


def test_after_a_restart_changes_go_on(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80)
    vip = network.service(listener(8888, member(a, 80)))
    connection = connect(lab, client, lab.vip, 8888)
    assert who(connection) == a.uuid
    lab.restart()
    if not lab.survives_restart:
        lab.apply(*(Put(unit) for unit in (network.vrf, client, a, b, vip)))
    network.service(listener(8888, member(a, 80), member(b, 80)))
    assert_reaches(lab, client, lab.vip, 8888, [a, b])
    if lab.survives_restart:
        assert who(connection) == a.uuid
    new = network.pod(80)
    network.service(listener(8888, member(new, 80)))
    assert_reaches(lab, client, lab.vip, 8888, [new])
    network.remove_service()
    assert by_key(lab.backend.observe()) == by_key([network.vrf, client, a, b, new])
    connection.close()


def test_tables_show_the_route_of_a_vip_to_its_members(lab: Lab, network: Network) -> None:
    a, b, c = network.pods(3)
    network.service(listener(8888, member(a, 80, 2), member(b, 80, 5)))
    tables = lab.backend.tables(1)
    nexthops = {nexthop.id: nexthop for nexthop in tables.nexthops}
    routes = {route.prefix: route for route in tables.routes}
    group = nexthops[routes[host_prefix(lab.vip)].nexthop]
    assert group.kind == "composite"
    assert {(nexthops[number].interface, weight) for number, weight in group.members} == {(a.uuid, 2), (b.uuid, 5)}
    for pod in (a, b, c):
        nexthop = nexthops[routes[host_prefix(pod.address)].nexthop]
        assert (nexthop.kind, nexthop.interface, nexthop.address) == ("encap", pod.uuid, pod.address)
    vifs = {vif.uuid: vif for vif in tables.interfaces}
    assert set(vifs) == {a.uuid, b.uuid, c.uuid}
    assert (vifs[a.uuid].workload, vifs[a.uuid].mac, vifs[a.uuid].addresses) == (a.workload, a.mac, a.addresses)
    assert nexthops[routes[host_prefix(a.address)].nexthop].device == vifs[a.uuid].device
    assert {row.vrf for rows in (tables.interfaces, tables.nexthops, tables.routes) for row in rows} == {1}


def test_numbers_of_nexthops_and_groups_are_kept(lab: Lab, network: Network) -> None:
    a, b, c = network.pods(3)
    network.service(listener(8888, member(a, 80), member(b, 80)))
    other = lab.vip + 1
    network.service(listener(80, member(a, 80)), listener(81, member(b, 80)), vip=other)

    def ids() -> dict[str, int | None]:
        return {route.prefix: route.nexthop for route in lab.backend.tables(1).routes}

    before = ids()
    network.service(listener(8888, member(b, 80), member(c, 80)))
    network.service(listener(80, member(a, 80), member(c, 80)), listener(81, member(b, 80)), vip=other)
    assert ids() == before
    assert len({nexthop.id for nexthop in lab.backend.tables(1).nexthops}) == len(lab.backend.tables(1).nexthops)


def test_a_vip_without_members_is_shown_as_refused(lab: Lab, network: Network) -> None:
    network.service(listener(8888))
    assert Route(1, host_prefix(lab.vip), None, refused=True) in lab.backend.tables(1).routes


def test_tables_of_one_vrf_and_of_all(lab: Lab) -> None:
    pods = {index: Network(lab, index).pod() for index in (1, 2)}
    for index, pod in pods.items():
        assert [vif.uuid for vif in lab.backend.tables(index).interfaces] == [pod.uuid]
    assert {vif.uuid for vif in lab.backend.tables().interfaces} == {pod.uuid for pod in pods.values()}


def test_interfaces_count_what_the_workload_sends_and_receives(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    answer(lab, client, web.address, 80)
    vifs = {vif.uuid: vif for vif in lab.backend.tables().interfaces}
    for pod in (client, web):
        vif = vifs[pod.uuid]
        assert min(vif.rx_packets, vif.tx_packets) >= 2
        assert vif.rx_bytes >= 40 * vif.rx_packets
        assert vif.tx_bytes >= 40 * vif.tx_packets
    assert vifs[client.uuid].tx_packets >= 3


@pytest.mark.parametrize("listeners", [1, 2])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_flow_tells_who_talks_to_whom(lab: Lab, network: Network, protocol: str, listeners: int) -> None:
    client, web = network.pod(), network.pod(80, protocol=protocol)
    network.service(*(listener(8888 + n, member(web, 80), protocol=protocol) for n in range(listeners)))
    connection = connect(lab, client, lab.vip, 8888, protocol)
    for _ in range(3):
        who(connection)
    flow = flow_of(lab, client, connection)
    assert flow is not None
    assert (flow.vrf, flow.protocol, flow.vip, flow.port) == (1, protocol, lab.vip, 8888)
    assert (flow.member, flow.member_address, flow.member_port) == (web.uuid, web.address, 80)
    assert flow.packets >= 3
    assert flow.reverse_packets >= 3
    assert flow.bytes >= 28 * flow.packets  # an IP and a UDP header
    assert flow.reverse_bytes >= 28 * flow.reverse_packets
    assert 100 < flow.expires <= 180
    assert not flow.closing
    connection.close()
    if protocol == "tcp":
        closed = eventually(lambda: (flow := flow_of(lab, client, connection)) is None or (flow.closing and flow))
        assert closed is True or closed.expires <= 10


def test_flows_count_every_packet(lab: Lab, network: Network) -> None:
    client, dns = network.pod(), network.pod(53, protocol="udp")
    network.service(listener(53, member(dns, 53), protocol="udp"))
    connection = connect(lab, client, lab.vip, 53, "udp")
    for _ in range(10):
        who(connection)
    flow = flow_of(lab, client, connection)
    assert flow is not None
    assert (flow.packets, flow.reverse_packets) == (10, 10)


def test_the_flow_of_a_member_that_talks_to_itself(lab: Lab, network: Network) -> None:
    web = network.pod(80)
    network.service(listener(8888, member(web, 80)))
    connection = connect(lab, web, lab.vip, 8888)
    who(connection)
    flow = flow_of(lab, web, connection)
    assert flow is not None
    assert (flow.source, flow.vip, flow.member, flow.member_port) == (web.address, lab.vip, web.uuid, 80)
    assert flow.reverse_packets >= 1
    connection.close()


def test_flows_of_one_vrf(lab: Lab) -> None:
    for index in (1, 2):
        network = Network(lab, index)
        client, web = network.pods(2, 80)
        network.service(listener(8888, member(web, 80)))
        ask(lab, client, lab.vip, 8888)
    assert {flow.vrf for flow in lab.backend.flows()} == {1, 2}
    assert {flow.vrf for flow in lab.backend.flows(2)} == {2}


def test_flows_of_a_removed_service_are_gone(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    network.service(listener(8888, member(web, 80)))
    connection = connect(lab, client, lab.vip, 8888)
    who(connection)
    network.remove_service()
    assert not list(lab.backend.flows())
    connection.close()


def test_a_unit_without_its_vrf_is_an_error_that_may_pass(lab: Lab) -> None:
    network = Network(lab, apply=False)
    (error,) = lab.backend.apply([Put(network.new_pod())])
    assert isinstance(error, BackendError)
    assert not error.permanent
    assert "VRF 1" in str(error)


def test_an_error_leaves_the_other_operations_alone(lab: Lab, network: Network) -> None:
    stray, good = Network(lab, 2, apply=False).new_pod(), network.new_pod()
    errors = lab.backend.apply([Put(stray), Put(good)])
    assert [error is None for error in errors] == [False, True]
    assert by_key(lab.backend.observe()) == by_key([network.vrf, good])


def test_cleanup_removes_everything_and_says_so(lab: Lab, network: Network) -> None:
    a, b = network.pods(2)
    network.service(listener(8888, member(a, 80), member(b, 80)))
    assert lab.backend.cleanup()
    assert lab.backend.observe() == []
    assert lab.backend.cleanup() == []
