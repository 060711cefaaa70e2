"""Ids that are not used again soon."""

from collections.abc import Iterable

LIMIT = 1 << 24  # what fits the mark beside its flags, and a surrogate behind its 240


class Numbers:
    """1, 2, 3, ... below `LIMIT` and around, from the one after `last`; what is in use is passed over.

    So a number given back is used again after all others. Where something may remember the numbers of a predecessor,
    `last` is drawn at random: who starts again at 1 meets them for sure.
    """

    def __init__(self, used: Iterable[int], last: int) -> None:
        self.used = set(used)
        self._last = last

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
