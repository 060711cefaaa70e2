"""When the flow table is full, new flows are refused and counted, never misdelivered, and those that stand go on."""

from collections.abc import Iterator

import pytest
from lab import Connection, Lab, Outcome, Refused, Silence
from scenery import Network, connect, drops, eventually, listener, member, who

from vrouter.backends.lookup import Header
from vrouter.backends.protocol import Put
from vrouter.state import Family, Interface, Protocol

FLOWS = 4
REFUSED = {"tcp": Refused("reset"), "udp": Refused("unreachable")}


@pytest.fixture
def lab(lab_type: type[Lab], family: Family) -> Iterator[Lab]:
    """One that has room for few flows."""
    lab = lab_type(family, FLOWS)
    try:
        yield lab
    finally:
        lab.close()


def fill(lab: Lab, client: Interface, protocol: Protocol = "tcp") -> list[tuple[Connection, str]]:
    """So many connections as there is room for, and who answers each."""
    found = [connect(lab, client, lab.vip, 8888, protocol) for _ in range(FLOWS)]
    return [(connection, who(connection)) for connection in found]


def one_more(lab: Lab, client: Interface, port: int = 8888, protocol: Protocol = "tcp") -> Outcome:
    connection = lab.open(client, protocol, lab.vip, port)
    return connection if isinstance(connection, Refused | Silence) else connection.exchange()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_full_table_refuses_what_is_new(lab: Lab, network: Network, protocol: Protocol) -> None:
    client, a, b = network.pods(3, 80, protocol=protocol)
    ports = [listener(port, member(a, 80), member(b, 80), protocol=protocol) for port in (8888, 9999)]
    network.service(*ports)
    standing = fill(lab, client, protocol)
    assert [one_more(lab, client, port, protocol) for port in (8888, 9999, 8888)] == 3 * [REFUSED[protocol]]
    assert drops(lab, "FlowLim") == 3
    assert [(connection, who(connection)) for connection, _ in standing] == standing
    flows = list(lab.backend.flows(1))
    assert sorted((flow.source_port, flow.member) for flow in flows) == sorted(
        (connection.source_port, uuid) for connection, uuid in standing
    )


def test_one_protocol_does_not_take_the_room_of_another(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    lab.listen(web, "udp", 80)
    network.service(listener(8888, member(web, 80)), listener(8888, member(web, 80), protocol="udp"))
    fill(lab, client)
    fill(lab, client, "udp")
    assert drops(lab, "FlowLim") == 0


def test_changes_while_it_is_full(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80)
    network.service(listener(8888, member(a, 80)))
    standing = fill(lab, client)
    network.service(listener(8888, member(b, 80)))
    lab.apply(Put(network.new_pod()))
    assert one_more(lab, client) == Refused("reset")
    assert [(connection, who(connection)) for connection, _ in standing] == standing


def test_it_is_foretold(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    network.service(listener(8888, member(web, 80)))

    def refused(source_port: int) -> str:
        return lab.backend.lookup(client.uuid, Header("tcp", client.address, source_port, lab.vip, 8888)).refused

    assert refused(40_000) == ""
    standing = fill(lab, client)
    assert [refused(port) for port in (40_000, standing[0][0].source_port)] == ["FlowLim", ""]


def test_who_is_refused_takes_no_place_of_a_limited_listener(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    vip = network.service(listener(8888, member(web, 80))._replace(limit=FLOWS + 1))
    fill(lab, client)
    assert one_more(lab, client) == Refused("reset")
    assert (drops(lab, "FlowLim"), drops(lab, "ConnLim")) == (1, 0)
    assert eventually(lambda: [one.taken for one in lab.backend.places(vip)] == [FLOWS])
