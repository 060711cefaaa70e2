"""Who a new connection reaches, and what both ends see of it."""

import pytest
from lab import Answer, Echo, Lab, Refused, Silence
from scenery import (
    Network,
    answer,
    ask,
    assert_reaches,
    chi_square,
    connect,
    listener,
    member,
    spread,
    who,
)

# The 1 - 1e-7 quantile of chi-square with 2 degrees of freedom: -2 ln 1e-7.
CHI_SQUARE_2 = 32.2


def test_a_vip_reaches_exactly_its_members(lab: Lab, network: Network) -> None:
    client, *web = network.pods(5, 80)
    network.service(listener(8888, *(member(pod, 80) for pod in web[:3])))
    assert_reaches(lab, client, lab.vip, 8888, web[:3])


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 5)])
def test_connections_are_spread_by_weight(lab: Lab, network: Network, weights: tuple[int, ...]) -> None:
    client, *web = network.pods(4, 80)
    network.service(listener(8888, *(member(pod, 80, weight) for pod, weight in zip(web, weights, strict=True))))
    observed = spread(lab, client, lab.vip, 8888, 600)
    assert chi_square(observed, dict(zip((pod.uuid for pod in web), weights, strict=True))) < CHI_SQUARE_2, observed


def test_a_changed_weight_changes_the_spread(lab: Lab, network: Network) -> None:
    client, *web = network.pods(3, 80)
    network.service(listener(8888, member(web[0], 80), member(web[1], 80)))
    network.service(listener(8888, member(web[0], 80, 1), member(web[1], 80, 9)))
    observed = spread(lab, client, lab.vip, 8888, 300)
    assert chi_square(observed, {web[0].uuid: 1, web[1].uuid: 9}) < CHI_SQUARE_2, observed


def test_the_greatest_weight(lab: Lab, network: Network) -> None:
    client, light, heavy = network.pods(3, 80)
    network.service(listener(8888, member(light, 80, 1), member(heavy, 80, 256)))
    assert spread(lab, client, lab.vip, 8888, 100)[heavy.uuid] > 80


def test_listeners_have_members_and_target_ports_of_their_own(lab: Lab, network: Network) -> None:
    client = network.pod()
    web, both, dns = network.pod(80), network.pod(80, 81), network.pod(81)
    network.service(
        listener(8888, member(web, 80), member(both, 80)),
        listener(9999, member(both, 81), member(dns, 81)),
    )
    assert_reaches(lab, client, lab.vip, 8888, [web, both])
    assert_reaches(lab, client, lab.vip, 9999, [both, dns])


def test_members_have_target_ports_of_their_own(lab: Lab, network: Network) -> None:
    client, a, b = network.pod(), network.pod(80), network.pod(8080)
    network.service(listener(8888, member(a, 80), member(b, 8080)))
    assert_reaches(lab, client, lab.vip, 8888, [a, b])
    ports = {(reply.member, reply.local[1]) for reply in (answer(lab, client, lab.vip, 8888) for _ in range(30))}
    assert ports == {(a.uuid, 80), (b.uuid, 8080)}


def test_two_listeners_may_share_a_target_port(lab: Lab, network: Network) -> None:
    client, *web = network.pods(3, 80)
    members = [member(pod, 80) for pod in web]
    network.service(listener(8888, *members), listener(8889, *members))
    for port in (8888, 8889):
        assert_reaches(lab, client, lab.vip, port, web)


def test_tcp_and_udp_of_one_port_are_two_listeners(lab: Lab, network: Network) -> None:
    client, tcp, udp = network.pod(), network.pod(53), network.pod(53, protocol="udp")
    network.service(listener(53, member(tcp, 53)), listener(53, member(udp, 53), protocol="udp"))
    assert_reaches(lab, client, lab.vip, 53, [tcp])
    assert_reaches(lab, client, lab.vip, 53, [udp], "udp")


def test_udp(lab: Lab, network: Network) -> None:
    client, *dns = network.pods(4, 5353, protocol="udp")
    network.service(listener(53, *(member(pod, 5353) for pod in dns), protocol="udp"))
    assert_reaches(lab, client, lab.vip, 53, dns, "udp")


def test_datagrams_of_one_socket_stay_with_one_member(lab: Lab, network: Network) -> None:
    client, *dns = network.pods(4, 5353, protocol="udp")
    network.service(listener(53, *(member(pod, 5353) for pod in dns), protocol="udp"))
    for _ in range(5):
        connection = connect(lab, client, lab.vip, 53, "udp")
        assert len({who(connection) for _ in range(5)}) == 1
        connection.close()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_the_server_sees_the_client_and_its_own_address(lab: Lab, network: Network, protocol: str) -> None:
    client, web = network.pod(), network.pod(80, protocol=protocol)
    network.service(listener(8888, member(web, 80), protocol=protocol))
    outcome = ask(lab, client, lab.vip, 8888, protocol, source_port=40_000)
    assert outcome == Answer(web.uuid, (client.address, 40_000), (web.address, 80))


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_member_reaches_itself_through_its_vip(lab: Lab, network: Network, protocol: str) -> None:
    web = network.pod(80, protocol=protocol)
    network.service(listener(8888, member(web, 80), protocol=protocol))
    connection = connect(lab, web, lab.vip, 8888, protocol)
    assert [who(connection) for _ in range(3)] == [web.uuid] * 3
    outcome = connection.exchange()
    assert isinstance(outcome, Answer)
    assert outcome.client == (lab.vip, connection.source_port)  # its own address would be answered inside the pod
    connection.close()


def test_a_member_reaches_all_members_itself_included(lab: Lab, network: Network) -> None:
    web = network.pods(3, 80)
    network.service(listener(8888, *(member(pod, 80) for pod in web)))
    assert_reaches(lab, web[0], lab.vip, 8888, web)


def test_ping_of_a_vip_is_answered_from_the_vip(lab: Lab, network: Network) -> None:
    client, *web = network.pods(4, 80)
    network.service(listener(8888, *(member(pod, 80) for pod in web)))
    assert [lab.ping(client, lab.vip) for _ in range(3)] == [Echo(lab.vip)] * 3


def test_ping_of_a_vip_with_listeners_of_their_own(lab: Lab, network: Network) -> None:
    client, a, b = network.pods(3, 80)
    network.service(listener(8888, member(a, 80)), listener(9999, member(b, 80)))
    assert lab.ping(client, lab.vip) == Echo(lab.vip)


def test_pods_reach_each_other_directly(lab: Lab, network: Network) -> None:
    client, *web = network.pods(3, 80)
    network.service(listener(8888, *(member(pod, 80) for pod in web)))
    assert ask(lab, client, web[0].address, 80, source_port=40_001) == Answer(
        web[0].uuid, (client.address, 40_001), (web[0].address, 80)
    )
    assert lab.ping(client, web[1].address) == Echo(web[1].address)
    lab.listen(web[0], "tcp", 8888)  # the service's port on a pod's own address is nothing special
    assert answer(lab, client, web[0].address, 8888).member == web[0].uuid
    assert not list(lab.backend.flows())


def test_two_services_share_members(lab: Lab, network: Network) -> None:
    client, *web = network.pods(3, 80, 81)
    other = lab.vip + 1
    network.service(listener(8888, *(member(pod, 80) for pod in web)))
    network.service(listener(8888, member(web[0], 81)), vip=other)
    assert_reaches(lab, client, lab.vip, 8888, web)
    assert answer(lab, client, other, 8888).local == (web[0].address, 81)


def test_one_source_port_to_two_services_of_the_same_pods(lab: Lab, network: Network) -> None:
    """Both flows look alike to the pod. The second may be refused; the first must not suffer."""
    client, web = network.pods(2, 80)
    other = lab.vip + 1
    for vip in (lab.vip, other):
        network.service(listener(8888, member(web, 80)), vip=vip)
    first = connect(lab, client, lab.vip, 8888, source_port=40_002)
    assert who(first) == web.uuid
    second = lab.open(client, "tcp", other, 8888, source_port=40_002)
    assert who(first) == web.uuid
    for connection in (first, second):
        if not isinstance(connection, Refused | Silence):
            connection.close()


def test_vrfs_with_the_same_addresses_do_not_mix(lab: Lab) -> None:
    networks = [Network(lab, index) for index in (1, 2)]
    clients = [network.pod() for network in networks]
    webs = [network.pod(80) for network in networks]
    assert webs[0].address == webs[1].address
    for network, web in zip(networks, webs, strict=True):
        network.service(listener(8888, member(web, 80)))
    for client, web in zip(clients, webs, strict=True):
        assert {answer(lab, client, lab.vip, 8888).member for _ in range(5)} == {web.uuid}
        assert answer(lab, client, web.address, 80).member == web.uuid
    networks[0].remove_service()
    assert not isinstance(ask(lab, clients[0], lab.vip, 8888), Answer)
    assert answer(lab, clients[1], lab.vip, 8888).member == webs[1].uuid
