"""What guarded interfaces have sent of UDP, for it may be answered."""

from collections.abc import Callable

from vrouter.backends.simulator.flow_table import IDLE
from vrouter.backends.simulator.packet import FiveTuple


class Asked:
    """clock: seconds, never going back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[FiveTuple, float] = {}  # what was sent -> until when it may be answered, soonest first

    def remember(self, flow: FiveTuple) -> None:
        """What has expired goes then."""
        now = self._clock()
        self._until.pop(flow, None)
        self._until[flow] = now + IDLE
        while (oldest := next(iter(self._until))) and self._until[oldest] <= now:
            del self._until[oldest]

    def answers(self, flow: FiveTuple) -> bool:
        """Whether that goes back where something has come from."""
        return self._until.get(flow.reversed(), 0.0) > self._clock()
