"""What a change of members does to new connections, and what it does not do to open ones."""

import pytest
from lab import Answer, Connection, Lab, Refused
from scenery import Network, answer, ask, assert_reaches, connect, eventually, flow_of, listener, member, who

from vrouter.backends.protocol import Delete, Put
from vrouter.state import Interface


def test_an_added_member_gets_new_connections_and_open_ones_stay(lab: Lab, network: Network) -> None:
    client, *web = network.pods(5, 80)
    members = [member(pod, 80) for pod in web]
    network.service(listener(8888, *members[:3]))
    before = open_many(lab, client)
    network.service(listener(8888, *members))
    assert_reaches(lab, client, lab.vip, 8888, web)
    assert {connection.source_port: who(connection) for connection, _ in before} == served(before)
    close_all(before)


def test_a_removed_member_keeps_its_connections_and_takes_no_new_ones(lab: Lab, network: Network) -> None:
    client, *web = network.pods(5, 80)
    members = [member(pod, 80) for pod in web]
    network.service(listener(8888, *members))
    before = open_many(lab, client)
    network.service(listener(8888, members[0], *members[2:]))
    assert_reaches(lab, client, lab.vip, 8888, [web[0], *web[2:]])
    assert {connection.source_port: who(connection) for connection, _ in before} == served(before)
    close_all(before)


def test_a_changed_weight_takes_no_connection(lab: Lab, network: Network) -> None:
    client, *web = network.pods(4, 80)
    network.service(listener(8888, *(member(pod, 80) for pod in web)))
    before = open_many(lab, client)
    network.service(listener(8888, *(member(pod, 80, 3 + n) for n, pod in enumerate(web))))
    assert {connection.source_port: who(connection) for connection, _ in before} == served(before)
    close_all(before)


def test_a_second_listener_takes_no_connection_of_the_first(lab: Lab, network: Network) -> None:
    """One group becomes several, and one again."""
    client, *web = network.pods(4, 80, 81)
    first = listener(8888, *(member(pod, 80) for pod in web))
    network.service(first)
    before = open_many(lab, client)
    network.service(first, listener(9999, member(web[0], 81)))
    assert_reaches(lab, client, lab.vip, 9999, web[:1])
    between = open_many(lab, client)
    network.service(first)
    assert_reaches(lab, client, lab.vip, 8888, web)
    everything = before + between
    assert {connection.source_port: who(connection) for connection, _ in everything} == served(everything)
    close_all(everything)


def test_a_member_of_two_listeners_leaves_one(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80, 81)
    network.service(listener(8888, member(a, 80), member(b, 80)), listener(9999, member(a, 81), member(b, 81)))
    network.service(listener(8888, member(a, 80)), listener(9999, member(a, 81), member(b, 81)))
    assert_reaches(lab, client, lab.vip, 8888, [a])
    assert_reaches(lab, client, lab.vip, 9999, [a, b])


def test_a_changed_target_port(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80, 8080)
    network.service(listener(8888, member(web, 80)))
    assert answer(lab, client, lab.vip, 8888).local[1] == 80
    network.service(listener(8888, member(web, 8080)))
    assert answer(lab, client, lab.vip, 8888).local[1] == 8080


def test_a_changed_listener_port(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    network.service(listener(8888, member(web, 80)))
    network.service(listener(8889, member(web, 80)))
    assert answer(lab, client, lab.vip, 8889).member == web.uuid
    assert ask(lab, client, lab.vip, 8888) == Refused("reset")


def test_a_member_comes_back(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80)
    both = listener(8888, member(a, 80), member(b, 80))
    network.service(both)
    network.service(listener(8888, member(a, 80)))
    network.service(both)
    assert_reaches(lab, client, lab.vip, 8888, [a, b])


def test_members_are_replaced_by_others(lab: Lab, network: Network) -> None:
    client, *web = network.pods(5, 80)
    network.service(listener(8888, member(web[0], 80), member(web[1], 80)))
    network.service(listener(8888, member(web[2], 80), member(web[3], 80)))
    assert_reaches(lab, client, lab.vip, 8888, web[2:])


def test_the_first_member_of_a_vip_that_stood_without(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    network.service(listener(8888))
    network.service(listener(8888, member(web, 80)))
    assert answer(lab, client, lab.vip, 8888).member == web.uuid


def test_an_interface_removed_before_its_vip_knows(lab: Lab, network: Network) -> None:
    """Whatever the order of the operations: the member is gone at once, the others go on."""
    client, a, b = network.pods(3, 80)
    vip = network.service(listener(8888, member(a, 80), member(b, 80)))
    before = [(c, pod) for c, pod in open_many(lab, client) if pod == b.uuid]
    lab.apply(Delete(a))
    assert_reaches(lab, client, lab.vip, 8888, [b])
    network.service(listener(8888, member(b, 80)))
    assert_reaches(lab, client, lab.vip, 8888, [b])
    assert all(who(connection) == b.uuid for connection, _ in before)
    close_all(before)
    lab.apply(Put(a))
    lab.listen(a, "tcp", 80)
    lab.apply(Put(vip))
    assert_reaches(lab, client, lab.vip, 8888, [a, b])


def test_an_interface_comes_back_under_a_vip_that_names_it(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80)
    vip = network.service(listener(8888, member(a, 80), member(b, 80)))
    lab.apply(Delete(a))
    lab.apply(Put(a))
    lab.listen(a, "tcp", 80)
    lab.apply(Put(vip))
    assert_reaches(lab, client, lab.vip, 8888, [a, b])


def test_a_vip_before_one_of_its_interfaces(lab: Lab, network: Network) -> None:
    """It serves with those that stand, and with all of them once it is put again."""
    client, a = network.pods(2, 80)
    late = network.new_pod()
    vip = network.service(listener(8888, member(a, 80)))
    vip = type(vip)(vip.vrf, vip.address, vip.name, (listener(8888, member(a, 80), member(late, 80)),))
    lab.backend.apply([Put(vip)])
    assert_reaches(lab, client, lab.vip, 8888, [a])
    lab.apply(Put(late))
    lab.listen(late, "tcp", 80)
    lab.apply(Put(vip))
    assert_reaches(lab, client, lab.vip, 8888, [a, late])


def test_an_interface_moves_to_another_address(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    network.service(listener(8888, member(web, 80)))
    moved = network.new_pod(uuid=web.uuid)
    lab.apply(Put(moved))
    lab.listen(moved, "tcp", 80)
    network.service(listener(8888, member(moved, 80)))
    assert answer(lab, client, lab.vip, 8888).local == (moved.address, 80)
    assert answer(lab, client, moved.address, 80).member == web.uuid
    assert not isinstance(ask(lab, client, web.address, 80), Answer)


def test_two_interfaces_exchange_their_addresses(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80)
    new_a, new_b = network.new_pod(b.address, a.uuid), network.new_pod(a.address, b.uuid)
    for pod in (new_a, new_b):
        lab.apply(Put(pod))
        lab.listen(pod, "tcp", 80)
    assert answer(lab, client, new_a.address, 80).member == a.uuid
    assert answer(lab, client, new_b.address, 80).member == b.uuid


def test_an_interface_goes_and_another_gets_its_address(lab: Lab, network: Network) -> None:
    client, old = network.pods(2, 80)
    network.service(listener(8888, member(old, 80)))
    new = network.new_pod(old.address)
    lab.apply(Delete(old), Put(new))
    lab.listen(new, "tcp", 80)
    network.service(listener(8888, member(new, 80)))
    assert answer(lab, client, lab.vip, 8888).member == new.uuid
    assert answer(lab, client, new.address, 80).member == new.uuid


def test_putting_again_what_stands_changes_nothing(lab: Lab, network: Network) -> None:
    client, *web = network.pods(3, 80)
    vip = network.service(listener(8888, *(member(pod, 80) for pod in web)))
    before, tables = open_many(lab, client), lab.backend.tables()
    lab.apply(*(Put(unit) for unit in (network.vrf, client, *web, vip)))
    after = lab.backend.tables()
    assert (after.nexthops, after.routes) == (tables.nexthops, tables.routes)
    assert {connection.source_port: who(connection) for connection, _ in before} == served(before)
    close_all(before)


def test_a_listener_goes_while_the_members_of_another_change(lab: Lab, network: Network) -> None:
    client, a, b, c = network.pods(4, 80)
    network.service(listener(8888, member(a, 80), member(b, 80)), listener(9999, member(c, 80)))
    network.service(listener(8888, member(b, 80), member(c, 80)))
    assert_reaches(lab, client, lab.vip, 8888, [b, c])
    assert ask(lab, client, lab.vip, 9999) == Refused("reset")


def test_deleting_what_is_not_there_is_done(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    vip = network.service(listener(8888, member(web, 80)))
    for unit in (vip, web, client, network.vrf):
        lab.apply(Delete(unit))
        lab.apply(Delete(unit))
    assert lab.backend.observe() == []


def test_everything_again_after_everything_went(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    vip = network.service(listener(8888, member(web, 80)))
    lab.apply(*(Delete(unit) for unit in (vip, web, client, network.vrf)))
    lab.apply(*(Put(unit) for unit in (network.vrf, client, web, vip)))
    lab.listen(web, "tcp", 80)
    assert answer(lab, client, lab.vip, 8888).member == web.uuid


def test_a_source_port_used_again_begins_a_new_flow(lab: Lab, network: Network) -> None:
    """The flow of the closed connection ages in seconds; the new one's must not."""
    client, web = network.pods(2, 80)
    network.service(listener(8888, member(web, 80)))
    first = connect(lab, client, lab.vip, 8888, source_port=40_003)
    assert who(first) == web.uuid
    first.abort()
    assert eventually(lambda: (flow := flow_of(lab, client, first)) is None or flow.closing)
    second = connect(lab, client, lab.vip, 8888, source_port=40_003)
    assert [who(second) for _ in range(3)] == [web.uuid] * 3
    flow = flow_of(lab, client, second)
    assert flow is not None
    assert not flow.closing
    assert flow.expires > 60
    second.close()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_many_open_connections_survive_a_rolling_replacement(lab: Lab, network: Network, protocol: str) -> None:
    """Pods are replaced one by one; a connection breaks with its own pod only."""
    client, *old = network.pods(4, 80, protocol=protocol)
    members = [member(pod, 80) for pod in old]
    network.service(listener(8888, *members, protocol=protocol))
    connections = open_many(lab, client, protocol)
    for gone in old:
        fresh = network.pod(80, protocol=protocol)
        members = [m for m in members if m.interface != gone.uuid] + [member(fresh, 80)]
        network.service(listener(8888, *members, protocol=protocol))
        lab.apply(Delete(gone))
        close_all([(connection, pod) for connection, pod in connections if pod == gone.uuid])
        connections = [(connection, pod) for connection, pod in connections if pod != gone.uuid]
        assert {connection.source_port: who(connection) for connection, _ in connections} == served(connections)
    assert not connections


Served = list[tuple[Connection, str]]


def open_many(lab: Lab, client: Interface, protocol: str = "tcp") -> Served:
    """Connections to the VIP with who answers on each, used twice so that their flows are established."""
    connections = [connect(lab, client, lab.vip, 8888, protocol) for _ in range(24)]
    first = [who(connection) for connection in connections]
    assert [who(connection) for connection in connections] == first
    return list(zip(connections, first, strict=True))


def served(connections: Served) -> dict[int, str]:
    return {connection.source_port: pod for connection, pod in connections}


def close_all(connections: Served) -> None:
    for connection, _ in connections:
        connection.close()
