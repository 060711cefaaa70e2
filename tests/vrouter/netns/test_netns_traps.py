"""Traps of a kernel's data plane that others have fallen into: one test for each."""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from netns_node import VIP, VRF, Node, service

from vrouter import namespace
from vrouter.backends.netns import fib
from vrouter.backends.protocol import Delete
from vrouter.state import Interface, Protocol

SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17  # linux/sockios.h, linux/ethtool.h


def test_a_checksum_is_right_after_a_rewrite_of_ports(pair: "Pair") -> None:
    """`th dport set` would write none. Raw sockets see what the server's kernel would drop."""
    for protocol, kind, number in (("tcp", socket.SOCK_STREAM, 6), ("udp", socket.SOCK_DGRAM, 17)):
        pair.serve(protocol)
        raw = namespace.inside(pair.web.workload, partial(socket.socket, socket.AF_INET, socket.SOCK_RAW, number))
        raw.settimeout(2)
        without_offload(pair.client)
        with raw, pair.ask(kind) as asking:
            asking.setblocking(False)
            asking.connect_ex((str(VIP), 8888))
            if protocol == "udp":
                asking.send(b"who?")
            packet = raw.recv(2048)
        header = 4 * (packet[0] & 15)
        segment = packet[header:]
        assert int.from_bytes(segment[2:4]) == 80
        pseudo = packet[12:20] + bytes((0, number)) + len(segment).to_bytes(2)
        assert ones_sum(pseudo + segment) == 0xFFFF


@pytest.mark.parametrize("size", [1, 1472, 1473, 4000, 60_000])
def test_a_datagram_arrives_whole_both_ways(pair: "Pair", size: int) -> None:
    server = pair.serve("udp")
    with pair.ask(socket.SOCK_DGRAM) as asking:
        asking.connect((str(VIP), 8888))
        there, back = os.urandom(size), os.urandom(size)
        asking.send(there)
        heard, client = server.recvfrom(65535)
        assert heard == there
        server.sendto(back, client)
        assert asking.recv(65535) == back


def test_bulk_passes_a_smaller_mtu_behind_the_vrf(pair: "Pair") -> None:
    """The sender's path discovery gets no error it could use: segments fit from the beginning."""
    device = pair.node.backend._vrfs[VRF.index].standing.attachments[pair.web.uuid].device
    ip("-n", pair.node.backend._vrfs[VRF.index].network, "link", "set", device, "mtu", "1300")
    ip("-n", pair.web.workload, "link", "set", "eth0", "mtu", "1300")
    server = pair.serve("tcp")
    total = 4 << 20
    with pair.ask() as asking:
        asking.connect((str(VIP), 8888))
        accepted, _ = server.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 1300 - 40
            assert asking.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 1300 - 40
            for one, other in ((asking, accepted), (accepted, asking)):
                transfer(one, other, total)


def test_a_client_hears_of_a_port_that_nobody_serves(pair: "Pair") -> None:
    """The pod's error is about an address and a port that the client has never seen: it has to be translated."""
    pair.serve_nothing("udp")
    with pair.ask(socket.SOCK_DGRAM) as asking:
        asking.connect((str(VIP), 8888))
        asking.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            asking.recv(64)


def test_every_vrf_hashes_otherwise_and_by_ports(node: Node) -> None:
    """Two levels of one hash would send everything one way; a hash of addresses would send a client to one member."""
    node.apply(replace(VRF, index=8), replace(VRF, index=9))
    networks = [vrf.network for vrf in node.backend._vrfs.values()]
    settings = [namespace.inside(network, hashing) for network in networks]
    seeds = [seed for seed, _ in settings]
    assert len(set(seeds)) == len(seeds)
    assert "0" not in seeds
    assert {policy for _, policy in settings} <= {"1", "3"}  # 3: the fields chosen


def hashing() -> tuple[str, str]:
    folder = Path("/proc/sys/net/ipv4")
    seed = (folder / "fib_multipath_hash_seed").read_text().split()[0]
    return seed, (folder / "fib_multipath_hash_policy").read_text().strip()


def test_a_vrf_is_set_to_forward(node: Node) -> None:
    """Reverse-path filters, redirects and a loopback that is down would each lose packets in silence."""
    node.pods(1)

    def read() -> dict[str, str]:
        folder = Path("/proc/sys/net/ipv4")
        names = ["ip_forward", "conf/all/rp_filter", "conf/default/rp_filter", "conf/all/send_redirects"]
        names += [f"{path.parent.relative_to(folder)}/rp_filter" for path in folder.glob("conf/tap*/rp_filter")]
        return {name: (folder / name).read_text().strip() for name in names}

    network = node.backend._vrfs[VRF.index].network
    found = namespace.inside(network, read)
    assert found.pop("ip_forward") == "1"
    assert len(found) == 4
    assert set(found.values()) == {"0"}
    assert "UP" in ip("-n", network, "-br", "link", "show", "lo")


def test_next_hops_lead_to_the_member_and_not_to_the_vip(pair: "Pair") -> None:
    """A next hop without a gateway would have the VIP itself looked for on the link."""
    network = pair.node.backend._vrfs[VRF.index].network
    pair.serve("tcp")
    with pair.ask() as asking:
        asking.connect((str(VIP), 8888))
    assert f"via {pair.web.address}" in ip("-n", network, "nexthop")
    neighbours = ip("-n", network, "neigh")
    assert str(VIP) not in neighbours
    assert "INCOMPLETE" not in neighbours


def test_a_new_member_is_not_starved_by_flows_that_are_busy(node: Node) -> None:
    """As it would be in a resilient group."""
    client, *webs = node.pods(3)
    with ExitStack() as stack:
        servers = {web.uuid: stack.enter_context(listening(web)) for web in webs}
        node.apply(service(8888, pods=webs[:1]))
        open_ones = [stack.enter_context(connected(client)) for _ in range(16)]
        node.apply(service(8888, pods=webs))
        for _ in range(64):
            stack.enter_context(connected(client))
        assert len(accepted(servers[webs[0].uuid], stack)) in range(16 + 8, 16 + 56)
        assert len(accepted(servers[webs[1].uuid], stack)) in range(8, 56)
        assert len(open_ones) == 16


def test_both_connections_of_a_program_that_opens_two_are_served(node: Node) -> None:
    """They may reach two pods, and each answers on its own."""
    client, *webs = node.pods(3)
    node.apply(service(8888, pods=webs))
    with ExitStack() as stack:
        servers = [stack.enter_context(listening(web)) for web in webs]
        for one in [stack.enter_context(connected(client)) for _ in range(2)]:
            one.send(b"!")
        arrived = [each.recv(1) for server in servers for each in accepted(server, stack)]
        assert arrived == [b"!", b"!"]


def test_a_pod_that_drains_keeps_its_next_hop_and_its_connection(pair: "Pair") -> None:
    """To delete the next hop would take the group, and with it the route, along."""
    server = pair.serve("tcp")
    with pair.ask() as asking:
        asking.connect((str(VIP), 8888))
        there, _ = server.accept()
        with there:
            hop = pair.node.backend._vrfs[VRF.index].standing.attachments[pair.web.uuid].hops[4]
            pair.node.apply(service(8888, pods=[]))
            asking.send(b"still")
            assert there.recv(5) == b"still"
            there.send(b"here")
            assert asking.recv(4) == b"here"
            assert f"id {hop} via" in ip("-n", pair.node.backend._vrfs[VRF.index].network, "nexthop")


def test_numbers_of_endpoints_are_not_given_again_soon(node: Node) -> None:
    """Flows remember them."""
    pods = node.pods(2)
    seen: Counter[int] = Counter()
    for _ in range(5):
        node.apply(service(8888, pods=pods))
        standing = node.backend._vrfs[VRF.index].standing
        seen.update(set(standing.endpoints[pods[0].address].values()))
        node.apply(service(8888, pods=pods[1:]))
        assert node.backend.apply([Delete(pods[0])]) == [None]
        node.apply(pods[0])
    assert set(seen.values()) == {1}


def test_a_table_of_connections_of_the_kernel_does_not_fill(pair: "Pair") -> None:
    """Nothing is tracked, so its limit of 262 144 is of no matter."""
    pair.serve("tcp")
    with pair.ask() as asking:
        asking.connect((str(VIP), 8888))
        network = pair.node.backend._vrfs[VRF.index].network
        count = Path("/proc/sys/net/netfilter/nf_conntrack_count")
        assert namespace.inside(network, count.read_text).strip() == "0"


@pytest.mark.slow
def test_a_group_of_more_than_two_thousand_members_is_read_back(node: Node) -> None:
    """Where routes are dumped with all the members of their group, the kernel leaves such a one out, in silence."""
    (pod,) = node.pods(1)
    vrf = node.backend._vrfs[VRF.index]
    link = vrf.standing.attachments[pod.uuid].link
    hops = [fib.Hop(100_000 + number, link, pod.address) for number in range(2100)]
    group, address = 200_000, VIP + 9
    members = tuple((hop.id, 1) for hop in hops)
    vrf.route_socket.send([*map(fib.put_hop, hops), fib.put_group(group, members), fib.put_route(address, group)])
    found = fib.read(vrf.route_socket)
    assert found.groups[group] == members
    assert found.routes[address] == group


class Pair:
    """A client and a pod behind the VIP's port 8888, which leads to its port 80."""

    def __init__(self, node: Node, stack: ExitStack) -> None:
        self.node = node
        self.client, self.web = node.pods(2)
        self._stack = stack

    def serve_nothing(self, protocol: Protocol) -> None:
        self.node.apply(service(8888, pods=[self.web], protocol=protocol))

    def serve(self, protocol: Protocol) -> socket.socket:
        self.serve_nothing(protocol)
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        return self._stack.enter_context(listening(self.web, kind))

    def ask(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        return in_pod(self.client, kind)


@pytest.fixture
def pair(node: Node) -> Iterator["Pair"]:
    with ExitStack() as stack:
        yield Pair(node, stack)


def in_pod(pod: Interface, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    found = namespace.inside(pod.workload, partial(socket.socket, socket.AF_INET, kind))
    found.settimeout(5)
    return found


def listening(pod: Interface, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    server = in_pod(pod, kind)
    server.bind(("0.0.0.0", 80))
    if kind == socket.SOCK_STREAM:
        server.listen(256)
    return server


def connected(client: Interface) -> socket.socket:
    asking = in_pod(client)
    asking.connect((str(VIP), 8888))
    return asking


def accepted(server: socket.socket, stack: ExitStack) -> list[socket.socket]:
    """All that wait."""
    server.settimeout(0.2)
    found = []
    while True:
        try:
            found.append(stack.enter_context(server.accept()[0]))
        except TimeoutError:
            return found
        found[-1].settimeout(5)


def transfer(sender: socket.socket, receiver: socket.socket, total: int) -> None:
    sender.settimeout(10)
    receiver.settimeout(10)
    left, sent, block = total, 0, bytes(1 << 16)
    while left:
        if sent < total:
            sent += sender.send(block[: min(len(block), total - sent)])
        left -= len(receiver.recv(1 << 20))


def without_offload(pod: Interface) -> None:
    """A veth hands on what has no checksum yet, unless told to have it written (`ethtool -K tx off`)."""
    value = ctypes.create_string_buffer(struct.pack("=II", ETHTOOL_STXCSUM, 0))
    with in_pod(pod) as asking:
        fcntl.ioctl(asking, SIOCETHTOOL, struct.pack("@16sP16x", b"eth0", ctypes.addressof(value)))


def ones_sum(data: bytes) -> int:
    """The sum of 16-bit words that is all ones with a right checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(int.from_bytes(data[place : place + 2]) for place in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout
