"""What nobody can answer is refused at once, and counted with Contrail's word."""

import pytest
from lab import Answer, Echo, Lab, Refused
from scenery import Network, answer, ask, connect, drops, listener, member, who

from vrouter.backends.protocol import Delete

NO_PORT_MAP = "NoFipPortMap"
NO_ROUTE = "NoDstRt"


@pytest.mark.parametrize("listeners", [1, 2])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_without_listener(lab: Lab, network: Network, protocol: str, listeners: int) -> None:
    client, web = network.pods(2, 80, 81)
    network.service(*(listener(8888 + n, member(web, 80 + n)) for n in range(listeners)))
    lab.listen(web, protocol, 7777)  # what is not mapped is not forwarded, even if somebody would answer
    before = drops(lab, NO_PORT_MAP)
    assert ask(lab, client, lab.vip, 7777, protocol) == Refused("reset")
    assert drops(lab, NO_PORT_MAP) == before + 1
    assert answer(lab, client, lab.vip, 8888).member == web.uuid


def test_a_listener_of_another_protocol_does_not_count(lab: Lab, network: Network) -> None:
    client, web = network.pod(), network.pod(53)
    lab.listen(web, "udp", 53)
    network.service(listener(53, member(web, 53)))
    assert ask(lab, client, lab.vip, 53, "udp") == Refused("reset")
    assert drops(lab, NO_PORT_MAP) == 1


def test_a_service_whose_last_member_left(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    network.service(listener(8888, member(web, 80)))
    connection = connect(lab, client, lab.vip, 8888)
    assert who(connection) == web.uuid
    network.service(listener(8888))
    before = drops(lab, NO_ROUTE)
    assert ask(lab, client, lab.vip, 8888) == Refused("reset")
    assert drops(lab, NO_ROUTE) == before + 1
    connection.close()


def test_a_vip_that_never_had_a_member(lab: Lab, network: Network) -> None:
    client = network.pod()
    network.service(listener(8888), listener(53, protocol="udp"))
    assert ask(lab, client, lab.vip, 8888) == Refused("reset")
    assert isinstance(ask(lab, client, lab.vip, 53, "udp"), Refused)
    assert drops(lab, NO_ROUTE) == 2


def test_a_datagram_to_a_port_that_is_closed_in_the_pod(lab: Lab, network: Network) -> None:
    client, web = network.pods(2)
    network.service(listener(53, member(web, 5353), protocol="udp"))
    assert ask(lab, client, lab.vip, 53, "udp") == Refused("reset")


def test_a_vip_without_listener(lab: Lab, network: Network) -> None:
    client = network.pod()
    network.service()
    assert ask(lab, client, lab.vip, 8888) == Refused("reset")


def test_a_port_without_listener_of_a_vip_without_members(lab: Lab, network: Network) -> None:
    client = network.pod()
    network.service(listener(8888))
    assert ask(lab, client, lab.vip, 9999) == Refused("reset")
    assert drops(lab, NO_PORT_MAP) == 1


def test_one_listener_without_member_beside_one_with(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80, 81)
    network.service(listener(8888, member(web, 80)), listener(9999))
    assert ask(lab, client, lab.vip, 9999) == Refused("reset")
    assert drops(lab, NO_ROUTE) == 1
    assert answer(lab, client, lab.vip, 8888).member == web.uuid


def test_ping_without_members(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    network.service(listener(8888))
    assert lab.ping(client, lab.vip) == Refused("unreachable")
    network.service(listener(8888, member(web, 80)))
    assert lab.ping(client, lab.vip) == Echo(lab.vip)
    network.service(listener(8888))
    assert lab.ping(client, lab.vip) == Refused("unreachable")


def test_the_interface_of_the_last_member_goes(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    network.service(listener(8888, member(web, 80)))
    lab.apply(Delete(web))
    assert isinstance(ask(lab, client, lab.vip, 8888), Refused)
    network.service(listener(8888))
    assert ask(lab, client, lab.vip, 8888) == Refused("reset")


@pytest.mark.parametrize("listeners", [1, 2])
def test_a_vip_removed(lab: Lab, network: Network, listeners: int) -> None:
    client, web = network.pods(2, 80, 81)
    network.service(*(listener(8888 + n, member(web, 80 + n)) for n in range(listeners)))
    assert answer(lab, client, lab.vip, 8888).member == web.uuid
    network.remove_service()
    assert not isinstance(ask(lab, client, lab.vip, 8888), Answer)
    assert not isinstance(lab.ping(client, lab.vip), Echo)
    assert answer(lab, client, web.address, 80).member == web.uuid


def test_an_interface_removed(lab: Lab, network: Network) -> None:
    client, web, other = network.pods(3, 80)
    lab.apply(Delete(web))
    assert not isinstance(ask(lab, client, web.address, 80), Answer)
    assert answer(lab, client, other.address, 80).member == other.uuid


def test_refusals_are_counted_in_their_own_vrf(lab: Lab) -> None:
    here, there = Network(lab, 1), Network(lab, 2)
    client = here.pod()
    there.pod()
    for network in (here, there):
        network.service(listener(8888))
    assert ask(lab, client, lab.vip, 8888) == Refused("reset")
    assert (drops(lab, NO_ROUTE, 1), drops(lab, NO_ROUTE, 2)) == (1, 0)
    (drop,) = (drop for drop in lab.backend.drops() if drop.packets)
    assert drop.bytes >= 40  # an IP and a TCP header
