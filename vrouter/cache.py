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

It keeps only the fields the compiler reads: permissions, times and annotations of others would be most of the memory.
"""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from copy import copy
from typing import Any, NamedTuple, Self

from api_client import Event, Events, Snapshot
from vrouter.layer import layered
from vrouter.multimap import Multimap

# type -> the fields of it that are read here; references by their wire names. In the order in which the compiler can do
# something with them: an interface without its addresses, or a pool without its listener, would be looked at twice.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "virtual-router": ("virtual_machine_refs", "virtual_router_ip_address"),
    "virtual-machine": (),
    "virtual-network": (
        "virtual_network_network_id", "virtual_network_properties", "network_ipam_refs", "network_policy_refs",
        "router_external",
    ),
    "network-ipam": ("ipam_subnets",),
    "network-policy": ("network_policy_entries",),
    "instance-ip": (
        "instance_ip_address", "instance_ip_secondary", "subnet_uuid", "virtual_network_refs",
        "virtual_machine_interface_refs",
    ),
    "virtual-machine-interface": (
        "virtual_network_refs", "virtual_machine_refs", "virtual_machine_interface_mac_addresses", "id_perms",
    ),
    "floating-ip-pool": (),
    "floating-ip": (
        "floating_ip_address", "floating_ip_port_mappings", "floating_ip_port_mappings_enable",
        "virtual_machine_interface_refs", "id_perms",
    ),
    "loadbalancer": (
        "loadbalancer_properties", "loadbalancer_provider", "virtual_machine_interface_refs", "id_perms",
    ),
    "loadbalancer-listener": ("loadbalancer_listener_properties", "loadbalancer_refs"),
    "loadbalancer-pool": (
        "loadbalancer_pool_properties", "loadbalancer_listener_refs", "loadbalancer_healthmonitor_refs",
    ),
    "loadbalancer-healthmonitor": ("loadbalancer_healthmonitor_properties",),
    "loadbalancer-member": ("loadbalancer_member_properties", "annotations"),
}  # fmt: skip

# What to ask of the server: identity comes with every object, so a type without fields must still name one.
WATCHED: Mapping[str, tuple[str, ...]] = {kind: fields or ("display_name",) for kind, fields in FIELDS.items()}

# The same apart: fields of properties, fields of references with the type of their targets, whether it has a time.
_PARTS = {
    kind: (
        tuple(field for field in fields if not field.endswith("_refs") and field != "id_perms"),
        tuple((field, field.removesuffix("_refs").replace("_", "-")) for field in fields if field.endswith("_refs")),
        "id_perms" in fields,
    )
    for kind, fields in FIELDS.items()
}
_NOTHING: Mapping[str, Any] = {}

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


class Reference(NamedTuple):
    uuid: str
    attr: Any = None


class Object(NamedTuple):
    """type is hyphenated. properties: by wire name, those of `FIELDS`. references: by hyphenated type of the target.
    created: ISO 8601, empty where `FIELDS` does not ask for id_perms.

    A tuple, because a hundred thousand of them are made at once.
    """

    type: str
    uuid: str
    fq_name: tuple[str, ...]
    parent_type: str | None
    parent: str | None
    properties: Mapping[str, Any]
    references: Mapping[str, tuple[Reference, ...]]
    created: str = ""

    @property
    def name(self) -> str:
        """As people know it: the last part of the fq_name."""
        return self.fq_name[-1]

    def targets(self, kind: str) -> list[str]:
        return [reference.uuid for reference in self.references.get(kind, ())]

    @classmethod
    def read(cls, kind: str, body: Any) -> "Object":
        """The same from what may be one already: the watch has made it when it came."""
        return body if isinstance(body, cls) else cls.parse(kind, body)

    @classmethod
    def parse(cls, kind: str, body: Mapping[str, Any]) -> "Object":
        """From the JSON object of a list or an event."""
        fields, links, timed = _PARTS[kind]
        properties = {field: value for field in fields if (value := body.get(field)) is not None}
        references = {
            target: tuple([Reference(row["uuid"], row.get("attr")) for row in rows])
            for field, target in links
            if (rows := body.get(field)) is not None
        } if links else _NOTHING  # fmt: skip
        created = ((body.get("id_perms") or {}).get("created") or "") if timed else ""
        return cls(
            kind, body["uuid"], tuple(body["fq_name"]), body.get("parent_type"), body.get("parent_uuid"),
            properties, references, created,
        )  # fmt: skip


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
        changed = self.begin(delta.events)
        self.revision = delta.revision
        self.whole = True
        return changed

    def begin(self, events: Sequence[Event]) -> set[Fact]:
        """The same of the beginning of a delta; until the rest is applied, the cache is on its way."""
        self.whole = False
        changed: set[Fact] = set()
        for event in events:
            self._take(event, changed)
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
                found = Object.read(kind, body)
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
            self._put(Object.read(event.type, event.object), changed)

    def _put(self, found: Object, changed: set[Fact]) -> None:
        uuid = found.uuid
        before = self._objects.get(uuid)
        links = _links(found)
        if before is None:
            self._by_type[found.type].add(uuid)
            changed.update((uuid, name_of(uuid)), links)
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
    links: list[Fact] = [
        ("referrers", reference.uuid, kind) for references in found.references.values() for reference in references
    ]  # spelt out, for there are many
    if found.parent is not None:
        links.append(children_of(found.parent, kind))
    address = found.properties.get("instance_ip_address")
    if address:
        links.append(holders_of(address))
    if kind == "virtual-router":
        links.append(router_of(found.name))
    return links
