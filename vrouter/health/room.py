"""How many probes may be on their way.

A member that is well answers at once, and a few probes that began together do not make each other late. One that hangs
keeps its socket for the whole timeout; after a moment others may begin all the same, or a service that is gone would
keep the agent from seeing what happens to the rest.
"""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

SOCKETS = 4096  # at most
BEGINNING = 128
MOMENT = 0.1  # seconds in which a probe counts as beginning


class Room:
    """For one event loop. At most `SOCKETS` at a time, or half of the files that this process may have."""

    def __init__(self) -> None:
        self._sockets = asyncio.Semaphore(_sockets())
        self._beginning = asyncio.Semaphore(BEGINNING)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        async with self._sockets:
            await self._beginning.acquire()
            begins = True

            def begun() -> None:
                nonlocal begins
                if begins:
                    begins = False
                    self._beginning.release()

            timer = asyncio.get_running_loop().call_later(MOMENT, begun)
            try:
                yield
            finally:
                timer.cancel()
                begun()


def _sockets() -> int:
    """What there is room for, after asking for more if there is less (a shell's usual limit is 1 024 files)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 2 * SOCKETS if hard == resource.RLIM_INFINITY else min(hard, 2 * SOCKETS)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return SOCKETS if soft == resource.RLIM_INFINITY else min(SOCKETS, soft // 2)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return soft // 2
