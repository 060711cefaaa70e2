"""How far this node is: which revision it has seen, and which one the data plane has reached.

A revision counts as applied when every unit it touched has been tried: it stands, or its error is shown beside it.
Waiting for all to succeed would make one broken pod a reason to wait for ever.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mark:
    """revision, 0 for none yet. at: seconds since the epoch when it was reached."""

    revision: int = 0
    at: float = 0.0


PATIENCE = 0.1  # seconds until somebody who waits has the server asked for what may have nothing for this node


class Progress:
    """look: asks the server how far it is; the answer comes by `see`, with what there is up to it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.seen = Mark()
        self.applied = Mark()
        self.look: Callable[[], None] = lambda: None
        self._clock = clock
        self._moved = asyncio.Condition()
        self._ended = False

    def see(self, revision: int) -> None:
        self.seen = Mark(revision, self._clock())

    async def apply(self, revision: int) -> None:
        async with self._moved:
            if revision != self.applied.revision:
                self.applied = Mark(revision, self._clock())
            self._moved.notify_all()

    async def wait(self, revision: int, seconds: float | None = None) -> bool:
        """Whether `revision` is applied within so many seconds, or ever."""
        asking = asyncio.get_running_loop().call_later(PATIENCE, self._ask, revision)
        try:
            async with asyncio.timeout(seconds), self._moved:
                await self._moved.wait_for(lambda: self._ended or self.applied.revision >= revision)
        except TimeoutError:
            pass
        finally:
            asking.cancel()
        return self.applied.revision >= revision

    def _ask(self, revision: int) -> None:
        if self.seen.revision < revision:
            self.look()

    async def end(self) -> None:
        """Nothing more will be applied: nobody waits any longer."""
        async with self._moved:
            self._ended = True
            self._moved.notify_all()


class Rounds:
    """The rounds of compiling and applying, for whoever waits for what is no revision."""

    def __init__(self) -> None:
        self._begun = 0
        self._ended = 0
        self._moved = asyncio.Condition()

    def begin(self) -> None:
        """What has changed until now is done in this round."""
        self._begun += 1

    async def end(self) -> None:
        async with self._moved:
            self._ended = self._begun
            self._moved.notify_all()

    async def next(self, seconds: float) -> bool:
        """Whether a round that begins from now on ends within so many seconds."""
        awaited = self._begun + 1
        try:
            async with asyncio.timeout(seconds), self._moved:
                await self._moved.wait_for(lambda: self._ended >= awaited)
        except TimeoutError:
            pass
        return self._ended >= awaited
