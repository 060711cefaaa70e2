"""How far statuses are, for those who follow them: a number that grows, and a way to wait for it."""

import asyncio


class Stamps:
    """newest: the last stamp this process knows of (`statuses`)."""

    def __init__(self, newest: int) -> None:
        self.newest = newest
        self.closed = ""
        self._moved = asyncio.Event()

    def announce(self, stamp: int) -> None:
        """There is one; 0 and older ones are good, too."""
        if stamp > self.newest:
            self.newest = stamp
            self._moved.set()

    async def beyond(self, stamp: int) -> None:
        """Until there is a later one, or the end."""
        while self.newest <= stamp and not self.closed:
            self._moved.clear()
            await self._moved.wait()

    def close(self, reason: str) -> None:
        self.closed = reason
        self._moved.set()
