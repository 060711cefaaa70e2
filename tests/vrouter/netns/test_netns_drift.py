"""What others change in a VRF's namespace is found by the kernel's events, put right, and told."""

import subprocess
import threading
from pathlib import Path

import pytest
from netns_node import VIP, VRF, Node, both_families, in_ipv6, service

from vrouter import namespace
from vrouter.backends.netns import NetnsBackend, comparison, elements, nftables, repair, tables
from vrouter.backends.netns.events import Suspect
from vrouter.backends.netns.vrf import VrfNamespace
from vrouter.backends.netns.watching import watched as watched_vrf
from vrouter.backends.protocol import Delete, Drift, Put
from vrouter.state import Family, Interface

SETTING = Path("/proc/sys/net/ipv4/ip_forward")


class Watched:
    """A node whose backend is watched, with a service of two listeners on two pods."""

    def __init__(self, node: Node, family: Family = 4) -> None:
        self.node = node
        self.pods = [node.new_pod() for _ in range(3)]
        self.vip, self.other = service(80, 443, pods=self.pods[:2]), service(80, pods=self.pods[1:], vip=VIP + 1)
        if family == 6:
            self.pods = [both_families(pod) for pod in self.pods]
            self.vip, self.other = (in_ipv6(vip) for vip in (self.vip, self.other))
        node.apply(*self.pods, self.vip, self.other)
        self.stands = self.kernel()
        self.disturbed = threading.Event()
        self.backend.watch(self.disturbed.set)

    @property
    def backend(self) -> NetnsBackend:
        return self.node.backend

    @property
    def vrf(self) -> VrfNamespace:
        return self.backend._vrfs[VRF.index]

    def do(self, command: str) -> None:
        """`ip` and `nft` are those of the VRF's namespace."""
        program, _, rest = command.partition(" ")
        words = {"ip": ["ip", "-n", self.vrf.network], "nft": ["ip", "netns", "exec", self.vrf.network, "nft"]}
        subprocess.run([*words[program], *rest.split()], check=True)

    def drift(self, patience: float = 5.0) -> list[Drift]:
        """What the next disturbance turns out to be; nothing if none comes."""
        found: list[Drift] = []
        while not found and self.disturbed.wait(patience):
            self.disturbed.clear()
            found = self.backend.drift()
        return found

    def repaired(self, *kinds: str) -> list[Drift]:
        """Look until there is nothing left to put right: these kinds were found, and all stands as it did.

        The comparison sleeps twenty times as long as it works, so what it finds comes in several pieces.
        """
        found: list[Drift] = []
        while more := self.drift(5.0 if set(kinds) - {drift.kind for drift in found} else 0.2):
            found += more
        assert {drift.kind for drift in found} == set(kinds), found
        assert self.kernel() == self.stands
        return found

    def kernel(self) -> object:
        """What there is, by the programs of the kernel's people; counters and what packets do left out."""

        def ask(*words: str) -> str:
            return subprocess.run(words, capture_output=True, text=True, check=True).stdout

        network = self.vrf.network
        listed = [ask("ip", "-n", network, *words.split()) for words in (
            "nexthop", "route show table main", "-6 route show table main", "-br addr", "neigh show nud permanent",
            "-br link",
        )]  # fmt: skip
        socket = self.vrf.nft_socket
        # `nft list` of Debian 12 aborts at rules that it could not have written
        shown = [
            (tables.read(socket, family), [nftables.read(socket, family, name) for name in elements.STATIC_SETS])
            for family in sorted(self.vrf.standing.families)
            if tables.read(socket, family) is not None
        ]
        return [sorted(text.split("\n")) for text in listed], shown


@pytest.fixture
def watched(node: Node) -> Watched:
    return Watched(node)


def test_what_the_backend_does_itself_is_no_drift(watched: Watched) -> None:
    watched.node.apply(service(80, 443, pods=watched.pods[:1]), service(53, pods=[], vip=VIP + 2))
    watched.node.pods(1)
    assert watched.drift(0.3) == []


DAMAGE = (
    ("ip route del {vip}", "route"),
    ("ip route replace {vip} dev lo", "route"),
    ("ip route prepend {vip} dev lo", "route"),
    ("ip nexthop del id {group}", "nexthop"),
    ("ip nexthop replace id {group} group {hop},9 proto 86", "nexthop"),
    ("ip route replace default dev {device}", "route"),
    ("ip route del default", "route"),
    ("ip addr del 10.47.255.254/32 dev {device}", "address"),
    ("ip neigh del {pod} dev {device}", "neighbour"),
    ("ip neigh replace {pod} dev {device} lladdr 02:00:00:00:00:99", "neighbour"),
    ("ip route del {pod}", "route"),
    ("ip link set {device} alias nobody", "alias"),
    ("nft delete element ip vaportrail vip {{ {vip} }}", "element"),
    ("nft add element ip vaportrail vip {{ 10.99.0.1 }}", "element"),
    ("nft add element ip vaportrail watched {{ 0 }}", "element"),
    ("nft flush set ip vaportrail self", "element"),
    ("nft flush map ip vaportrail endpoint_port", "element"),
    ("nft flush map ip vaportrail service_tcp", "element"),
    ("nft flush set ip vaportrail label", "element"),
    ("nft flush chain ip vaportrail arriving", "table"),
    ("nft insert rule ip vaportrail forwarding drop", "table"),
    ("nft delete table ip vaportrail", "table"),
)
"""What somebody does in a VRF's namespace, and as what kind of drift it is seen."""


def test_what_can_be_restated_is(watched: Watched) -> None:
    """One after another: after each of them all is as it was, which `repaired` asserts."""
    for command, kind in DAMAGE:
        attachment = watched.vrf.standing.attachments[watched.pods[0].uuid]
        places = {
            "vip": VIP,
            "group": watched.vrf.standing.fib.routes[VIP],
            "hop": attachment.hops[4],
            "device": attachment.device,
            "pod": watched.pods[0].address,
        }
        watched.do(command.format(**places))
        assert all(drift.mended for drift in watched.repaired(kind)), command


def test_what_is_not_in_the_way_is_left_alone(watched: Watched) -> None:
    watched.do("ip link add other0 type veth peer name other1")
    watched.do("ip link set other1 up")
    watched.do("ip link set other0 up")
    watched.do("ip route add 192.0.2.0/24 dev other0")
    watched.do("ip route add 192.0.2.77 dev other0")
    watched.do("nft add table ip somebody")
    watched.do("ip nexthop add id 4711 dev other0")
    assert watched.drift(0.5) == []
    listed = subprocess.run(["ip", "-n", watched.vrf.network, "route"], capture_output=True, text=True, check=True)
    assert "192.0.2.77" in listed.stdout


def test_a_next_hop_that_was_removed_is_put_again_with_its_number(watched: Watched) -> None:
    pod = watched.pods[0]
    watched.do(f"ip nexthop del id {watched.vrf.standing.attachments[pod.uuid].hops[4]}")
    found = watched.drift()
    assert [(drift.kind, drift.unit, drift.mended) for drift in found] == [("nexthop", pod.key, False)]
    watched.node.apply(pod, watched.vip)
    assert watched.drift(0.2) == []
    assert watched.kernel() == watched.stands


def test_a_link_that_was_set_down_comes_up_again(watched: Watched) -> None:
    pod = watched.pods[0]
    watched.do(f"ip link set {watched.vrf.standing.attachments[pod.uuid].device} down")
    assert watched.drift()[0].unit == pod.key
    watched.node.apply(pod, watched.vip)
    assert watched.kernel() == watched.stands


def test_a_link_that_was_removed_is_made_again(watched: Watched) -> None:
    pod = watched.pods[0]
    watched.do(f"ip link del {watched.vrf.standing.attachments[pod.uuid].device}")
    assert watched.drift()[0].unit == pod.key
    watched.node.apply(pod, watched.vip)
    assert {unit.key: unit for unit in watched.backend.observe()} == {
        unit.key: unit for unit in (VRF, *watched.pods, watched.vip, watched.other)
    }


@pytest.mark.parametrize("members", [1, 2])
def test_a_carrier_goes_and_comes_back(watched: Watched, members: int) -> None:
    """With one member its group and route go, too."""
    pod = watched.pods[0]
    vip = service(80, 443, pods=watched.pods[:members])
    watched.node.apply(vip)
    stands = watched.kernel()
    set_carrier(pod, "down")
    assert [(drift.kind, drift.unit) for drift in watched.drift()] == [("carrier", pod.key)]
    assert (VIP in watched.vrf.standing.fib.routes) is (members == 2)
    (error,) = watched.backend.apply([Put(pod)])
    assert error is not None
    assert "its interface has no carrier" in str(error)
    set_carrier(pod, "up")
    assert [(drift.kind, drift.unit) for drift in watched.drift()] == [("carrier", pod.key)]
    watched.node.apply(pod, vip)
    assert watched.drift(0.2) == []
    if members == 2:
        assert watched.kernel() == stands
    assert vip in watched.backend.observe()


def test_a_dark_interface_can_be_removed(watched: Watched) -> None:
    pod = watched.pods[0]
    set_carrier(pod, "down")
    assert watched.drift()
    rest = service(80, 443, pods=watched.pods[1:2])
    watched.node.apply(rest)
    assert watched.backend.apply([Delete(pod)]) == [None]
    assert not namespace.exists(pod.workload)
    assert {unit.key: unit for unit in watched.backend.observe()} == {
        unit.key: unit for unit in (VRF, *watched.pods[1:], rest, watched.other)
    }


def test_a_namespace_keeps_its_name(watched: Watched) -> None:
    network = watched.vrf.network
    namespace.remove(network)
    assert [drift.kind for drift in watched.drift()] == ["namespace"]
    assert watched.kernel() == watched.stands
    watched.node.backend = watched.node.start()
    assert watched.vip in watched.backend.observe()


def test_the_comparison_finds_what_no_event_has_told(watched: Watched) -> None:
    """All at once: the sockets of the events hold only so much, and settings have no events."""
    watched.backend._watching._events.drop(VRF.index)
    attachment = watched.vrf.standing.attachments[watched.pods[0].uuid]
    for command in (
        f"ip route replace {VIP} dev lo",
        f"ip route prepend {VIP + 1} dev lo",
        f"ip neigh del {watched.pods[0].address} dev {attachment.device}",
        "nft flush map ip vaportrail service_vip",
        "nft add element ip vaportrail vip { 10.99.0.1 }",
    ):
        watched.do(command)
    namespace.inside(watched.vrf.network, lambda: SETTING.write_text("0"))
    watched.backend._watching.compare()
    watched.repaired("route", "neighbour", "element", "sysctl")
    assert namespace.inside(watched.vrf.network, SETTING.read_text) == "1\n"


def test_the_comparison_of_what_stands_finds_nothing(watched: Watched) -> None:
    vrf = watched.vrf
    watching = watched_vrf(vrf)
    suspects = [suspect for suspect in comparison.compare(watching, vrf.unit, vrf.standing) if suspect]
    assert suspects == [Suspect("namespace"), Suspect("route")]  # those are always looked at
    assert repair.examine(vrf, suspects) == []


def test_ipv6_too(node: Node) -> None:
    """Of both families, whatever it is."""
    watched = Watched(node, family=6)
    attachment = watched.vrf.standing.attachments[watched.pods[0].uuid]
    vip = watched.vip.address
    for command, kind in (
        (f"ip -6 route del {vip}", "route"),
        ("ip -6 route del default", "route"),
        (f"ip -6 neigh del {watched.pods[0].address_of(6)} dev {attachment.device}", "neighbour"),
        (f"ip nexthop del id {watched.vrf.standing.fib.routes[vip]}", "nexthop"),
        (f"nft delete element ip6 vaportrail vip {{ {vip} }}", "element"),
        ("nft flush map ip6 vaportrail endpoint_address", "element"),
        ("nft flush chain ip6 vaportrail arriving", "table"),
    ):
        watched.do(command)
        watched.repaired(kind)


def set_carrier(pod: Interface, state: str) -> None:
    subprocess.run(["ip", "-n", pod.workload, "link", "set", "eth0", state], check=True)
