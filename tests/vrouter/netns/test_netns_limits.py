"""What a listener with a limit has in the kernel: a chain and a set of its own, which outlive agents and damage."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from netns_node import VIP, VRF, Conversation, Node, service

from vrouter import namespace
from vrouter.backends.netns import nftables, rules, tables
from vrouter.backends.netns.vrf import VrfNamespace
from vrouter.backends.protocol import Delete
from vrouter.state import FLOW_LIMIT, Family, Interface, Protocol, Vip


class Limited:
    """A node with a service of one listener, which has a limit, on a pod that listens."""

    def __init__(self, node: Node, limit: int = 2, protocol: Protocol = "tcp") -> None:
        self.node = node
        self.protocol = protocol
        self.client, self.web = node.pods(2)
        self._sockets = [self._socket(self.web)]
        self._sockets[0].bind(("0.0.0.0", 80))
        if protocol == "tcp":
            self._sockets[0].listen(64)
        self.put(limit)
        self.disturbed = threading.Event()

    def put(self, limit: int) -> None:
        plain = service(8888, pods=[self.web], protocol=self.protocol)
        self.node.apply(replace(plain, listeners=(plain.listeners[0]._replace(limit=limit),)))

    def connect(self) -> bool:
        """Whether one more connection opens; it stays open."""
        found = self._socket(self.client)
        try:
            found.connect((str(VIP), 8888))
        except ConnectionRefusedError:
            found.close()
            return False
        self._sockets.append(found)
        return True

    def send(self) -> None:
        """Of UDP: one datagram."""
        (found,) = self._sockets[1:] or [self._socket(self.client)]
        if len(self._sockets) == 1:
            found.connect((str(VIP), 8888))
            self._sockets.append(found)
        found.send(b"?")
        self._sockets[0].recv(16)

    @property
    def name(self) -> str:
        """Of its chain and set."""
        (name,) = self.vrf.standing.vips[VIP].chains.values()
        return name

    @property
    def vrf(self) -> VrfNamespace:
        return self.node.backend._vrfs[VRF.index]

    def places(self, name: str | None = None) -> list[float]:
        """For how many seconds each is taken."""
        entries = nftables.read_entries(self.vrf.nft_socket, 4, name or self.name)
        return [entry.expires for entry in entries.values()]

    def watch(self) -> None:
        self.node.backend.watch(self.disturbed.set)

    def drift(self, *kinds: str) -> set[str]:
        """Kinds of what is found and put right; those that are expected are waited for."""
        found: set[str] = set()
        while self.disturbed.wait(5 if set(kinds) - found else 0.3):
            self.disturbed.clear()
            drift = self.node.backend.drift()
            assert all(one.mended for one in drift), drift
            found |= {one.kind for one in drift}
        return found

    def nft(self, text: str) -> str:
        words = ["ip", "netns", "exec", self.vrf.network, "nft", "-f", "-"]
        return subprocess.run(words, input=text, capture_output=True, text=True, check=True).stdout

    def close(self) -> None:
        for each in self._sockets:
            each.close()

    def _socket(self, pod: Interface) -> socket.socket:
        kind = socket.SOCK_STREAM if self.protocol == "tcp" else socket.SOCK_DGRAM
        found = namespace.inside(pod.workload, partial(socket.socket, socket.AF_INET, kind))
        found.settimeout(5)
        return found


@pytest.fixture
def limited(node: Node) -> Iterator[Limited]:
    found = Limited(node)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        ("flush chain ip vaportrail {name}", "table"),
        ("insert rule ip vaportrail {name} return", "table"),
        ("flush map ip vaportrail limited_tcp", "element"),
        ("add element ip vaportrail limited_tcp {{ {vip} . 99 : drop }}", "element"),
        (
            "flush map ip vaportrail limited_tcp\ndelete chain ip vaportrail {name}\ndelete set ip vaportrail {name}",
            "table",
        ),
        ("delete table ip vaportrail", "table"),
    ],
)
def test_what_somebody_damages_is_put_right(limited: Limited, damage: str, kind: str) -> None:
    limited.watch()
    assert [limited.connect() for _ in range(3)] == [True, True, False]
    limited.nft(damage.format(name=limited.name, vip=VIP))
    assert kind in limited.drift(kind)
    assert tables.whole(limited.vrf.nft_socket, 4, FLOW_LIMIT)
    taken = 0 if "delete" in damage else 2
    assert len(limited.places()) == taken
    assert [limited.connect() for _ in range(3 - taken)] == [True] * (2 - taken) + [False]


def test_places_that_are_cleared_are_no_drift(limited: Limited) -> None:
    """Like a flow, a place is taken again by the next packet."""
    limited.watch()
    limited.nft(f"flush set ip vaportrail {limited.name}")
    assert limited.drift() == set()


@pytest.mark.parametrize("damage", ["flush chain ip vaportrail {name}", "insert rule ip vaportrail forwarding drop"])
def test_an_agent_that_starts_puts_it_right(limited: Limited, damage: str) -> None:
    assert limited.connect()
    limited.nft(damage.format(name=limited.name))
    limited.node.backend = limited.node.start()
    (vip,) = (unit for unit in limited.node.backend.observe() if isinstance(unit, Vip))
    assert [one.limit for one in vip.listeners] == [2]
    assert len(limited.places()) == 1
    assert [limited.connect() for _ in range(2)] == [True, False]


def test_a_place_lasts_as_long_as_its_flow(node: Node) -> None:
    limited = Limited(node, 1, "udp")
    try:
        limited.send()
        assert [rules.UNANSWERED - 5 < seconds <= rules.UNANSWERED for seconds in limited.places()] == [True]
        limited.send()
        assert [rules.IDLE - 5 < seconds <= rules.IDLE for seconds in limited.places()] == [True]
    finally:
        limited.close()


def test_only_a_limited_listener_has_any_of_it(limited: Limited) -> None:
    names = [limited.name]
    limited.put(5)
    names.append(limited.name)
    assert "limit-" in limited.nft("list ruleset")
    assert names[0] not in limited.nft("list ruleset")
    limited.put(0)
    assert "limit-" not in limited.nft("list ruleset")
    limited.put(5)
    (vip,) = (unit for unit in limited.node.backend.observe() if isinstance(unit, Vip))
    assert limited.node.backend.apply([Delete(vip)]) == [None]
    assert "limit-" not in limited.nft("list ruleset")


def test_a_change_of_size_takes_the_places_along(limited: Limited) -> None:
    assert [limited.connect() for _ in range(2)] == [True, True]
    for size, taken in ((3, 2), (1, 1), (4, 1)):
        limited.put(size)
        assert len(limited.places()) == taken
    assert all(seconds > rules.IDLE - 10 for seconds in limited.places())


def test_a_limit_beyond_what_flows_there_can_be(limited: Limited) -> None:
    limited.put(2**31 - 1)
    assert limited.connect()
    assert tables.templates(4)["tcp"].size(limited.name) == 2 * FLOW_LIMIT
    (found,) = limited.node.backend.places()
    assert (found.limit, found.taken) == (2**31 - 1, 1)


def test_many_limits_at_once(node: Node, said: Conversation) -> None:
    """One transaction; a second time nothing is sent."""
    pods = node.pods(2)
    plain = service(*range(8000, 8050), pods=pods)
    vip = replace(plain, listeners=tuple(one._replace(limit=one.port) for one in plain.listeners))
    tables.templates(4)
    said.forget()
    node.apply(vip)
    assert said.dumps == 0
    assert len(node.backend.places(vip)) == 50
    said.forget()
    node.apply(vip)
    assert said.changes == []
    (found,) = (unit for unit in node.backend.observe() if isinstance(unit, Vip))
    assert found == vip


def test_a_changed_member_does_not_touch_the_limit(node: Node, said: Conversation) -> None:
    pods = node.pods(3)

    def messages(limit: int) -> int:
        for some in (pods[:2], pods):
            said.forget()
            plain = service(80, pods=some)
            node.apply(replace(plain, listeners=(plain.listeners[0]._replace(limit=limit),)))
        assert said.dumps == 0
        return len(said.changes)

    assert [messages(limit) for limit in (0, 7, 0)][1:] == [1, 1]  # the first time the pod is new to the listener


@pytest.mark.parametrize("family", [4, 6])
def test_the_template_says_what_a_copy_does(family: Family) -> None:
    """Each rule that changes places does so in the copy's set and in no other."""
    for protocol, template in tables.templates(family).items():
        name = f"limit-{protocol}-0000ff-7"
        copied = template.copied(name)
        assert [len(rule.expressions) for rule in copied] == [len(rule.expressions) for rule in template.rules]
        changing = [one for rule in copied for one in rule.expressions if one.name == "dynset"]
        assert len(changing) == 4
        assert {one.attributes[1].rstrip(b"\0").decode() for one in changing} == {name}
