"""What the hooks say of an object as it stands: its search keys, its numbers, its pools."""

from collections.abc import Iterator
from uuid import UUID

from api_server.resources.hooks import Held, Ranges, Registry, search_keys
from api_server.resources.registry import POOLS
from api_server.store.objects import Object
from api_server.store.transaction import Transaction

UUID_LENGTH = 36


def keys_of(tx: Transaction, registry: Registry, object: Object) -> list[str]:
    """The search keys it is found by."""
    return search_keys(object, (hook.keys(tx, object) or () for hook in registry.get(object.type, ())))


def assigned(registry: Registry, kind: str) -> set[str]:
    """The properties of a type that only the server sets."""
    return {name for hook in registry.get(kind, ()) for name in hook.assigns}


def reserves_of(tx: Transaction, registry: Registry, object: Object) -> set[str]:
    """The pools of which it has numbers that only the pools know of."""
    return {pool for hook in registry.get(object.type, ()) for pool in hook.reserves(tx, object)}


def holds_of(tx: Transaction, registry: Registry, object: Object) -> Iterator[Held]:
    for hook in registry.get(object.type, ()):
        yield from hook.holds(tx, object)


def owner(pool: str) -> str | None:
    """uuid of the object whose pool it is; None: the server's own."""
    _, _, rest = pool.partition(":")
    return rest[:UUID_LENGTH] if is_uuid(rest[:UUID_LENGTH]) else None


def ranges_of(tx: Transaction, registry: Registry, pool: str) -> Ranges | None:
    """What a pool is made of; None: there is no such pool, or no longer."""
    of = owner(pool)
    if of is None:
        found = [name for name in POOLS if name == pool or (name.endswith(":") and pool.startswith(name))]
        return POOLS[max(found, key=len)] if found else None
    owning = tx.get(of)
    if owning is None:
        return None
    hooks = registry.get(owning.type, ())
    return next((ranges for hook in hooks for name, ranges in hook.pools(tx, owning) if name == pool), None)


def is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
