"""Those who watch scopes, found by scope: a change costs nothing for the others, and sends them nothing."""

from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from api_server.store.concerns import ScopeChange
from api_server.store.events import Event, Operation

Who = TypeVar("Who", bound=Hashable)


class Sight(NamedTuple):
    """What a watcher sees: objects of these types (None: all) that concern one of these scopes."""

    types: frozenset[str] | None
    scopes: frozenset[str]


class Sights(Generic[Who]):
    """Watchers by their sight; those with the same one stand together."""

    def __init__(self) -> None:
        self._watchers: dict[Sight, set[Who]] = {}
        self._by_scope: dict[str, set[Sight]] = {}

    def __iter__(self) -> Iterator[Who]:
        return iter([one for together in self._watchers.values() for one in together])

    def __len__(self) -> int:
        return sum(map(len, self._watchers.values()))

    def join(self, sight: Sight, watcher: Who) -> None:
        if sight not in self._watchers:
            self._watchers[sight] = set()
            for scope in sight.scopes:
                self._by_scope.setdefault(scope, set()).add(sight)
        self._watchers[sight].add(watcher)

    def leave(self, sight: Sight, watcher: Who) -> None:
        together = self._watchers.get(sight, set())
        together.discard(watcher)
        if not together and self._watchers.pop(sight, None) is not None:
            for scope in sight.scopes:
                self._by_scope[scope].discard(sight)
                if not self._by_scope[scope]:
                    del self._by_scope[scope]

    def of(self, changes: Iterable[ScopeChange]) -> Iterator[tuple[list[Who], tuple[Event, ...]]]:
        """Who sees any of these changes, and what of them."""
        seen: dict[Sight, list[ScopeChange]] = {}
        for change in changes:
            for sight in self._by_scope.get(change.scope, ()):
                seen.setdefault(sight, []).append(change)
        for sight, some in seen.items():
            if found := events_of(some, sight.types):
                yield list(self._watchers[sight]), found


def events_of(changes: Iterable[ScopeChange], types: frozenset[str] | None) -> tuple[Event, ...]:
    """What changes in several scopes are to one who watches them all, in order: an object that changes while it leaves
    one of them and is in another one has changed, and one that does not is not told of."""
    found: dict[tuple[int, str], list[ScopeChange]] = {}
    for change in changes:
        if types is None or change.type in types:
            found.setdefault((change.revision, change.uuid), []).append(change)
    events = [event for some in found.values() if (event := _joined(some)) is not None]
    return tuple(sorted(events, key=lambda event: event[:2]))


def _joined(changes: list[ScopeChange]) -> Event | None:
    """None: nothing has changed for who watches these scopes and no others."""
    (first, *more) = {change.operation for change in changes}
    if first == "keep" or (more and changes[0].implied):
        return None  # it was in sight and is
    operation: Operation = "update" if more else first
    shown = next((change for change in changes if change.operation != "delete"), changes[0])
    return Event(shown.revision, shown.sequence, operation, shown.type, shown.uuid, shown.object)
