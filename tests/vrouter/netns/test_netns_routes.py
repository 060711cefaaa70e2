"""The link between two VRFs, and what is reached over it, when somebody else changes them or an agent dies halfway."""

import subprocess
import threading

import pytest
from netns_node import VIP, VRF, Node, service

from vrouter import namespace
from vrouter.backends.netns import comparison
from vrouter.backends.netns.watching import watched
from vrouter.backends.protocol import Delete, Drift, Put
from vrouter.state import Interface, Join, Link, Remote, Unit, Vip, Vrf, addresses_of

FAR = Vrf(8, "default-domain:test:far:far")
JOIN = Join(VRF.index, FAR.index)


class Joined:
    """A service in VRF 7 whose member is in VRF 8, which is joined; watched."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.client, away = node.new_pod(), node.new_pod()
        self.pod = Interface(away.uuid, away.name, FAR.index, away.workload, away.mac, away.addresses)
        self.there, self.back = remote(self.pod, VRF), remote(self.client, FAR)
        self.vip: Vip = service(80, pods=[self.pod])
        self.units: list[Unit] = [FAR, JOIN, self.client, self.pod, self.there, self.back, self.vip]
        self.put()
        self.before = node.backend.observe()
        self.disturbed = threading.Event()
        node.backend.watch(self.disturbed.set)

    def put(self) -> None:
        assert list(filter(None, self.node.backend.apply([Put(unit) for unit in self.units]))) == []

    def ip(self, words: str, vrf: int = VRF.index) -> str:
        network = self.node.backend._vrfs[vrf].network
        return subprocess.run(["ip", "-n", network, *words.split()], check=True, capture_output=True, text=True).stdout

    def drift(self) -> list[Drift]:
        """All that is found until it is quiet."""
        found: list[Drift] = []
        patience = 5.0
        while self.disturbed.wait(patience):
            self.disturbed.clear()
            found += self.node.backend.drift()
            patience = 0.2 if found else 5.0
        return found


def remote(pod: Interface, vrf: Vrf) -> Remote:
    return Remote(pod.uuid, pod.name, vrf.index, addresses_of(pod), Link(pod.vrf))


@pytest.fixture
def joined(node: Node) -> Joined:
    return Joined(node)


@pytest.mark.parametrize("command", ["route del {pod}", "neigh del {pod} dev join8"])
def test_what_is_lost_of_a_remote_interface_is_restated(joined: Joined, command: str) -> None:
    joined.ip(command.format(pod=joined.pod.address))
    (found,) = joined.drift()
    assert (found.unit, found.mended) == (joined.there.key, True)
    assert joined.node.backend.observe() == joined.before
    assert f"{joined.pod.address} via" in joined.ip(f"route show {joined.pod.address}")


@pytest.mark.parametrize("command", ["link del join8", "link set join8 down", "nexthop flush"])
def test_what_falls_is_told_and_stands_when_it_is_put_again(joined: Joined, command: str) -> None:
    joined.ip(command)
    found = joined.drift()
    fallen = {one.unit for one in found if not one.mended}
    assert joined.there.key in fallen
    assert (JOIN.key in fallen) == command.startswith("link")
    joined.put()
    assert joined.node.backend.observe() == joined.before
    assert f"{VIP} nhid" in joined.ip(f"route show {VIP}")


def test_the_comparison_finds_nothing_where_all_stands(joined: Joined) -> None:
    for vrf in joined.node.backend._vrfs.values():
        suspects = [one for one in comparison.compare(watched(vrf), vrf.unit, vrf.standing) if one is not None]
        assert {one.kind for one in suspects} <= {"namespace", "route"}
        assert [one.what for one in suspects if one.kind == "route"] == [None]


def test_remains_of_a_remote_interface_are_removed(joined: Joined) -> None:
    """An agent died while it removed one: its route is gone, the rest is not."""
    joined.ip(f"route del {joined.pod.address}")
    again = joined.node.start()
    observed = again.observe()
    assert joined.there not in observed
    assert Vrf(VRF.index, "") in observed
    assert list(filter(None, again.apply([Put(VRF), *(Put(unit) for unit in joined.units)]))) == []
    assert again.observe() == joined.before
    assert joined.ip("nexthop show dev join8").count("\n") == 1


def test_only_one_end_of_a_link_is_none(joined: Joined) -> None:
    again = joined.node.start()
    joined.ip("link del join8")
    assert not [unit for unit in again.observe() if isinstance(unit, Join | Remote)]
    assert list(filter(None, again.apply([Put(VRF), *(Put(unit) for unit in joined.units)]))) == []
    assert again.observe() == joined.before


def test_a_vrf_goes_with_its_links(joined: Joined) -> None:
    assert list(filter(None, joined.node.backend.apply([Delete(FAR)]))) == []
    assert not [unit for unit in joined.node.backend.observe() if isinstance(unit, Join | Remote)]
    assert "join8" not in joined.ip("link show")


def test_cleanup_leaves_nothing(joined: Joined) -> None:
    joined.node.start().cleanup()
    assert not [name for name in namespace.names() if joined.node.settings.node in name]
