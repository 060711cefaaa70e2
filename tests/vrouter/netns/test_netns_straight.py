"""The straight way: what one of its steps fails for goes on with the other rules."""

import json
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from netns_node import VIP, VRF, Node, both_families, in_ipv6, in_six, service

from vrouter import namespace
from vrouter.backends.netns import elements, nftables, spelling
from vrouter.backends.netns.netlink import NETLINK_NETFILTER, Socket
from vrouter.backends.netns.rules import AGAIN, CLOSING, MARGIN, UNANSWERED
from vrouter.backends.protocol import Flow
from vrouter.state import Family, Interface, Vip

RESET = struct.pack("ii", 1, 0)  # struct linger: on, 0 seconds


@pytest.fixture
def uncounting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A node that can count one pair of listener and back-end."""
    with monkeypatch.context() as patch:
        patch.setitem(spelling._NUMBERS, "PATHS", 1)
        node = Node()
    yield node
    node.close()


def test_what_cannot_be_counted_refreshes_its_flow(uncounting: Node) -> None:
    """The client's packets keep the way of the answer, too, when there is no place for a counter."""
    node = uncounting
    client, web = node.pods(2)
    node.apply(service(53, 54, pods=[web], protocol="udp"))
    listener = namespace.inside(web.workload, lambda: socket.socket(type=socket.SOCK_DGRAM))
    one, other = (namespace.inside(client.workload, lambda: socket.socket(type=socket.SOCK_DGRAM)) for _ in "12")
    with listener, one, other:
        listener.bind(("0.0.0.0", 80))
        for asking, port in ((one, 53), (other, 54)):
            asking.connect((str(VIP), port))
            for _ in range(2):
                asking.send(b"?")
                listener.recvfrom(16)
    nft = Socket(NETLINK_NETFILTER, f"vt-{node.settings.node}-{VRF.index}")
    counted = dict(nftables.each_count(nft, 4, "inward_udp"))
    answers = nftables.read_entries(nft, 4, "reverse_udp")
    nft.close()
    assert len(counted) == 1
    assert [entry.expires > UNANSWERED + 5 for entry in answers.values()] == [True, True]


def test_a_reset_that_cannot_be_counted_closes_its_flow(uncounting: Node) -> None:
    node = uncounting
    client, web = node.pods(2)
    node.apply(service(8000, 8001, pods=[web]))
    listener = namespace.inside(web.workload, lambda: socket.create_server(("", 80)))
    with listener:
        for port in (8000, 8001):
            with namespace.inside(client.workload, socket.socket) as asking:
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                asking.connect((str(VIP), port))
    assert len(closed(node)) == 2
    kernel = Socket(NETLINK_NETFILTER, f"vt-{node.settings.node}-{VRF.index}")
    counted = dict(nftables.each_count(kernel, 4, "inward_tcp"))
    answers, closing = (nftables.read_entries(kernel, 4, name) for name in ("reverse_tcp", "closing"))
    kernel.close()
    assert len(counted) == 1
    assert [entry.expires <= CLOSING + MARGIN for entry in answers.values()] == [True, True]
    assert answers.keys() < closing.keys()


@pytest.mark.parametrize("family", [4, 6])
def test_the_end_of_a_connection_overtakes_a_packet(node: Node, family: Family) -> None:
    """On another processor, when the packet had been found to be of an open one. What it refreshed would stand in the
    way of the client's next connection."""
    client, web = (both_families(pod) for pod in node.pods(2))
    vip = service(8000, pods=[web])
    node.apply(client, web, in_ipv6(vip) if family == 6 else vip)
    pod, of = (in_six(web.address), "ip6") if family == 6 else (web.address, "ip")
    kind = {4: socket.AF_INET, 6: socket.AF_INET6}[family]
    listener = namespace.inside(web.workload, lambda: socket.create_server(("", 80), family=kind))
    with listener, namespace.inside(client.workload, lambda: socket.socket(kind)) as asking:
        asking.settimeout(5)
        asking.connect((str(in_six(VIP) if family == 6 else VIP), 8000))
        name, port = asking.getsockname()[:2]
        serving, _ = listener.accept()
        vrf = f"vt-{node.settings.node}-{VRF.index}"
        ended = f"add element {of} vaportrail closing {{ {pod} . 80 . {name} . {port} timeout 12s }}"
        nft(web, "-f", "-", text=SILENT)  # or its acknowledgement would shorten what the packet had refreshed
        subprocess.run(["ip", "netns", "exec", vrf, "nft", ended], check=True)
        with serving:
            asking.send(b"?")
            assert serving.recv(16) == b"?"
            kernel = Socket(NETLINK_NETFILTER, vrf)
            (answers,) = nftables.read_entries(kernel, family, "reverse_tcp").values()
            kernel.close()
            assert answers.expires <= CLOSING + MARGIN


def closed(node: Node) -> list[Flow]:
    """Its flows, when the kernel has had time for their last packets."""
    deadline = time.monotonic() + 5
    while not all(flow.closing for flow in node.backend.flows()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return list(node.backend.flows())


def limited(vip: Vip) -> Vip:
    return replace(vip, listeners=tuple(one._replace(limit=2) for one in vip.listeners))


SILENT = """
table inet silent {
    chain out { type filter hook output priority 0; tcp sport 80 drop; }
}
"""
COUNTING = """
table inet seen {
    counter there {}
    counter back {}
    chain out { type filter hook output priority 0; tcp dport 8000 counter name there; }
    chain in { type filter hook input priority 0; tcp sport 8000 counter name back; }
}
"""


def seen(pod: Interface) -> tuple[int, int]:
    """Packets of its connections to port 8000, there and back, as its own kernel counts them."""
    listed = json.loads(nft(pod, "-j", "list", "counters"))["nftables"]
    found = {one["counter"]["name"]: one["counter"]["packets"] for one in listed if "counter" in one}
    return found["there"], found["back"]


def nft(pod: Interface, *words: str, text: str = "") -> str:
    command = ["ip", "netns", "exec", pod.workload, "nft", *words]
    return subprocess.run(command, input=text, capture_output=True, check=True, text=True).stdout


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("kind", ["plain", "limited", "its own"])
@pytest.mark.parametrize("again", [False, True])
def test_each_packet_counts_once(node: Node, family: Family, kind: str, again: bool) -> None:
    """Of a connection that the client resets, whichever rules took its packets. again: with the ports of one before."""
    client, web = (both_families(pod) for pod in node.pods(2))
    if kind == "its own":
        client = web
    vip = service(8000, 8001, pods=[web])
    vip = limited(vip) if kind == "limited" else vip
    node.apply(client, web, in_ipv6(vip) if family == 6 else vip)
    nft(client, "-f", "-", text=COUNTING)
    to = str(in_six(VIP) if family == 6 else VIP), 8000
    kinds = {4: socket.AF_INET, 6: socket.AF_INET6}[family], socket.SOCK_STREAM
    listener = namespace.inside(web.workload, lambda: socket.create_server(("", 80), family=kinds[0]))

    def connection() -> socket.socket:
        made = namespace.inside(client.workload, lambda: socket.socket(*kinds))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        made.settimeout(5)
        made.bind(("", 40_000))
        return made

    def talk() -> None:
        with connection() as asking:
            asking.connect(to)
            serving, _ = listener.accept()
            with serving:
                for _ in range(3):
                    asking.send(b"?")
                    assert serving.recv(16) == b"?"
                    serving.send(b"!")
                    assert asking.recv(16) == b"!"

    before = 0, 0
    with listener:
        talk()
        if again:
            before = seen(client)
            talk()
    (flow,) = closed(node)
    assert flow.expires <= CLOSING
    there, back = seen(client)
    assert (flow.packets, flow.reverse_packets) == (there - before[0], back - before[1])
    kernel = Socket(NETLINK_NETFILTER, f"vt-{node.settings.node}-{VRF.index}")
    (entry,) = nftables.read_entries(kernel, family, "forward_tcp").values()
    kernel.close()
    assert elements.number_of(entry.data) & AGAIN == 0  # or it could not take the straight way


def test_a_flow_without_a_place_for_its_answers_is_refused_and_leaves_nothing() -> None:
    """There is a place for what the client sends, which is recorded first."""
    node = Node(flow_limit=1)
    try:
        client, web = node.pods(2)
        node.apply(service(8000, 8001, pods=[web]))
        vrf = f"vt-{node.settings.node}-{VRF.index}"
        taken = "add element ip vaportrail reverse_tcp { 10.0.0.1 . 1 . 10.0.0.2 . 2 : 240.0.0.1 }"
        subprocess.run(["ip", "netns", "exec", vrf, "nft", taken], check=True)
        with namespace.inside(client.workload, socket.socket) as asking:
            asking.settimeout(5)
            with pytest.raises(ConnectionRefusedError):
                asking.connect((str(VIP), 8000))
        kernel = Socket(NETLINK_NETFILTER, vrf)
        forward = nftables.read_entries(kernel, 4, "forward_tcp")
        kernel.close()
        assert forward == {}
        assert [(drop.reason, drop.packets) for drop in node.backend.drops()] == [("FlowLim", 1)]
        assert node.backend.stats() == []
    finally:
        node.close()
