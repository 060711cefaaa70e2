"""Which member a client of a sticky service was given last."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from vrouter.backends.simulator.packet import FiveTuple
from vrouter.state import AFFINITY, Address, Member


class _Client(NamedTuple):
    """Of one port of a VIP."""

    source: Address
    protocol: str
    vip: Address
    port: int


class Affinity:
    """clock: seconds, never going back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: dict[_Client, tuple[Address, float]] = {}  # client -> address of the member, when it is forgotten

    def find(self, flow: FiveTuple, members: Iterable[Member]) -> Member | None:
        """Its client's member, if it is one of these."""
        address, expires = self._last.get(_client(flow), (None, 0.0))
        if expires <= self._clock():
            return None
        return next((member for member in members if member.address == address), None)

    def remember(self, flow: FiveTuple, member: Member) -> None:
        """For as long again. Called for each new connection; what has expired goes then, oldest first."""
        now = self._clock()
        client = _client(flow)
        self._last.pop(client, None)
        self._last[client] = (member.address, now + AFFINITY)
        while (oldest := next(iter(self._last))) and self._last[oldest][1] <= now:
            del self._last[oldest]


def _client(flow: FiveTuple) -> _Client:
    return _Client(flow.source, flow.protocol, flow.destination, flow.destination_port)
