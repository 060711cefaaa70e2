"""TLS connections between two probes of a member: kept for a while, and closed if nobody asks for them again."""

import asyncio
import resource

from vrouter.backends.netns.encrypted import Encrypted
from vrouter.state import Address

LIMIT = 2048  # connections at most, or a quarter of the files that this process may have
SWEEP = 1.0  # seconds

Where = tuple[str, str, Address, int, str]  # namespace, member, its address and port, monitor


class IdleConnections:
    """Use on one event loop; only `leave` may be called from another thread."""

    def __init__(self) -> None:
        self._connections: dict[Where, tuple[float, Encrypted]] = {}  # with the time until which each is kept
        self._sweep: asyncio.TimerHandle | None = None

    def keep(self, where: Where, connection: Encrypted, seconds: float) -> None:
        """For so many seconds. Closed at once if there are too many."""
        loop = asyncio.get_running_loop()
        if where in self._connections or len(self._connections) >= _limit():
            connection.close()
            return
        self._connections[where] = loop.time() + seconds, connection
        if self._sweep is None:
            self._sweep = loop.call_later(SWEEP, self._close_unused)

    def take(self, where: Where) -> Encrypted | None:
        """It is the caller's to close, or to give back."""
        return self._connections.pop(where, (0.0, None))[1]

    def leave(self, network: str) -> None:
        """Close what is open in that namespace, which is about to go: an open socket keeps it alive, and another one
        may come by its name."""
        for where in [where for where in list(self._connections) if where[0] == network]:
            if (connection := self.take(where)) is not None:
                connection.close()

    def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        for network in {where[0] for where in self._connections}:
            self.leave(network)

    def _close_unused(self) -> None:
        loop = asyncio.get_running_loop()
        for where in [where for where, (until, _) in list(self._connections.items()) if until < loop.time()]:
            if (connection := self.take(where)) is not None:
                connection.close()
        self._sweep = loop.call_later(SWEEP, self._close_unused) if self._connections else None


def _limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return LIMIT if soft == resource.RLIM_INFINITY else min(LIMIT, soft // 4)
