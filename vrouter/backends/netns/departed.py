"""Counters of members that have left, and of VIPs: looked for beside the path, and put together.

A counter (`counting.py`) has no time-out, and one that nobody moves would stay for ever: a place in the set for each
pod that a listener has ever had. So when a member has left and nothing has moved its counter for `KEEP` seconds, which
is longer than any flow lives, it is added to one of its listener's, that of the departed, whose pod is no address.
Totals of listeners and VIPs stay what they are. With the VIP itself all of its counters go.
"""

import errno
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from typing import NamedTuple

from vrouter.backends.netns import elements, nftables
from vrouter.backends.netns.netlink import NetlinkError, Socket
from vrouter.backends.netns.nftables import Place
from vrouter.backends.netns.standing import Standing
from vrouter.state import Address, Family, Protocol

SETS = ("opened", "inward", "outward")
KEEP = 3600.0  # seconds
PERIOD = 600.0  # seconds between two looks at a VRF's counters

# VIP, its port, pod, its port
_KEYS = {4: struct.Struct(">4sHxx4sHxx"), 6: struct.Struct(">16sHxx16sHxx")}
_SLICE = 256  # counters between two chances to sleep: about a millisecond


class Path(NamedTuple):
    """From a port of a VIP to one of a pod."""

    vip: Address
    port: int
    pod: Address
    target: int

    @classmethod
    def read(cls, family: Family, key: bytes) -> "Path":
        vip, port, pod, target = _KEYS[family].unpack(key)
        return cls(ip_address(vip), port, ip_address(pod), target)

    @property
    def key(self) -> bytes:
        return _KEYS[self.vip.version].pack(self.vip.packed, self.port, self.pod.packed, self.target)

    @property
    def departed(self) -> "Path":
        """Where what its listener's departed members had is counted."""
        return Path(self.vip, self.port, ip_address(bytes(len(self.pod.packed))), 0)


class Count(NamedTuple):
    """What a counter had when it was found."""

    place: Place
    packets: int
    bytes: int


class Finder:
    """For one thread. Counters of all VRFs that are nobody's now, and since when each is what it is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked: dict[int, float] = {}  # index of a VRF -> when
        self._since: dict[int, dict[Count, float]] = {}

    def find(self, vrf: int, nft: Socket, standing: Standing) -> Iterator[Count | None]:
        """Those to be put together, and None now and then; nothing if it has looked a short while ago. OSError."""
        now = self._clock()
        if now - self._looked.get(vrf, float("-inf")) < PERIOD:
            return
        self._looked[vrf] = now
        before, found = self._since.get(vrf, {}), dict[Count, float]()
        present = _Present(standing)
        for family in sorted(standing.families):
            for protocol in elements.PROTOCOLS:
                for name in SETS:
                    for count, one in enumerate(_counts(nft, family, f"{name}_{protocol}")):
                        if count % _SLICE == 0:
                            yield None
                        if present.has(protocol, Path.read(family, one.place.key)):
                            continue
                        since = found[one] = before.get(one, now)
                        if now - since >= KEEP:
                            yield one
        self._since[vrf] = found


class _Present:
    """Whose counters are somebody's: of members, and of the departed of a listener."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._members: dict[tuple[Protocol, Address, int], frozenset[tuple[Address, int]]] = {}

    def has(self, protocol: Protocol, path: Path) -> bool:
        if path.vip not in self._standing.vips:
            return False
        place = (protocol, path.vip, path.port)
        if place not in self._members:
            self._members[place] = frozenset(self._of(protocol, path.vip, path.port))
        return path == path.departed or (path.pod, path.target) in self._members[place]

    def _of(self, protocol: Protocol, vip: Address, port: int) -> Iterator[tuple[Address, int]]:
        table, fib, service = self._standing.vips.get(vip), self._standing.fib, (protocol, port)
        if table is None or service not in table.targets:
            return
        group = fib.routes.get(table.surrogates[service] if table.split else vip)
        for number, _ in fib.groups.get(group or 0, ()):
            if hop := fib.hops.get(number):
                yield hop.gateway, table.port(service, hop.gateway)


def put_together(nft: Socket, standing: Standing, found: Iterable[Count]) -> None:
    """Of these, what is still nobody's and has not moved. Raises NetlinkError."""
    present = _Present(standing)
    remove: list[Place] = []
    totals: dict[Place, tuple[int, int]] = {}
    for one in found:
        family, name, key = one.place
        path = Path.read(family, key)
        now = nftables.find(nft, family, name, key)
        if now is None or (now.packets, now.bytes) != one[1:] or present.has(_protocol(name), path):
            continue
        remove.append(one.place)
        if path.vip not in standing.vips:
            continue
        total = Place(family, name, path.departed.key)
        if total not in totals:
            before = nftables.find(nft, family, name, total.key)
            totals[total] = (before.packets, before.bytes) if before else (0, 0)
            remove += [total] if before else []
        packets, size = totals[total]
        totals[total] = packets + one.packets, size + one.bytes
    removal, addition = nftables.changes(remove, {}), nftables.counts(totals)
    try:
        nftables.transact(nft, [*removal, *addition])
    except NetlinkError as error:
        if error.errno != errno.ENFILE:  # places become free at the end of a transaction only
            raise
        nftables.transact(nft, removal)
        nftables.transact(nft, addition)


def _counts(nft: Socket, family: Family, name: str) -> Iterator[Count]:
    for key, (packets, size) in nftables.each_count(nft, family, name):
        yield Count(Place(family, name, key), packets, size)


def _protocol(name: str) -> Protocol:
    return next(protocol for protocol in elements.PROTOCOLS if name.endswith(f"_{protocol}"))
