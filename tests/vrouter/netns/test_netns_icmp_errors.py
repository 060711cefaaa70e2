"""ICMP errors about translated packets: each side hears of its own packet. A kernel believes an error only if its sums
are right and it is about a socket of its own, so what a socket reports is the proof."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address, ip_address

import pytest
from netns_node import VIP, VRF, Node

from vrouter import namespace
from vrouter.backends.netns.rules import UNANSWERED
from vrouter.state import FAMILIES, Address, Family, HostAddress, Interface, Listener, Member, Vip

VIPS: dict[Family, Address] = {4: VIP, 6: IPv6Address("fd97::1")}
SERVICE, TARGET = 53, 5353
SMALL = 1300
# linux/in.h, linux/in6.h: set the don't-fragment bit and obey; what is known of the path
DISCOVER = {4: (socket.IPPROTO_IP, 10, 2), 6: (socket.IPPROTO_IPV6, 23, 2)}
KNOWN_MTU = {4: (socket.IPPROTO_IP, 14), 6: (socket.IPPROTO_IPV6, 24)}


class Scene:
    """A client and a pod behind a UDP service, for one family."""

    def __init__(self, node: Node, family: Family, sockets: ExitStack) -> None:
        self.node, self.family, self.sockets = node, family, sockets
        self.vip = VIPS[family]
        self.client, self.pod = (self._dual(node.new_pod()) for _ in range(2))
        member = Member(self.pod.uuid, self.address(self.pod), TARGET)
        node.apply(self.client, self.pod)
        node.apply(Vip(VRF.index, self.vip, "a:dns", (Listener("udp", SERVICE, (member,)),)))

    def _dual(self, pod: Interface) -> Interface:
        last = int(pod.address) & 0xFFFF
        second = HostAddress(ip_address(f"fd00::{last:x}"), IPv6Address("fd00::fffe"))
        return replace(pod, addresses=(*pod.addresses, second))

    def address(self, pod: Interface) -> Address:
        address = pod.address_of(self.family)
        assert address is not None
        return address

    def open(self, pod: Interface, port: int = 0) -> socket.socket:
        kind = socket.AF_INET if self.family == 4 else socket.AF_INET6
        opened = namespace.inside(pod.workload, partial(socket.socket, kind, socket.SOCK_DGRAM))
        opened.settimeout(5)
        opened.bind((str(self.address(pod)), port))
        return self.sockets.enter_context(closing(opened))

    def asking(self) -> socket.socket:
        """The client's, connected to the service."""
        asking = self.open(self.client)
        asking.connect((str(self.vip), SERVICE))
        return asking


@pytest.fixture(params=FAMILIES, ids=["IPv4", "IPv6"])
def scene(node: Node, request: pytest.FixtureRequest) -> Iterator[Scene]:
    with ExitStack() as sockets:
        yield Scene(node, request.param, sockets)


def test_a_client_hears_of_a_port_that_is_closed_in_the_pod(scene: Scene) -> None:
    asking = scene.asking()
    asking.send(b"?")
    with pytest.raises(ConnectionRefusedError):
        asking.recv(100)


def test_a_pod_hears_of_a_client_that_has_gone(scene: Scene) -> None:
    server = scene.open(scene.pod, TARGET)
    asking = scene.asking()
    asking.send(b"?")
    _, client = server.recvfrom(100)
    asking.close()
    server.connect(client)
    server.send(b"late")
    with pytest.raises(ConnectionRefusedError):
        server.recv(100)


def test_a_client_learns_of_a_smaller_mtu_on_the_way_to_the_pod(scene: Scene) -> None:
    server = scene.open(scene.pod, TARGET)
    asking = scene.asking()
    asking.setsockopt(*DISCOVER[scene.family])
    asking.send(b"?")
    server.recv(100)
    network = f"vt-{scene.node.settings.node}-{VRF.index}"
    (device,) = [vif.device for vif in scene.node.backend.tables().interfaces if vif.uuid == scene.pod.uuid]
    subprocess.run(["ip", "-n", network, "link", "set", device, "mtu", str(SMALL)], check=True)
    asking.send(bytes(1400))
    with pytest.raises(OSError, match="Message too long"):
        asking.recv(100)
    assert asking.getsockopt(*KNOWN_MTU[scene.family]) == SMALL
    asking.send(bytes(SMALL - 60))
    assert len(server.recv(2000)) == SMALL - 60


def test_an_error_about_something_else_passes_as_it_is(scene: Scene) -> None:
    asking = scene.open(scene.client)
    asking.connect((str(scene.address(scene.pod)), 9))
    asking.send(b"?")
    with pytest.raises(ConnectionRefusedError):
        asking.recv(100)


def test_an_error_counts_as_an_answer_and_keeps_no_flow_alive(scene: Scene) -> None:
    asking = scene.asking()
    asking.send(b"?")
    with pytest.raises(ConnectionRefusedError):
        asking.recv(100)
    (flow,) = scene.node.backend.flows()
    assert (flow.packets, flow.reverse_packets) == (1, 1)
    assert flow.expires <= UNANSWERED


def test_what_nobody_answers_is_remembered_for_less_time(scene: Scene) -> None:
    server = scene.open(scene.pod, TARGET)
    scene.asking().send(b"?")
    server.recv(100)
    (flow,) = scene.node.backend.flows()
    assert (flow.packets, flow.reverse_packets) == (1, 0)
    assert flow.expires <= UNANSWERED


def test_nft_can_list_the_table(scene: Scene) -> None:
    network = f"vt-{scene.node.settings.node}-{VRF.index}"
    for words in (["nft", "list", "ruleset"], ["nft", "-a", "list", "ruleset"]):
        listed = subprocess.run(["ip", "netns", "exec", network, *words], capture_output=True, text=True, check=True)
        assert "chain error_to_client" in listed.stdout
