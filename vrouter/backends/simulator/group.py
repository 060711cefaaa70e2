"""An ECMP group: one of several members, chosen by a hash.

The choice is the kernel's hash-threshold (RFC 2992; `mpath` nexthop groups): the members divide the space of hashes
among them in proportion to their weights. It knows nothing of flows: a changed membership moves about half of the
hashes, and what keeps a connection with its member is the flow table.
"""

from bisect import bisect_right
from collections.abc import Iterable
from hashlib import blake2b
from itertools import accumulate

from vrouter.backends.simulator.packet import FiveTuple
from vrouter.state import Member

HASH_BITS = 31  # of the kernel's multipath hash


def hash_of(flow: FiveTuple, seed: bytes) -> int:
    """A number below 2**31 that all packets of a flow share. seed: so that two tables do not choose alike."""
    protocol, source, source_port, destination, destination_port = flow
    text = f"{protocol} {int(source)} {source_port} {int(destination)} {destination_port}"
    return int.from_bytes(blake2b(text.encode(), digest_size=4, key=seed).digest()) >> (32 - HASH_BITS)


class Group:
    """Members and the ranges of hashes that are theirs. id: the group's number as a nexthop, unique in its VRF."""

    def __init__(self, id: int, members: Iterable[Member]) -> None:
        self.id = id
        self.members = tuple(members)
        total = sum(member.weight for member in self.members)
        self._bounds = [(bound << HASH_BITS) // total for bound in accumulate(member.weight for member in self.members)]

    def choose(self, hash: int) -> Member | None:
        """The member whose range has `hash`; None if there are no members."""
        return self.members[bisect_right(self._bounds, hash)] if self.members else None
