"""The objects as the change log tells them, revision by revision, and what must hold after each of them."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """object: after it, {} of a delete. data: as sent."""

    operation: str
    type: str
    uuid: str
    object: dict[str, Any]
    data: bytes = b""


Revision = tuple[int, list[Change]]


@dataclass(slots=True)
class Model:
    """Grows with the log. values: uuid -> (revision, token or None) after each change, in order. writes: token ->
    (revision, operation, uuid) of each change that wrote it. ends: uuid -> the revisions that deleted it."""

    revision: int = 0
    objects: dict[str, Change] = field(default_factory=dict)
    values: dict[str, list[tuple[int, str | None]]] = field(default_factory=lambda: defaultdict(list))
    writes: dict[str, list[tuple[int, str, str]]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    parents: dict[str, str | None] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    _children: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _users: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _owners: dict[tuple[str, ...], str] = field(default_factory=dict)

    def extend(self, log: Iterable[Revision]) -> list[str]:
        """Take what follows; returns what is wrong with it."""
        wrong: list[str] = []
        for number, changes in log:
            if number != self.revision + 1:
                wrong.append(f"revision {number} follows {self.revision} in the log")
            self.revision = number
            touched = [self._take(number, change, wrong) for change in changes]
            # A revision is whole: what holds between objects holds after all of its changes.
            for uuid in touched:
                wrong += [f"revision {number}: {text}" for text in self._partial(uuid)]
        return wrong

    def value(self, uuid: str, revision: int) -> str | None:
        """The token that an object had at a revision; None: it was not there."""
        values = self.values.get(uuid, [])
        place = bisect_right(values, revision, key=lambda value: value[0])
        return values[place - 1][1] if place else None

    def forget(self) -> None:
        """What has been: the objects that are there now stay."""
        self.writes.clear()
        self.ends.clear()
        for known in (self.values, self.parents, self.types):
            for uuid in [uuid for uuid in known if uuid not in self.objects]:
                del known[uuid]

    def _take(self, number: int, change: Change, wrong: list[str]) -> str:
        uuid, before = change.uuid, self.objects.pop(change.uuid, None)
        if (before is None) != (change.operation == "create"):
            wrong.append(f"revision {number}: {change.operation} of {change.type} {uuid}, which is "
                         f"{'absent' if before is None else 'there'}")  # fmt: skip
        if before is not None:
            self._unlink(before)
        if change.operation == "delete":
            self.values[uuid].append((number, None))
            self.ends[uuid].append(number)
            return uuid
        self.objects[uuid] = change
        token = str(change.object.get("display_name", ""))
        if self.value(uuid, number) != token:  # else the write was about something else
            self.writes[token].append((number, change.operation, uuid))
        self.values[uuid].append((number, token))
        self.parents[uuid], self.types[uuid] = change.object.get("parent_uuid"), change.type
        if before is not None and version(before) >= version(change):
            wrong.append(f"revision {number}: {change.type} {uuid} goes from {version(before)} to {version(change)}")
        for target in targets(change):
            self._users[target].add(uuid)
        wrong += [
            f"revision {number}: {' '.join(key)} is of {uuid} and of {other}"
            for key in unique(change)
            if (other := self._owners.setdefault(key, uuid)) != uuid
        ]
        return uuid

    def _unlink(self, change: Change) -> None:
        for target in targets(change):
            self._users[target].discard(change.uuid)
        for key in unique(change):
            if self._owners.get(key) == change.uuid:
                del self._owners[key]

    def _partial(self, uuid: str) -> Iterator[str]:
        if change := self.objects.get(uuid):
            for target in targets(change):
                if target not in self.objects:
                    yield f"{change.type} {uuid} needs {target}, which is absent"
            if change.type == "virtual-network" and not any(
                self.objects[user].type == "routing-instance" for user in self._users[uuid] if user in self.objects
            ):
                yield f"virtual-network {uuid} has no routing-instance"
        else:
            for user in self._users.get(uuid, ()):
                if user in self.objects:
                    yield f"{self.objects[user].type} {user} needs {uuid}, which is absent"


def version(change: Change) -> str:
    return str(change.object["id_perms"]["last_modified"])


def targets(change: Change) -> Iterator[str]:
    """The parent of an object and what it refers to."""
    if parent := change.object.get("parent_uuid"):
        yield parent
    for name, value in change.object.items():
        if name.endswith("_refs"):
            for reference in value:
                yield reference["uuid"]


def unique(change: Change) -> Iterator[tuple[str, ...]]:
    """What no two objects may have."""
    yield (change.type, *change.object["fq_name"])
    if change.type == "instance-ip" and (address := change.object.get("instance_ip_address")):
        for network in change.object.get("virtual_network_refs", ()):
            yield ("address", network["uuid"], address)
    if number := change.object.get("virtual_network_network_id"):
        yield ("network id", str(number))
