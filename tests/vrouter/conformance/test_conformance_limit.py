"""A listener with a limit has so many connections at a time and refuses more."""

import pytest
from lab import Connection, Lab, Refused, Silence
from scenery import Network, answer, connect, drops, eventually, flow_of, listener, member, who

from vrouter.backends.lookup import Header
from vrouter.backends.protocol import Delete, Places
from vrouter.state import AFFINITY, Interface, Listener, Member, Protocol, Vip

REFUSED = {"tcp": Refused("reset"), "udp": Refused("unreachable")}


def limited(limit: int, *members: Member, port: int = 8888, protocol: Protocol = "tcp") -> Listener:
    return listener(port, *members, protocol=protocol)._replace(limit=limit)


def opened(lab: Lab, client: Interface, number: int, protocol: Protocol = "tcp") -> list[Connection]:
    """So many connections, which are answered."""
    found = [connect(lab, client, lab.vip, 8888, protocol) for _ in range(number)]
    for connection in found:
        who(connection)
    return found


def outcome(lab: Lab, client: Interface, port: int = 8888, protocol: Protocol = "tcp") -> object:
    """Of one more connection; None if it is answered."""
    connection = lab.open(client, protocol, lab.vip, port)
    if isinstance(connection, Refused | Silence):
        return connection
    said = connection.exchange()
    connection.close()
    return said if isinstance(said, Refused | Silence) else None


def places(lab: Lab, vip: Vip) -> Places:
    (found,) = lab.backend.places(vip)
    return found


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_what_is_beyond_is_refused_and_counted(lab: Lab, network: Network, protocol: Protocol) -> None:
    client, web = network.pod(), network.pod(80, protocol=protocol)
    vip = network.service(limited(3, member(web, 80), protocol=protocol))
    connections = opened(lab, client, 3, protocol)
    assert [outcome(lab, client, protocol=protocol) for _ in range(2)] == 2 * [REFUSED[protocol]]
    assert places(lab, vip) == Places(1, protocol, lab.vip, 8888, 3, 3, 2)
    assert lab.backend.places() == [places(lab, vip)]
    assert drops(lab, "ConnLim") == 2
    assert [who(connection) for connection in connections] == 3 * [web.uuid]
    assert len(list(lab.backend.flows(1))) == 3


@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_place_is_free_again_when_a_connection_ends(lab: Lab, network: Network, end: str) -> None:
    client, web = network.pod(), network.pod(80)
    vip = network.service(limited(2, member(web, 80)))
    first, second = opened(lab, client, 2)
    assert outcome(lab, client) == Refused("reset")
    getattr(first, end)()
    assert eventually(lambda: places(lab, vip).taken == 1)
    (third,) = opened(lab, client, 1)
    assert outcome(lab, client) == Refused("reset")
    assert [who(second), who(third)] == 2 * [web.uuid]


def test_a_place_is_free_again_when_the_server_resets(lab: Lab, network: Network) -> None:
    client, web = network.pod(), network.pod(80)
    vip = network.service(limited(1, member(web, 80)))
    (connection,) = opened(lab, client, 1)
    lab.silence(web.uuid)
    assert connection.exchange() == Refused("reset")
    lab.listen(web, "tcp", 80)
    assert eventually(lambda: places(lab, vip).taken == 0)
    assert outcome(lab, client) is None


def test_each_listener_has_its_own(lab: Lab, network: Network) -> None:
    client, web = network.pod(), network.pod(80)
    network.service(
        limited(1, member(web, 80)), limited(2, member(web, 80), port=9999), listener(7777, member(web, 80))
    )
    opened(lab, client, 1)
    held = [connect(lab, client, lab.vip, 9999) for _ in range(2)]
    assert [outcome(lab, client, port) for port in (8888, 9999)] == 2 * [Refused("reset")]
    assert [outcome(lab, client, 7777) for _ in range(5)] == 5 * [None]
    assert [who(connection) for connection in held] == 2 * [web.uuid]


def test_all_clients_count_together(lab: Lab, network: Network) -> None:
    one, other, web = network.pods(3, 80)
    network.service(limited(2, member(web, 80)))
    held = opened(lab, one, 1) + opened(lab, web, 1)  # a member that is its own client counts, too
    assert [outcome(lab, client) for client in (one, other, web)] == 3 * [Refused("reset")]
    assert [who(connection) for connection in held] == 2 * [web.uuid]


def test_a_raised_limit_holds_with_those_that_are_open(lab: Lab, network: Network) -> None:
    client, web = network.pod(), network.pod(80)
    network.service(limited(2, member(web, 80)))
    connections = opened(lab, client, 2)
    assert outcome(lab, client) == Refused("reset")
    vip = network.service(limited(3, member(web, 80)))
    connections += opened(lab, client, 1)
    assert outcome(lab, client) == Refused("reset")
    assert [who(connection) for connection in connections] == 3 * [web.uuid]
    assert (places(lab, vip).taken, places(lab, vip).refused) == (3, 2)


def test_a_limit_below_what_is_open_ends_nothing(lab: Lab, network: Network) -> None:
    client, web = network.pod(), network.pod(80)
    network.service(limited(4, member(web, 80)))
    connections = opened(lab, client, 4)
    vip = network.service(limited(2, member(web, 80)))
    assert [who(connection) for connection in connections] == 4 * [web.uuid]
    assert outcome(lab, client) == Refused("reset")
    for connection in connections:
        connection.close()
    assert eventually(lambda: places(lab, vip).taken == 0)
    opened(lab, client, 2)
    assert outcome(lab, client) == Refused("reset")


def test_a_limit_comes_and_goes(lab: Lab, network: Network) -> None:
    """Connections from before a listener had one do not count."""
    client, web = network.pod(), network.pod(80)
    vip = network.service(listener(8888, member(web, 80)))
    connections = opened(lab, client, 2)
    assert lab.backend.places(vip) == []
    network.service(limited(1, member(web, 80)))
    connections += opened(lab, client, 1)
    assert outcome(lab, client) == Refused("reset")
    network.service(listener(8888, member(web, 80)))
    connections += opened(lab, client, 2)
    assert [who(connection) for connection in connections] == 5 * [web.uuid]
    assert lab.backend.places(vip) == []


def test_a_service_that_is_made_again_begins_with_all_places(lab: Lab, network: Network) -> None:
    client, web = network.pod(), network.pod(80)
    vip = network.service(limited(1, member(web, 80)))
    opened(lab, client, 1)
    assert outcome(lab, client) == Refused("reset")
    assert (places(lab, vip).taken, places(lab, vip).refused) == (1, 1)
    network.remove_service()
    network.service(limited(1, member(web, 80)))
    assert (places(lab, vip).taken, places(lab, vip).refused) == (0, 0)
    answer(lab, client, lab.vip, 8888)


def test_a_member_that_leaves_or_dies_keeps_the_limit(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80)
    network.service(limited(1, member(a, 80)))
    (connection,) = opened(lab, client, 1)
    vip = network.service(limited(1, member(b, 80)))
    assert who(connection) == a.uuid
    assert outcome(lab, client) == Refused("reset")
    lab.apply(Delete(a))
    assert outcome(lab, client) == Refused("reset")
    assert places(lab, vip).taken == 1


def test_what_is_refused_for_another_reason_has_no_place(lab: Lab, network: Network) -> None:
    client, web = network.pod(), network.pod(80)
    network.service(listener(9999, member(web, 80)))
    vip = network.service(limited(1, member(web, 80)), vip=lab.vip + 1)
    held = connect(lab, client, lab.vip, 9999, source_port=40_000)
    assert lab.open(client, "tcp", lab.vip + 1, 8888, 40_000) == Refused("reset")  # the way back is the other's
    assert drops(lab, "NoRevFlow") == 1
    assert eventually(lambda: places(lab, vip).taken == 0)
    who(held)


def test_a_sticky_client_is_refused_like_others(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80)
    vip = network.service(limited(2, member(a, 80), member(b, 80))._replace(affinity=AFFINITY))
    held = opened(lab, client, 2)
    (served,) = {who(connection) for connection in held}
    assert outcome(lab, client) == Refused("reset")
    held[0].close()
    assert eventually(lambda: places(lab, vip).taken == 1)
    assert answer(lab, client, lab.vip, 8888).member == served


def test_it_is_foretold(lab: Lab, network: Network) -> None:
    client, web = network.pod(), network.pod(80)
    network.service(limited(1, member(web, 80)))

    def refused(source_port: int) -> str:
        return lab.backend.lookup(client.uuid, Header("tcp", client.address, source_port, lab.vip, 8888)).refused

    assert refused(40_000) == ""
    (connection,) = opened(lab, client, 1)
    assert (refused(40_000), refused(connection.source_port)) == ("ConnLim", "")
    found = flow_of(lab, client, connection)
    assert found is not None


def test_a_restarted_agent_finds_it(lab: Lab, network: Network) -> None:
    client, web = network.pod(), network.pod(80)
    unit = network.service(limited(2, member(web, 80)), limited(0, member(web, 80), port=9999))
    held = opened(lab, client, 1)
    if lab.survives_restart:
        lab.restart()
        (found,) = (one for one in lab.backend.observe() if isinstance(one, Vip))
        assert [one.limit for one in found.listeners] == [2, 0]
        network.service(*unit.listeners)
        assert places(lab, unit).taken == 1
        held += opened(lab, client, 1)
        assert outcome(lab, client) == Refused("reset")
        assert [who(connection) for connection in held] == 2 * [web.uuid]
