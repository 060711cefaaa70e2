"""Times that are kept to the next tick: what is due within one begins together, by one timer of the loop.

A timer for each of some thousand probes costs more than the probes' turns, and what begins together shares those.
"""

import asyncio
import math

TICK = 0.05  # seconds


class Ticks:
    """For one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[asyncio.Future[None]]] = {}  # by the number of the tick

    async def sleep_until(self, when: float) -> None:
        """when: by the loop's clock."""
        loop = asyncio.get_running_loop()
        tick, waiting = math.ceil(when / TICK), loop.create_future()
        if tick not in self._waiting:
            self._waiting[tick] = []
            loop.call_at(tick * TICK, self._wake, tick)
        self._waiting[tick].append(waiting)
        await waiting

    def _wake(self, tick: int) -> None:
        for waiting in self._waiting.pop(tick):
            if not waiting.done():
                waiting.set_result(None)
