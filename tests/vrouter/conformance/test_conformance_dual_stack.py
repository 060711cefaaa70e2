"""One VRF with both families: pods that have one or both, services of both, and neither disturbs the other."""

from dataclasses import replace

import pytest
from lab import VIPS, Echo, Lab, Refused
from scenery import GATEWAYS, PODS, Network, answer, ask, assert_reaches, connect, drops, listener, who

from vrouter.backends.protocol import Delete, Put, host_prefix
from vrouter.state import FAMILIES, Family, HostAddress, Interface, Listener, Member


@pytest.fixture
def family() -> Family:
    """Of the lab: these tests use both, so once is enough."""
    return 4


def pod(network: Network, number: int, *families: Family) -> Interface:
    """With an address of each of these families and a server on port 80, standing."""
    addresses = tuple(HostAddress(PODS[family] + 100 + number, GATEWAYS[family]) for family in families)
    found = replace(network.new_pod(), addresses=addresses)
    network.lab.apply(Put(found))
    network.lab.listen(found, "tcp", 80)
    return found


def serving(family: Family, *pods: Interface) -> Listener:
    members = [Member(one.uuid, address, 80) for one in pods if (address := one.address_of(family)) is not None]
    return listener(8888, *sorted(members))


def test_a_service_of_both_families(lab: Lab, network: Network) -> None:
    client, both, old, new = (
        pod(network, number, *families) for number, families in enumerate([(4, 6), (4, 6), (4,), (6,)])
    )
    for family in FAMILIES:
        network.service(serving(family, both, old, new), vip=VIPS[family])
    assert_reaches(lab, client, VIPS[4], 8888, [both, old])
    assert_reaches(lab, client, VIPS[6], 8888, [both, new])
    for family in FAMILIES:
        assert lab.ping(client, VIPS[family]) == Echo(VIPS[family])
        address = both.address_of(family)
        assert address is not None
        assert answer(lab, client, address, 80).client[0] == client.address_of(family)
    assert {flow.vip for flow in lab.backend.flows()} == set(VIPS.values())
    assert {stat.member for stat in lab.backend.stats()} == {both.uuid, old.uuid, new.uuid}
    assert {unit.key: unit for unit in lab.backend.observe()}[both.key] == both


def test_what_stands_of_both_families_is_shown(lab: Lab, network: Network) -> None:
    both = pod(network, 0, 4, 6)
    for family in FAMILIES:
        network.service(serving(family, both), vip=VIPS[family])
    tables = lab.backend.tables(1)
    assert {route.prefix for route in tables.routes} == {
        host_prefix(address) for address in [*VIPS.values(), *(one.address for one in both.addresses)]
    }
    (vif,) = tables.interfaces
    assert vif.addresses == both.addresses
    hops = [(one.interface, one.address) for one in tables.nexthops if one.kind == "encap"]
    assert sorted(hops, key=str) == sorted(((both.uuid, one.address) for one in both.addresses), key=str)


def test_a_service_of_one_family_goes_and_the_other_stays(lab: Lab, network: Network) -> None:
    client, web = pod(network, 0, 4, 6), pod(network, 1, 4, 6)
    for family in FAMILIES:
        network.service(serving(family, web), vip=VIPS[family])
    kept = connect(lab, client, VIPS[6], 8888)
    assert who(kept) == web.uuid
    network.remove_service(VIPS[4])
    assert not isinstance(ask(lab, client, VIPS[4], 8888), type(answer(lab, client, VIPS[6], 8888)))
    assert who(kept) == web.uuid
    network.service(serving(4, web), vip=VIPS[4])
    network.service(serving(6), vip=VIPS[6])
    assert answer(lab, client, VIPS[4], 8888).member == web.uuid
    assert ask(lab, client, VIPS[6], 8888) == Refused("reset")
    assert drops(lab, "NoDstRt") >= 1
    assert who(kept) == web.uuid


def test_an_interface_gets_and_loses_an_address(lab: Lab, network: Network) -> None:
    client, web = pod(network, 0, 4, 6), pod(network, 1, 4)
    network.service(serving(4, web), vip=VIPS[4])
    both = replace(web, addresses=(*web.addresses, HostAddress(PODS[6] + 101, GATEWAYS[6])))
    lab.apply(Put(both))
    lab.apply(Delete(web), Put(both))  # its servers begin anew, too
    lab.listen(both, "tcp", 80)
    network.service(serving(6, both), vip=VIPS[6])
    for family in FAMILIES:
        assert answer(lab, client, VIPS[family], 8888).member == web.uuid
    network.service(listener(8888), vip=VIPS[6])
    lab.apply(Put(web))
    assert {unit.key: unit for unit in lab.backend.observe()}[web.key] == web
    assert answer(lab, client, VIPS[4], 8888).member == web.uuid


def test_it_all_stands_after_a_restart(lab: Lab, network: Network) -> None:
    client, web = pod(network, 0, 4, 6), pod(network, 1, 4, 6)
    units = [network.service(serving(family, web), vip=VIPS[family]) for family in FAMILIES]
    before = {unit.key: unit for unit in lab.backend.observe()}
    if lab.survives_restart:
        lab.restart()
    assert {unit.key: unit for unit in lab.backend.observe()} == before
    lab.apply(*(Put(unit) for unit in units))
    for family in FAMILIES:
        assert answer(lab, client, VIPS[family], 8888).member == web.uuid
