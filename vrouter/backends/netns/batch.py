"""Changes of VIPs that are sent together: a message costs the kernel little, a transaction of its own much.

Four steps, each of many VIPs at once, in an order that is right for each of them: what the table must have before a
group leads to a new member; groups and routes; the rest of the table; what nobody leads to any more.
"""

from dataclasses import dataclass, field

from vrouter.backends.netns import nftables
from vrouter.backends.netns.netlink import Message, Socket
from vrouter.backends.netns.nftables import Elements, Place

FULL = 1024  # elements: in bytes less than what an ordinary user's socket takes
_ELEMENT = 100  # bytes, about


@dataclass(slots=True)
class Change:
    """Of elements: one transaction. make: what the new ones need. unmake: what only the old ones needed."""

    make: list[Message] = field(default_factory=list)
    remove: list[Place] = field(default_factory=list)
    add: Elements = field(default_factory=dict)
    unmake: list[Message] = field(default_factory=list)

    def extend(self, before: Elements, after: Elements) -> None:
        """From elements that stand to others."""
        self.remove += [place for place, value in before.items() if after.get(place) != value]
        self.add.update({place: value for place, value in after.items() if before.get(place) != value})

    def send(self, nft: Socket) -> None:
        """Raises NetlinkError."""
        nftables.transact(nft, [*self.make, *nftables.changes(self.remove, self.add), *self.unmake])


@dataclass(slots=True)
class Batch:
    """The four steps."""

    leading: Change = field(default_factory=Change)
    groups: list[Message] = field(default_factory=list)
    change: Change = field(default_factory=Change)
    after: list[Message] = field(default_factory=list)

    @property
    def full(self) -> bool:
        change = self.change
        more = sum(len(message.body) for message in (*change.make, *change.unmake))
        return len(change.add) + len(change.remove) + more // _ELEMENT >= FULL

    def send(self, route: Socket, nft: Socket) -> None:
        """Raises NetlinkError."""
        self.leading.send(nft)
        route.send(self.groups)
        self.change.send(nft)
        route.send(self.after)
