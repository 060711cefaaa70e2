"""How many connections each limited listener has: a place for each flow, as the kernel backend's sets have them.

A place is taken by the first packet, kept by those of the client, and given back by what closes the connection.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from vrouter.backends.simulator.flow_table import IDLE, UNANSWERED
from vrouter.backends.simulator.packet import FiveTuple, Listener


@dataclass(slots=True)
class _Set:
    """taken: flow -> when its place is free again."""

    limit: int
    taken: dict[FiveTuple, float] = field(default_factory=dict)


class Limits:
    """clock: seconds, never going back. refused: (protocol, VIP, port) -> packets that found no place."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sets: dict[Listener, _Set] = {}
        self.refused: Counter[Listener] = Counter()

    def put(self, listener: Listener, limit: int) -> None:
        """0: none from now on. Connections that are open go on; of more than the new limit those have places that were
        used last."""
        if limit == 0:
            self._sets.pop(listener, None)
            self.refused.pop(listener, None)
        elif listener not in self._sets:
            self._sets[listener] = _Set(limit)
        elif (found := self._sets[listener]).limit != limit:
            latest = sorted(self._living(found).items(), key=lambda item: item[1], reverse=True)
            self._sets[listener] = _Set(limit, dict(latest[:limit]))

    def has_room(self, flow: FiveTuple) -> bool:
        """Whether a flow has a place or can have one."""
        found = self._sets.get(flow.listener)
        if found is None or found.taken.get(flow, 0.0) > self._clock():
            return True
        return len(found.taken) < found.limit or len(self._living(found)) < found.limit

    def take(self, flow: FiveTuple) -> bool:
        """For a new flow, which has room. Returns whether it counts."""
        self._put(flow, UNANSWERED)
        return flow.listener in self._sets

    def keep(self, flow: FiveTuple) -> None:
        """Its client goes on. One without a place gets one if it can."""
        self._put(flow, IDLE)

    def leave(self, flow: FiveTuple) -> None:
        if found := self._sets.get(flow.listener):
            found.taken.pop(flow, None)

    def refuse(self, flow: FiveTuple) -> None:
        self.refused[flow.listener] += 1

    def count(self, listener: Listener) -> tuple[int, int] | None:
        """(limit, taken) of a limited listener."""
        found = self._sets.get(listener)
        return (found.limit, len(self._living(found))) if found else None

    def _put(self, flow: FiveTuple, seconds: float) -> None:
        found = self._sets.get(flow.listener)
        if found and self.has_room(flow):
            found.taken[flow] = self._clock() + seconds

    def _living(self, found: _Set) -> dict[FiveTuple, float]:
        now = self._clock()
        found.taken = {flow: expires for flow, expires in found.taken.items() if expires > now}
        return found.taken
