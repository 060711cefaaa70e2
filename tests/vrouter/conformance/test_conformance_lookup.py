"""What the back-end says of a packet beforehand is what becomes of it."""

import random

import pytest
from lab import Answer, Lab, Refused
from scenery import Network, ask, connect, flow_of, listener, member, who

from vrouter.backends.lookup import Header, Lookup
from vrouter.backends.protocol import BackendError, Delete, host_prefix
from vrouter.state import Address, Interface, Protocol


def look(
    lab: Lab, client: Interface, address: Address, port: int, source_port: int, protocol: Protocol = "tcp"
) -> Lookup:
    return lab.backend.lookup(client.uuid, Header(protocol, client.address, source_port, address, port))


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("listeners", [1, 3])
def test_the_member_it_names_is_the_one_that_answers(
    lab: Lab, network: Network, protocol: Protocol, listeners: int
) -> None:
    client, *web = network.pods(6, 80, 81, protocol=protocol)
    weights = (1, 2, 5, 1, 7)
    network.service(*(
        listener(8000 + n, *(member(pod, 80 + n % 2, weight) for pod, weight in zip(web[n:], weights, strict=False)),
                 protocol=protocol)
        for n in range(listeners)
    ))  # fmt: skip
    seen = set()
    for source_port in random.Random(4).sample(range(20_000, 60_000), 150):
        port = 8000 + source_port % listeners
        said = look(lab, client, lab.vip, port, source_port, protocol)
        outcome = ask(lab, client, lab.vip, port, protocol, source_port)
        assert isinstance(outcome, Answer)
        assert not said.refused
        seen.add(outcome.member)
        if not lab.foretells:
            assert outcome.member in {one.interface for one in said.match.members}
            continue
        assert said.target == said.match.interface == outcome.member
        assert said.translated == Header(protocol, *outcome.client, *outcome.local)
    assert len(seen) > 1
    assert seen <= {pod.uuid for pod in web}


@pytest.mark.parametrize("listeners", [1, 2])
def test_the_route_and_group_it_names_are_those_that_stand(lab: Lab, network: Network, listeners: int) -> None:
    client, a, b = network.pods(3, 80)
    network.service(*(listener(8000 + n, member(a, 80), member(b, 80, 3)) for n in range(listeners)))
    said = look(lab, client, lab.vip, 8000, 40_000)
    tables = lab.backend.tables(1)
    nexthops = {nexthop.id: nexthop for nexthop in tables.nexthops}
    vifs = {vif.uuid: vif for vif in tables.interfaces}
    group = nexthops[said.match.nexthop or 0]
    assert group.members == tuple((one.id, one.weight) for one in said.match.members)
    assert {one.interface: one.weight for one in said.match.members} == {a.uuid: 1, b.uuid: 3}
    assert (said.vrf, said.device, said.vip) == (1, vifs[client.uuid].device, True)
    if lab.foretells:
        assert (said.match.hop, said.match.interface) in {(one.id, one.interface) for one in said.match.members}
        assert nexthops[said.match.hop or 0].interface == said.match.interface
        assert (said.out, said.back) == (vifs[said.target or ""].device, vifs[client.uuid].device)
    if listeners == 1:
        assert said.match.asked == lab.vip
        assert said.match.prefix == host_prefix(lab.vip)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_living_flow_goes_before_the_hash(lab: Lab, network: Network, protocol: Protocol) -> None:
    client, a, b = network.pods(3, 80, protocol=protocol)
    network.service(listener(8888, member(a, 80), protocol=protocol))
    connection = connect(lab, client, lab.vip, 8888, protocol)
    assert who(connection) == a.uuid
    network.service(listener(8888, member(b, 80), protocol=protocol))
    said = look(lab, client, lab.vip, 8888, connection.source_port, protocol)
    assert (said.target, said.match.interface) == (a.uuid, b.uuid)
    flow = flow_of(lab, client, connection)
    assert said.flow is not None
    assert flow is not None
    for name in ("source_port", "vip", "port", "member", "member_port", "packets", "reverse_packets", "closing"):
        assert getattr(said.flow, name) == getattr(flow, name), name
    assert who(connection) == a.uuid
    answer = lab.backend.lookup(a.uuid, Header(protocol, a.address, 80, client.address, connection.source_port))
    assert answer.reverse
    assert answer.target == client.uuid
    assert answer.translated == Header(protocol, lab.vip, 8888, client.address, connection.source_port)
    assert answer.flow is not None
    assert answer.flow.source_port == connection.source_port
    connection.close()


def test_looking_changes_nothing(lab: Lab, network: Network) -> None:
    client, a = network.pods(2, 80)
    network.service(listener(8888, member(a, 80)))
    for port in (8888, 8889):
        look(lab, client, lab.vip, port, 40_000)
    look(lab, client, a.address, 80, 40_000)
    assert not list(lab.backend.flows())
    assert not list(lab.backend.drops())


def test_a_member_that_is_chosen_for_itself(lab: Lab, network: Network) -> None:
    web = network.pod(80)
    network.service(listener(8888, member(web, 80)))
    said = look(lab, web, lab.vip, 8888, 40_000)
    assert said.target == web.uuid
    assert said.translated == Header("tcp", lab.vip, 40_000, web.address, 80)
    connection = connect(lab, web, lab.vip, 8888, source_port=40_000)
    who(connection)
    said = look(lab, web, lab.vip, 8888, 40_000)
    assert said.flow is not None
    assert said.translated == Header("tcp", lab.vip, 40_000, web.address, 80)
    answer = lab.backend.lookup(web.uuid, Header("tcp", web.address, 80, lab.vip, 40_000))
    assert answer.reverse
    assert answer.translated == Header("tcp", lab.vip, 8888, web.address, 40_000)
    connection.close()


@pytest.mark.parametrize(
    ("port", "word"),
    [(8888, "NoDstRt"), (8889, "NoFipPortMap")],
    ids=["no member", "no listener"],
)
def test_a_refusal_is_foretold(lab: Lab, network: Network, port: int, word: str) -> None:
    client = network.pod()
    network.service(listener(8888))
    said = look(lab, client, lab.vip, port, 40_000)
    assert (said.refused, said.target, said.translated, said.vip) == (word, None, None, True)
    assert isinstance(ask(lab, client, lab.vip, port, source_port=40_000), Refused)


def test_a_way_back_that_another_flow_has(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    other = lab.vip + 1
    for vip in (lab.vip, other):
        network.service(listener(8888, member(web, 80)), vip=vip)
    connection = connect(lab, client, lab.vip, 8888, source_port=40_000)
    who(connection)
    assert look(lab, client, other, 8888, 40_000).refused == "NoRevFlow"
    assert isinstance(ask(lab, client, other, 8888, source_port=40_000), Refused)
    assert not look(lab, client, other, 8888, 40_001).refused
    connection.close()


def test_plain_routing(lab: Lab, network: Network) -> None:
    client, web = network.pods(2, 80)
    network.service(listener(8888, member(web, 80)))
    said = look(lab, client, web.address, 80, 40_000)
    assert (said.vip, said.refused, said.target, said.flow) == (False, "", web.uuid, None)
    assert said.translated == said.header
    assert (said.match.prefix, said.match.members) == (host_prefix(web.address), ())
    nexthops = {nexthop.id: nexthop.interface for nexthop in lab.backend.tables(1).nexthops}
    assert nexthops[said.match.nexthop or 0] == web.uuid
    nobody = look(lab, client, lab.vip + 77, 80, 40_000)
    assert (nobody.refused, nobody.target) == ("NoDstRt", None)


def test_an_interface_that_is_not_there(lab: Lab) -> None:
    pod = Network(lab, apply=False).new_pod()
    with pytest.raises(BackendError, match=pod.uuid):
        look(lab, pod, lab.vip, 80, 40_000)


def test_the_groups_of_a_vip(lab: Lab, network: Network) -> None:
    a, b, c = network.pods(3)
    network.service(listener(80, member(a, 80), member(b, 80, 2)))
    (own,) = lab.backend.groups(1, lab.vip)
    assert (own.listener, own.asked) == (None, lab.vip)
    assert {one.interface: one.weight for one in own.members} == {a.uuid: 1, b.uuid: 2}
    network.service(listener(80, member(a, 80), member(b, 80, 2)), listener(81, member(c, 80)), listener(82))
    own, *groups = lab.backend.groups(1, lab.vip)
    assert {one.interface for one in own.members} == {a.uuid, b.uuid, c.uuid}
    assert {group.listener: {one.interface for one in group.members} for group in groups} == {
        ("tcp", 80): {a.uuid, b.uuid}, ("tcp", 81): {c.uuid}, ("tcp", 82): set(),
    }  # fmt: skip
    nexthops = {nexthop.id: nexthop for nexthop in lab.backend.tables(1).nexthops}
    assert all(nexthops[group.nexthop].kind == "composite" for group in (own, *groups[:2]) if group.nexthop)
    assert groups[2].nexthop is None
    assert not lab.backend.groups(1, lab.vip + 9)
    assert not lab.backend.groups(2, lab.vip)


def test_the_carrier_of_an_interface(lab: Lab, network: Network) -> None:
    pod = network.pod()
    assert lab.backend.carrier(pod.uuid) is True
    lab.apply(Delete(pod))
    assert lab.backend.carrier(pod.uuid) is None
