"""A key to several values, mostly one."""

from collections.abc import Collection, Hashable, Iterable, Iterator, MutableMapping
from collections.abc import Set as AbstractSet
from copy import copy
from typing import Generic, Self, TypeVar

from vrouter.layer import layered

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)


class Multimap(Generic[K, V]):
    """Sets only where there are several: one for each of a million keys would be a quarter of a gigabyte."""

    def __init__(self) -> None:
        self._one: MutableMapping[K, V] = {}
        self._many: MutableMapping[K, set[V]] = {}

    def fork(self) -> Self:
        """One that goes on from here by itself; valid until this one goes on."""
        fork = copy(self)
        fork._one, fork._many = layered(self._one), layered(self._many)
        return fork

    def get(self, key: K) -> Collection[V]:
        """A copy: the map may change while the caller goes through it."""
        if (found := self._one.get(key)) is not None:
            return (found,)
        return tuple(self._many[key]) if key in self._many else ()

    def __contains__(self, key: K) -> bool:
        """Whether it has any value, however many."""
        return key in self._one or key in self._many

    def among(self, keys: AbstractSet[K]) -> Iterator[K]:
        """Those of the keys that have a value: what is looked through is the smaller of both."""
        yield from self._one.keys() & keys
        yield from self._many.keys() & keys

    def has(self, key: K, value: V) -> bool:
        return self._one.get(key) == value or value in self._many.get(key, ())

    def __iter__(self) -> Iterator[K]:
        """Its keys; the map may change meanwhile."""
        yield from tuple(self._one)
        yield from tuple(self._many)

    def __len__(self) -> int:
        return len(self._one) + len(self._many)

    def add(self, key: K, value: V) -> None:
        self.add_each((key,), value)

    def add_each(self, keys: Iterable[K], value: V) -> None:
        """The value for each of the keys."""
        one, many = self._one, self._many
        for key in keys:
            if (several := many.get(key)) is not None:
                several.add(value)
            elif (before := one.setdefault(key, value)) is not value and before != value:
                many[key] = {before, value}
                del one[key]

    def discard(self, key: K, value: V) -> None:
        if self._one.get(key) == value:
            del self._one[key]
        elif key in self._many:
            self._many[key].discard(value)
            if len(self._many[key]) == 1:
                (self._one[key],) = self._many.pop(key)

    def contested(self) -> Iterator[K]:
        """Keys with several values."""
        yield from tuple(self._many)
