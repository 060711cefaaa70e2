"""A mapping over another one that stays as it is: what would be if, beside what is.

Writes go into the layer, and so does a copy of each set or dictionary that is read, since whoever reads one may change
it. A layer costs what is written to it, whatever the size of what it lies over, and is valid until that changes.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from copy import copy
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Layer(MutableMapping[K, V]):
    """over: what it shows where nothing was written."""

    __slots__ = ("_gone", "_over", "_own")

    def __init__(self, over: Mapping[K, V]) -> None:
        self._over = over
        self._own: dict[K, V] = {}
        self._gone: set[K] = set()  # keys of `over` that were deleted

    def __getitem__(self, key: K) -> V:
        if key in self._own:
            return self._own[key]
        if key in self._gone:
            raise KeyError(key)
        value = self._over[key]
        return self._own.setdefault(key, copy(value)) if isinstance(value, set | dict) else value

    def __setitem__(self, key: K, value: V) -> None:
        self._own[key] = value
        self._gone.discard(key)

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        self._own.pop(key, None)
        if key in self._over:
            self._gone.add(key)

    def __contains__(self, key: object) -> bool:
        return key in self._own or (key not in self._gone and key in self._over)

    def __iter__(self) -> Iterator[K]:
        yield from (key for key in self._over if key not in self._gone)
        yield from [key for key in self._own if key not in self._over]

    def __len__(self) -> int:
        return len(self._over) - len(self._gone) + sum(key not in self._over for key in self._own)

    @property
    def written(self) -> set[K]:
        """Keys that were set or deleted; sets and dictionaries count when they were read."""
        return self._own.keys() | self._gone


def layered(value: Any) -> Any:
    """What stands for `value` in a fork of its owner: mappings get a layer, sets are copied, what knows how forks
    itself, and the rest is never changed in place."""
    if isinstance(value, dict | Layer):
        return Layer(value)
    if isinstance(value, set):
        return value.copy()
    return value.fork() if hasattr(value, "fork") else value
