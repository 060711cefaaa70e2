"""What is special about a type, as hooks in a registry; a type without hooks pays nothing.

All hooks run inside the write transaction, in the order

    receive   the body of a client's create, before its name is looked up: complete it, in place
    require   before the store applies a create or update: what has to be there first (a tag's type, say)
    prepare   before the store applies a create or update: check it, fill in `after`, in place, as the server assigns
    keys      the search keys by which the object is found from now on (`Transaction.by_key`), beside those of
              `sharing`, which all types have
    release   before the store applies a delete: check it; what has to change first (a child the server made, say)
    further   after the store has applied the change: what else must change because of it; the place, too, to refuse a
              delete that the store would have refused for a better known reason (contract 2.9)

What `require`, `release` and `further` ask for has hooks in its turn, and is done before they are asked for more, so
a generator sees its own effects. A hook reads through the transaction and takes numbers and addresses from its pools;
it runs no statement of its own. A refusal is an `ApiError`. Hooks must be pure over the transaction: a group of writes
can be rolled back and run again, with the same bodies. Objects that go with their parent because of their default name
are released before it goes and have their `further` after it; what else the store removes by itself (a derived child, a
reference that vanishes with its target) runs no hooks.

`perform` is the one way a change gets into the store. What an object holds of the pools of numbers is said a second
time, by `holds` and `pools`, as a function of the object alone, and so is what follows from it, by `settle`: with that
`api_server.care` compares what is stored.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from api_server.resources import sharing, standard
from api_server.resources.body import Body
from api_server.store import names
from api_server.store.objects import Change, Create, Delete, Object
from api_server.store.transaction import Transaction
from api_server.store.view import View

LONGEST_KEY = names.LONGEST + 256
"""Bytes of a search key: a name, and what stands before and behind it."""

MAX_DEPTH = 16
"""Changes that ask for changes: more than this is a loop in the hooks."""


Ranges = list[tuple[int, int]]
"""(first, last), inclusive."""


class Held(NamedTuple):
    """A number of a pool that an object has. pool: "" if there is none that could give it. ranges: of the whole pool.
    what: the number in a person's words. renumber: gives the object another, in place, if it was the server's choice.
    """

    pool: str
    ranges: Ranges
    number: int
    what: str
    renumber: Callable[[Object, int], None] | None = None


class Hook:
    """Does nothing; a subclass says what is special.

    assigns: properties that only the server sets, to values that a client might not be allowed to set.
    """

    assigns: Collection[str] = ()

    def receive(self, body: Body) -> None:
        """Twice is as once."""

    def require(self, tx: Transaction, before: Object | None, after: Object) -> Iterable[Change]:
        """before is None for a create."""
        return ()

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        """before is None for a create."""

    def keys(self, tx: Transaction, after: Object) -> Iterable[str] | None:
        """None: this hook's type has none, ever."""
        return None

    def release(self, tx: Transaction, before: Object) -> Iterable[Change]:
        return ()

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        """before is None after a create, after is None after a delete."""
        return ()

    def settle(self, tx: Transaction, object: Object) -> Iterable[Change]:
        """What has to change so that all stands that follows from an object as it is; nothing, if all is well."""
        return ()

    def holds(self, tx: View, object: Object) -> Iterable[Held]:
        """The numbers `prepare` has taken for an object that stands."""
        return ()

    def reserves(self, tx: View, object: Object) -> Iterable[str]:
        """Pools of which an object has numbers that only the pools know of."""
        return ()

    def pools(self, tx: View, object: Object) -> Iterable[tuple[str, Ranges]]:
        """(name, ranges) of the pools that come and go with an object. Names are `<kind>:<uuid of the object>:...`."""
        return ()


Registry = Mapping[str, Sequence[Hook]]


def perform(tx: Transaction, registry: Registry, change: Change, *, depth: int = 0) -> None:
    """Apply a change with all that follows from it.

    The objects of `change` are complete (operations made them so from a request). Raises ApiError: refused, by a hook
    or by the store.
    """
    if depth > MAX_DEPTH:
        raise RuntimeError(f"hooks ask for changes without end: {change!r:.200}")
    before = None if isinstance(change, Create) else change.before
    after = None if isinstance(change, Delete) else change.after
    subject = after or before
    assert subject is not None

    def follow(changes: Iterable[Change]) -> None:
        carry_out(tx, registry, changes, depth=depth + 1)

    if after is None:
        going = [subject, *tx.implied(subject)]
        for each in going:
            for hook in registry.get(each.type, ()):
                follow(hook.release(tx, each))
        tx.apply(change)
        for each in reversed(going):
            for hook in registry.get(each.type, ()):
                follow(hook.further(tx, each, None))
        return
    hooks = registry.get(subject.type, ())
    for hook in hooks:
        follow(hook.require(tx, before, after))
    for hook in hooks:
        hook.prepare(tx, before, after)
    declared = [keys for hook in hooks if (keys := hook.keys(tx, after)) is not None]
    if declared or before is None or before.properties.get("perms2") != after.properties.get("perms2"):
        tx.apply(change, search_keys(after, declared))
    else:
        tx.apply(change)
    for hook in hooks:
        follow(hook.further(tx, before, after))


def search_keys(object: Object, declared: Iterable[Iterable[str]]) -> list[str]:
    """All keys an object is found by. declared: by its hooks; one too long for an index names nothing that there is."""
    own = {key for keys in declared for key in keys if names.fits(key, LONGEST_KEY)}
    return sorted(own.union(sharing.keys(object.type, sharing.scopes(object))))


def carry_out(tx: Transaction, registry: Registry, changes: Iterable[Change], *, depth: int = 0) -> None:
    """Perform what hooks ask for, one after the other; an object they make gets its server-set fields here."""
    for change in changes:
        if isinstance(change, Create):
            standard.complete(tx, change.after)
        perform(tx, registry, change, depth=depth)
