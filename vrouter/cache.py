"""The objects this node needs, as of one revision.

What it promises, in the words of an informer's contract:

- after the first `Snapshot` it holds every object in sight of the types in `FIELDS`, and after each `Events` exactly
  what the server held at that revision; between two deltas it does not change;
- back references and children are computed here, from what the objects themselves say; events carry none;
- a reference may point to an object that is not here (not yet, out of sight, or of a type nobody needs); that is no
  error;
- a later `Snapshot` (the change log was compacted) is compared with what is held: what is equal counts as unchanged;
- `apply` names what changed, as `Fact`s. Whoever remembers which facts a result was made from can tell, without a look
  at any object, which results a change touches.
"""

from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from copy import copy
from typing import Any, Self

from api_client import Event, Events, Snapshot
from vrouter.layer import layered
from vrouter.multimap import Multimap
from vrouter.objects import FIELDS, Object, read

# One thing that can change: an object (its uuid), its name, who refers to it, its children, who holds an address, which
# virtual-router has a node's name.
Fact = str | tuple[str, ...]

SLICE = 2000  # objects of a snapshot between two pauses: about 10 ms


def referrers_of(uuid: str, kind: str) -> Fact:
    return ("referrers", uuid, kind)


def children_of(uuid: str, kind: str) -> Fact:
    """Which they are, and what each of them says."""
    return ("children", uuid, kind)


def name_of(uuid: str) -> Fact:
    return ("name", uuid)


def holders_of(address: str) -> Fact:
    return ("holders", address)


def router_of(node: str) -> Fact:
    return ("router", node)


def health_of(member: str) -> Fact:
    """The one fact that no object tells: probes do (`vrouter/health`)."""
    return ("health", member)


class Cache:
    """revision: of the last delta, 0 before the first Snapshot. whole: it is as of one revision, and not on its way
    between two."""

    def __init__(self) -> None:
        self.revision = 0
        self.whole = False
        self._objects: MutableMapping[str, Object] = {}  # uuid -> object
        self._by_type: MutableMapping[str, set[str]] = {kind: set() for kind in FIELDS}  # type -> uuids
        self._links: Multimap[Fact, str] = Multimap()  # referrers, children, holders, routers -> uuids

    def fork(self) -> Self:
        """One that goes on from here by itself: this one never sees what it is told. Valid until this one goes on."""
        fork = copy(self)
        for name, value in vars(self).items():
            setattr(fork, name, layered(value))
        return fork

    def get(self, uuid: str) -> Object | None:
        return self._objects.get(uuid)

    def linked(self, fact: Fact) -> Sequence[str]:
        """uuids behind a `referrers_of`, `children_of`, `holders_of` or `router_of`, in the order of uuids."""
        return sorted(self._links.get(fact))

    def of_type(self, kind: str) -> Sequence[str]:
        """uuids of all objects of a type, in the order of uuids."""
        return sorted(self._by_type[kind])

    def counts(self) -> dict[str, int]:
        return {kind: len(uuids) for kind, uuids in self._by_type.items()}

    def find(self, text: str) -> list[Object]:
        """Objects that a person may mean: by uuid, by whole fq_name joined by colons, or by its last part."""
        if text in self._objects:
            return [self._objects[text]]
        return [found for found in self._objects.values() if text in (found.name, ":".join(found.fq_name))]

    def apply(self, delta: Events) -> set[Fact]:
        """Take one revision's events; gives the facts that changed."""
        changed: set[Fact] = set()
        for event in delta.events:
            self._take(event, changed)
        self.revision = delta.revision
        self.whole = True
        return changed

    def begin(self, kind: str, objects: Sequence[Any]) -> set[Fact]:
        """The same of objects of a type that come into sight by a delta; until that is applied, the cache is on its
        way."""
        self.whole = False
        changed: set[Fact] = set()
        for body in objects:
            self._put(read(kind, body), changed)
        return changed

    def enter(self, delta: Events) -> Iterator[set[Fact]]:
        """The same a slice at a time, for a delta of many events: of a network that comes into sight."""
        self.whole = False
        changed: set[Fact] = set()
        for count, event in enumerate(delta.events, 1):
            self._take(event, changed)
            if count % SLICE == 0:
                yield changed
                changed = set()
        self.revision = delta.revision
        self.whole = True
        yield changed

    def replace(self, snapshot: Snapshot) -> Iterator[set[Fact]]:
        """Become the snapshot, a slice at a time so that the caller can breathe; each slice's changed facts.

        Until it is exhausted the cache is neither the old state nor the new one.
        """
        self.whole = False
        changed: set[Fact] = set()
        present: set[str] = set()
        for kind in FIELDS:
            for count, body in enumerate(snapshot.objects.get(kind, ()), 1):
                found = read(kind, body)
                present.add(found.uuid)
                self._put(found, changed)
                if count % SLICE == 0:
                    yield changed
                    changed = set()
        for uuid in self._objects.keys() - present:
            self._remove(uuid, changed)
        self.revision = snapshot.revision
        self.whole = True
        yield changed

    def _take(self, event: Event, changed: set[Fact]) -> None:
        if event.kind == "delete":
            self._remove(event.uuid, changed)
        else:
            self._put(read(event.type, event.object), changed)

    def _put(self, found: Object, changed: set[Fact]) -> None:
        uuid = found.uuid
        before = self._objects.get(uuid)
        links = _links(found)
        if before is None:
            self._by_type[found.type].add(uuid)
            changed.add(uuid)  # who wants the name of what is not there yet reads whether it is
            changed.update(links)
        elif before == found:
            return
        else:
            changed.add(uuid)
            if before.fq_name != found.fq_name:
                changed.add(name_of(uuid))
            old, new = set(_links(before)), set(links)
            self._unlink(uuid, old - new, changed)
            links = new - old
            changed.update(links)
            if found.parent is not None:
                changed.add(children_of(found.parent, found.type))
        self._objects[uuid] = found
        self._links.add_each(links, uuid)

    def _remove(self, uuid: str, changed: set[Fact]) -> None:
        before = self._objects.pop(uuid, None)
        if before is None:
            return
        self._by_type[before.type].discard(uuid)
        changed.update((uuid, name_of(uuid)))
        self._unlink(uuid, _links(before), changed)

    def _unlink(self, uuid: str, facts: Iterable[Fact], changed: set[Fact]) -> None:
        for fact in facts:
            changed.add(fact)
            self._links.discard(fact, uuid)


def _links(found: Object) -> Iterable[Fact]:
    """Where others find this object."""
    kind = found.type
    links: list[Fact] = []
    for field in found.links:
        if references := found.get(field):
            links += [("referrers", reference.uuid, kind) for reference in references]  # spelt out, for there are many
    if found.parent is not None:
        links.append(("children", found.parent, kind))
    if kind == "instance-ip" and (address := found.get("instance_ip_address")):
        links.append(holders_of(address))
    elif kind == "virtual-router":
        links.append(router_of(found.name))
    return links
