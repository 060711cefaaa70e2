"""Counters of members that have left are put together, and nothing of what was counted is lost."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address
from itertools import count

import pytest
from netns_node import VIP, VRF, Node, both_families, in_ipv6, service

from vrouter import namespace
from vrouter.backends.netns import comparison, departed, elements, nftables
from vrouter.backends.protocol import Delete, Stat
from vrouter.state import Address, Family, Interface, Vip

SOURCE_PORTS = count(20_000)
COUNTERS = ("connections", "packets", "bytes", "reverse_packets", "reverse_bytes")


def opened(pod: Interface) -> socket.socket:
    """A socket of UDP in the pod, for both families."""
    found = namespace.inside(pod.workload, partial(socket.socket, socket.AF_INET6, socket.SOCK_DGRAM))
    found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    found.settimeout(5)
    return found


@contextmanager
def echoing(pod: Interface) -> Iterator[None]:
    """A server of UDP on port 80 of the pod."""
    server = opened(pod)
    server.settimeout(None)
    server.bind(("::", 80))

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
        with opened(pod) as last:
            last.sendto(b"", ("::ffff:127.0.0.1", 80))
        thread.join()
        server.close()


def talk(client: Interface, vip: Address, port: int, times: int = 10) -> None:
    """So many connections of one question each. No port is used twice: the flow of another listener to the same pod
    would be in the way."""
    for _ in range(times):
        with opened(client) as asking:
            asking.bind(("::", next(SOURCE_PORTS)))
            asking.sendto(b"question", (str(vip) if vip.version == 6 else f"::ffff:{vip}", port))
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

    def stored(self, family: Family) -> int:
        """Counters that the kernel has."""
        nft = self.node.backend._vrfs[VRF.index].nft_socket
        names = [f"{name}_{protocol}" for name in departed.SETS for protocol in elements.PROTOCOLS]
        return sum(1 for name in names for _ in nftables.each_count(nft, family, name))


@pytest.mark.parametrize("family", [4, 6])
def test_who_left_is_counted_with_all_who_left(node: Node, monkeypatch: pytest.MonkeyPatch, family: Family) -> None:
    client, *pods = (both_families(node.new_pod()) for _ in range(4))
    node.apply(client, *pods)

    def vips(*ports: int, of: list[Interface], number: int = 0) -> Vip:
        made = service(*ports, pods=of, vip=VIP + number, protocol="udp")
        return made if family == 4 else in_ipv6(made)

    one, two = vips(53, 54, of=pods), vips(53, of=pods, number=1)
    nobody = ip_address(bytes(len(one.address.packed)))
    node.apply(one, two)
    with echoing(pods[0]), echoing(pods[1]), echoing(pods[2]):
        for vip, port in ((one, 53), (one, 54), (two, 53)):
            talk(client, vip.address, port, 40)
        before = node.backend.stats()
        assert len(before) == 9  # each listener at each pod
        watched = Watched(node, monkeypatch)
        node.apply(vips(53, 54, of=pods[:1]))
        found = watched.look(watched.counted(7))
        assert totals(found) == totals(before)
        departed_of = {(stat.vip, stat.port) for stat in found if stat.member_address == nobody}
        assert departed_of == {(one.address, 53), (one.address, 54)}
        assert all(stat in found for stat in before if stat.member == pods[0].uuid or stat.vip == two.address)

        # what comes later is added, by the next agent, too
        node.apply(vips(53, 54, of=pods[1:2]))
        talk(client, one.address, 53)
        before = node.backend.stats()
        node.backend.close()
        node.backend = node.start()
        assert totals(node.backend.stats()) == totals(before)
        watched = Watched(node, monkeypatch)
        found = watched.look(watched.counted(6))
        assert totals(found) == totals(before)
        assert {stat.member for stat in found if stat.vip == one.address} == {None, pods[1].uuid}

        assert node.backend.apply([Delete(one), Delete(two)]) == [None, None]
        assert node.backend.stats() == []
        watched.look(lambda: watched.stored(family) == 0)
