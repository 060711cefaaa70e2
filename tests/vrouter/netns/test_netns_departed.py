"""Counters of members that have left are put together, and nothing of what was counted is lost."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Address

import pytest
from netns_node import VIP, VRF, Node, service

from vrouter import namespace
from vrouter.backends.netns import comparison, departed, elements, nftables
from vrouter.backends.protocol import Delete, Stat
from vrouter.state import Interface

COUNTERS = ("connections", "packets", "bytes", "reverse_packets", "reverse_bytes")
NOBODY = IPv4Address("0.0.0.0")


@contextmanager
def echoing(pod: Interface) -> Iterator[None]:
    """A server of UDP on port 80 of the pod."""
    server = namespace.inside(pod.workload, partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM))
    server.bind(("0.0.0.0", 80))

    def serve() -> None:
        while data := server.recvfrom(100):
            if not data[0]:
                return
            server.sendto(data[0], data[1])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        with namespace.inside(pod.workload, partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)) as last:
            last.sendto(b"", ("127.0.0.1", 80))
        thread.join()
        server.close()


def talk(client: Interface, vip: IPv4Address, port: int, times: int = 10) -> None:
    """So many connections of one question each."""
    for _ in range(times):
        with namespace.inside(client.workload, partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)) as asking:
            asking.settimeout(5)
            asking.sendto(b"question", (str(vip), port))
            assert asking.recv(100) == b"question"


def totals(found: list[Stat]) -> dict[tuple[str, int], tuple[int, ...]]:
    """Of each listener: VIP and port."""
    result: dict[tuple[str, int], tuple[int, ...]] = {}
    for one in found:
        before = result.get((str(one.vip), one.port), (0,) * len(COUNTERS))
        counts = (getattr(one, name) for name in COUNTERS)
        result[str(one.vip), one.port] = tuple(map(sum, zip(before, counts, strict=True)))
    return result


class Watched:
    """A node whose counters are looked at again and again, as if each look were an hour after the last."""

    def __init__(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(comparison, "PERIOD", 0.02)
        monkeypatch.setattr(departed, "PERIOD", 0.0)
        monkeypatch.setattr(departed, "KEEP", 0.01)
        self.node = node
        self._disturbed = threading.Event()
        node.backend.watch(self._disturbed.set)

    def look(self, done: Callable[[], bool]) -> list[Stat]:
        """Look until it is so, which takes a moment; what is counted then."""
        for _ in range(200):
            if done():
                break
            assert self._disturbed.wait(5)
            self._disturbed.clear()
            assert self.node.backend.drift() == []
        else:
            pytest.fail(f"{self.node.backend.stats()}")
        return self.node.backend.stats()

    def counted(self, number: int) -> Callable[[], bool]:
        return lambda: len(self.node.backend.stats()) == number

    def stored(self) -> int:
        """Counters that the kernel has."""
        nft = self.node.backend._vrfs[VRF.index].nft_socket
        names = [f"{name}_{protocol}" for name in departed.SETS for protocol in elements.PROTOCOLS]
        return sum(1 for name in names for _ in nftables.each_count(nft, 4, name))


def test_who_left_is_counted_with_all_who_left(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    client, *pods = node.pods(4)
    node.apply(service(53, 54, pods=pods, protocol="udp"), service(53, pods=pods, vip=VIP + 1, protocol="udp"))
    with echoing(pods[0]), echoing(pods[1]), echoing(pods[2]):
        for vip, port in ((VIP, 53), (VIP, 54), (VIP + 1, 53)):
            talk(client, vip, port, 40)
        before = node.backend.stats()
        assert len(before) == 9  # each listener at each pod
        watched = Watched(node, monkeypatch)
        node.apply(service(53, 54, pods=pods[:1], protocol="udp"))
        found = watched.look(watched.counted(7))
        assert totals(found) == totals(before)
        assert {(one.vip, one.port) for one in found if one.member_address == NOBODY} == {(VIP, 53), (VIP, 54)}
        assert all(one in found for one in before if one.member == pods[0].uuid or one.vip == VIP + 1)

        # what comes later is added, by the next agent, too
        node.apply(service(53, 54, pods=pods[1:2], protocol="udp"))
        talk(client, VIP, 53)
        before = node.backend.stats()
        node.backend.close()
        node.backend = node.start()
        assert totals(node.backend.stats()) == totals(before)
        watched = Watched(node, monkeypatch)
        found = watched.look(watched.counted(6))
        assert totals(found) == totals(before)
        assert {one.member for one in found if one.vip == VIP} == {None, pods[1].uuid}

        for vip in (VIP, VIP + 1):
            assert node.backend.apply([Delete(service(53, pods=pods, vip=vip, protocol="udp"))]) == [None]
        assert node.backend.stats() == []
        watched.look(lambda: watched.stored() == 0)
