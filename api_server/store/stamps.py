"""How far something is, for those who follow it: a number that grows, and a way to wait for it."""

import asyncio


class Stamps:
    """newest: the last one this process knows of."""

    def __init__(self, newest: int) -> None:
        self.newest = newest
        self.closed = ""
        self._moved = asyncio.Event()

    def announce(self, stamp: int) -> None:
        """There is one; 0 and older ones are good, too."""
        if stamp > self.newest:
            self.newest = stamp
            self._moved.set()

    def ring(self) -> None:
        """There is one more, for numbers that count no more than that."""
        self.announce(self.newest + 1)

    async def beyond(self, stamp: int) -> None:
        """Until there is a later one, or the end."""
        while self.newest <= stamp and not self.closed:
            self._moved.clear()
            await self._moved.wait()

    def close(self, reason: str) -> None:
        self.closed = reason
        self._moved.set()
