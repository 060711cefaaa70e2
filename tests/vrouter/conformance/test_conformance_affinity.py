"""A sticky listener leads a client's new connections to the member of its last one."""

import pytest
from lab import Lab
from scenery import Network, answer, assert_reaches, connect, listener, member, spread, who

from vrouter.backends.lookup import Header, Lookup
from vrouter.backends.protocol import BackendError, Delete
from vrouter.state import AFFINITY, Interface, Listener, Member, Protocol, Vip

TRIES = 24


def sticky(port: int, *members: Member, protocol: Protocol = "tcp") -> Listener:
    return listener(port, *members, protocol=protocol)._replace(affinity=AFFINITY)


def the_one(lab: Lab, client: Interface, port: int = 8888, protocol: Protocol = "tcp") -> str:
    """Who answers all of the client's connections."""
    (found,) = spread(lab, client, lab.vip, port, TRIES, protocol)
    return found


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_client_stays_and_clients_differ(lab: Lab, network: Network, protocol: Protocol) -> None:
    webs = network.pods(2, 80, protocol=protocol)
    network.service(sticky(8888, *(member(web, 80) for web in webs), protocol=protocol))
    clients = network.pods(10)
    found = {client.uuid: the_one(lab, client, protocol=protocol) for client in clients}
    assert set(found.values()) == {web.uuid for web in webs}
    for client in clients:
        assert the_one(lab, client, protocol=protocol) == found[client.uuid]


def test_it_is_foretold(lab: Lab, network: Network) -> None:
    webs = network.pods(4, 80)
    network.service(sticky(8888, *(member(web, 80) for web in webs)))
    client = network.pod()

    def look(source_port: int) -> Lookup:
        return lab.backend.lookup(client.uuid, Header("tcp", client.address, source_port, lab.vip, 8888))

    assert not any(look(source_port).refused for source_port in range(40_000, 40_060))
    found = the_one(lab, client)
    address = next(web.address for web in webs if web.uuid == found)
    for source_port in range(40_000, 40_060):
        said = look(source_port)
        assert (said.target, said.match.asked, said.refused) == (found, address, "")
        assert said.translated == Header("tcp", client.address, source_port, address, 80)


def test_a_listener_beside_a_sticky_one_is_not(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80, 81)
    network.service(sticky(8888, member(a, 80), member(b, 80)), listener(9999, member(a, 81), member(b, 81)))
    the_one(lab, client)
    assert_reaches(lab, client, lab.vip, 9999, [a, b])


def test_each_listener_remembers_for_itself(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80)
    network.service(sticky(8888, member(a, 80)), sticky(9999, member(b, 80)))
    assert (the_one(lab, client, 8888), the_one(lab, client, 9999)) == (a.uuid, b.uuid)


def test_a_new_member_takes_no_client_away(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80)
    network.service(sticky(8888, member(a, 80)))
    assert the_one(lab, client) == a.uuid
    network.service(sticky(8888, member(a, 80), member(b, 80, 100)))
    assert the_one(lab, client) == a.uuid


def test_a_member_that_leaves_loses_its_clients_and_keeps_its_connections(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80)
    network.service(sticky(8888, member(a, 80)))
    connection = connect(lab, client, lab.vip, 8888)
    assert who(connection) == a.uuid
    network.service(sticky(8888, member(b, 80)))
    assert the_one(lab, client) == b.uuid
    assert who(connection) == a.uuid
    network.service(sticky(8888, member(a, 80), member(b, 80)))
    assert the_one(lab, client) == b.uuid
    connection.close()


def test_a_pod_that_goes_loses_its_clients(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80)
    network.service(sticky(8888, member(a, 80)))
    assert the_one(lab, client) == a.uuid
    network.service(sticky(8888, member(a, 80), member(b, 80)))
    lab.apply(Delete(a))
    assert the_one(lab, client) == b.uuid


def test_a_changed_target_port_keeps_the_member(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80, 81)
    network.service(sticky(8888, member(a, 80), member(b, 80)))
    before = the_one(lab, client)
    network.service(sticky(8888, member(a, 81), member(b, 81)))
    reached = answer(lab, client, lab.vip, 8888)
    assert (reached.member, reached.local[1]) == (before, 81)


def test_a_member_that_is_its_own_client(lab: Lab, network: Network) -> None:
    web = network.pod(80)
    network.service(sticky(8888, member(web, 80)))
    assert the_one(lab, web) == web.uuid
    assert answer(lab, web, lab.vip, 8888).client[0] == lab.vip


def test_affinity_comes_and_goes_without_breaking_a_connection(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80)
    members = member(a, 80), member(b, 80)
    network.service(listener(8888, *members))
    first = connect(lab, client, lab.vip, 8888)
    served = who(first)
    network.service(sticky(8888, *members))
    second = connect(lab, client, lab.vip, 8888)
    again = who(second)
    assert the_one(lab, client) == again
    assert who(first) == served
    network.service(listener(8888, *members))
    assert_reaches(lab, client, lab.vip, 8888, [a, b])
    assert (who(first), who(second)) == (served, again)
    for connection in (first, second):
        connection.close()


def test_a_restarted_agent_finds_it(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80)
    unit = network.service(sticky(8888, member(a, 80), member(b, 80)), listener(9999, member(a, 80)))
    before = the_one(lab, client)
    if lab.survives_restart:
        lab.restart()
        (found,) = (one for one in lab.backend.observe() if isinstance(one, Vip))
        assert [one.affinity for one in found.listeners] == [AFFINITY, 0]
        lab.apply()
        network.service(*unit.listeners)
        assert the_one(lab, client) == before


def test_another_time_is_refused(lab: Lab, network: Network) -> None:
    web = network.pod(80)
    with pytest.raises(BackendError, match="affinity is 10800 s or none"):
        network.service(listener(8888, member(web, 80))._replace(affinity=60))
