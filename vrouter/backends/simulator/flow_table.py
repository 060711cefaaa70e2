"""The flow table: which connection is with which member, and how its header is translated.

A flow is one entry, found by the tuple of either direction: as the client sends it, and as the member answers. It stays
with its member whatever happens to the group, until it is idle for too long or its member's interface goes. The table
is bounded: when it is full of living flows of a protocol, new ones are turned away and nothing that stands is touched.

Time comes from outside; entries wait in one queue per time-out, oldest first, so that forgetting costs only what is
forgotten.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from vrouter.backends.simulator.packet import FiveTuple, Packet, TcpFlag
from vrouter.state import Member

# Seconds without a packet, as in the kernel backend. IDLE is the vRouter agent's own default (`flow_cache_timeout`).
IDLE = 180.0
UNANSWERED = 30.0  # until the second packet of either side: what nobody answers is forgotten soon
CLOSING = 10.0  # after a FIN of both sides or an RST of one

Direction = Literal["forward", "reverse"]


@dataclass(slots=True, eq=False)
class Entry:
    """forward: the tuple as the client sends it. translated: as the member gets it. expires: on the table's clock.
    finished: which sides have sent a FIN. limited: it began at a listener with a limit."""

    forward: FiveTuple
    translated: FiveTuple
    member: Member
    packets: int = 0
    bytes: int = 0
    reverse_packets: int = 0
    reverse_bytes: int = 0
    finished: set[Direction] = field(default_factory=set)
    closing: bool = False
    limited: bool = False
    timeout: float = UNANSWERED
    expires: float = 0.0

    @property
    def tuples(self) -> tuple[FiveTuple, FiveTuple]:
        """What its packets carry when they enter: the client's and the member's."""
        return self.forward, self.translated.reversed()


class FlowTable:
    """limit: the greatest number of flows of one protocol. clock: seconds, never going back."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._entries: dict[FiveTuple, tuple[Entry, Direction]] = {}
        self._numbers: Counter[str] = Counter()  # protocol -> flows
        self._queues: dict[float, OrderedDict[FiveTuple, Entry]] = {
            timeout: OrderedDict() for timeout in (CLOSING, UNANSWERED, IDLE)
        }

    def __len__(self) -> int:
        self._forget()
        return len(self._entries) // 2

    def __iter__(self) -> Iterator[Entry]:
        self._forget()
        return (entry for entry, direction in self._entries.values() if direction == "forward")

    def is_full(self, protocol: str) -> bool:
        self._forget()
        return self._numbers[protocol] >= self._limit

    def find(self, flow: FiveTuple) -> tuple[Entry, Direction] | None:
        """The living entry to which a packet with this header belongs, and its direction."""
        self._forget()
        return self._entries.get(flow)

    def add(self, entry: Entry) -> None:
        """Record a new flow. Its tuples are free and the table is not full: the caller has looked."""
        forward, reverse = entry.tuples
        self._entries[forward] = (entry, "forward")
        self._entries[reverse] = (entry, "reverse")
        self._numbers[forward.protocol] += 1
        self._queue(entry)

    def count(self, entry: Entry, direction: Direction, packet: Packet) -> None:
        """A packet of this flow passes: count it and begin its idle time anew."""
        if direction == "forward":
            entry.packets += 1
            entry.bytes += packet.size
        else:
            entry.reverse_packets += 1
            entry.reverse_bytes += packet.size
        if packet.flags & TcpFlag.FIN:
            entry.finished.add(direction)
        entry.closing = entry.closing or len(entry.finished) == 2 or bool(packet.flags & TcpFlag.RST)
        del self._queues[entry.timeout][entry.forward]
        answered = entry.packets + entry.reverse_packets > 1
        entry.timeout = CLOSING if entry.closing else IDLE if answered else UNANSWERED
        self._queue(entry)

    def remove(self, entry: Entry) -> None:
        self._numbers[entry.forward.protocol] -= 1
        for flow in entry.tuples:
            del self._entries[flow]
        del self._queues[entry.timeout][entry.forward]

    def remove_if(self, condition: Callable[[Entry], bool]) -> None:
        """Forget every flow of which `condition` holds."""
        for entry in [entry for entry in self if condition(entry)]:
            self.remove(entry)

    def _queue(self, entry: Entry) -> None:
        entry.expires = self._clock() + entry.timeout
        self._queues[entry.timeout][entry.forward] = entry

    def _forget(self) -> None:
        now = self._clock()
        for queue in self._queues.values():
            while queue and (oldest := next(iter(queue.values()))).expires <= now:
                self.remove(oldest)
