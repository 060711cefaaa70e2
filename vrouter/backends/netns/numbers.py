"""Ids that are not used again while a flow may remember them."""

from collections.abc import Iterable

LIMIT = 1 << 24  # what fits the mark beside its flags, and a surrogate behind its 240

# How far to jump over what a predecessor may have used: more than come and go in the time a flow outlives its endpoint.
JUMP = 1 << 16


class Numbers:
    """1, 2, 3, ... and around; what is in use is passed over.

    A process that finds numbers in use does not know which ones its predecessor used and gave back: it starts far
    beyond the highest.
    """

    def __init__(self, used: Iterable[int] = ()) -> None:
        self.used = set(used)
        self._last = (max(self.used) + JUMP) % LIMIT if self.used else 0

    def take(self) -> int:
        """The next one. OverflowError if all are in use."""
        if len(self.used) >= LIMIT - 1:
            raise OverflowError("all numbers are in use")
        while True:
            self._last = self._last % (LIMIT - 1) + 1
            if self._last not in self.used:
                self.used.add(self._last)
                return self._last

    def give_back(self, numbers: Iterable[int]) -> None:
        self.used.difference_update(numbers)
