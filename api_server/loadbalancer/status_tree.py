"""The trees of load balancers with what nodes report of them, read in one statement or two for each level, whatever
their number."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import orjson

from api_server.loadbalancer.status import OPERATING, Operating, Provisioning, Said, Status, Subject, join
from api_server.store import Reader, Record, split

LOADBALANCER, LISTENER, POOL, MEMBER, MONITOR = (
    "loadbalancer", "loadbalancer-listener", "loadbalancer-pool", "loadbalancer-member", "loadbalancer-healthmonitor",
)  # fmt: skip
FAMILY = (LOADBALANCER, LISTENER, POOL, MEMBER, MONITOR)

# What is told of an object beside its status, as in Octavia's tree: the column of its properties -> the word.
_SHOWN: Mapping[str, tuple[str, ...]] = {
    LOADBALANCER: ("vip_address",), LISTENER: ("protocol", "protocol_port"), POOL: ("protocol",),
    MEMBER: ("address", "protocol_port", "weight"), MONITOR: ("monitor_type",),
}  # fmt: skip


def statuses(reader: Reader, objects: Mapping[str, str]) -> dict[str, Status]:
    """By uuid, of `objects` (uuid -> type) and of those from which theirs is seen. Those that are not there are left
    out. What is above an object counts, too: below a load balancer that is down nothing is in use."""
    found: dict[str, Status] = {}
    with reader.snapshot():
        wanted = _above(reader, objects)
        for kind in (*FAMILY, *sorted(set(wanted.values()) - set(FAMILY))):
            uuids = [uuid for uuid, of in wanted.items() if of == kind and uuid not in found]
            for top in _read(reader, kind, uuids) if uuids else ():
                _flatten(join(top), found)
    return {uuid: found[uuid] for uuid in wanted if uuid in found}


def _flatten(status: Status, found: dict[str, Status]) -> None:
    """A pool of several listeners is in use if one of them is."""
    other = found.get(status.subject.uuid)
    if other is None or OPERATING.index(other.operating) < OPERATING.index(status.operating):
        found[status.subject.uuid] = status
    for one in status.below:
        _flatten(one, found)


def _above(reader: Reader, objects: Mapping[str, str]) -> dict[str, str]:
    """uuid -> type, with those above."""
    found = dict(objects)
    for kind, target in ((MEMBER, POOL), (POOL, LISTENER), (LISTENER, LOADBALANCER)):
        uuids = [uuid for uuid, of in found.items() if of == kind]
        if not uuids:
            continue
        links = () if kind == MEMBER else (target,)
        for record in reader.records(kind, uuids=uuids, properties=False, references=links):
            parent = [record.parent_uuid] if kind == MEMBER and record.parent_uuid else []
            found |= dict.fromkeys([*parent, *(link.uuid for link in record.references)], target)
    return found


def _read(reader: Reader, type: str, uuids: Sequence[str]) -> list[Subject]:
    """Objects of a type with all below them."""
    tree = _Tree(reader)
    links = (MONITOR,) if type == POOL else ()
    records = reader.records(type, uuids=uuids, properties=type in FAMILY, references=links)
    tops = tree.add(type, records)
    if type in (LOADBALANCER, LISTENER):
        tree.descend(LISTENER if type == LOADBALANCER else POOL, {one.uuid: one for one in tops})
    elif type == POOL:
        tree.complete(records)
    tree.hear()
    return tops


class _Tree:
    """subjects: all that were read so far, by uuid."""

    def __init__(self, reader: Reader) -> None:
        self.subjects: dict[str, Subject] = {}
        self._reader = reader

    def add(self, type: str, records: Iterable[Record]) -> list[Subject]:
        found = [_subject(type, record) for record in records]
        self.subjects |= {one.uuid: one for one in found}
        return found

    def descend(self, type: str, parents: Mapping[str, Subject]) -> None:
        """To the listeners of load balancers, and from listeners to pools and their monitors."""
        target = LOADBALANCER if type == LISTENER else LISTENER
        links = (target, MONITOR) if type == POOL else (target,)
        if not parents:
            return
        records = self._reader.records(type, back_refs=list(parents), references=links)
        found = {one.uuid: one for one in self.add(type, records)}
        for record in records:
            for link in record.references:
                if link.type == target and link.uuid in parents:
                    parents[link.uuid].below.append(found[record.uuid])
        if type == LISTENER:
            self.descend(POOL, found)
        else:
            self.complete(records)

    def complete(self, pools: Sequence[Record]) -> None:
        """Pools that were read, with members and monitors."""
        if not pools:
            return
        self._monitors(pools)
        records = self._reader.records(MEMBER, parents=[pool.uuid for pool in pools])
        for one, record in zip(self.add(MEMBER, records), records, strict=True):
            self.subjects[record.parent_uuid or ""].below.append(one)

    def _monitors(self, pools: Sequence[Record]) -> None:
        links = [(pool.uuid, link.uuid) for pool in pools for link in pool.references if link.type == MONITOR]
        if links:
            records = self._reader.records(MONITOR, uuids=[monitor for _, monitor in links])
            found = {one.uuid: one for one in self.add(MONITOR, records)}
            for pool, monitor in links:
                self.subjects[pool].below.append(found[monitor])

    def hear(self) -> None:
        """What nodes say of all that were read."""
        rows = self._reader.status_rows(list(self.subjects))
        revisions = self._reader.revisions(list(self.subjects))
        for uuid, one in self.subjects.items():
            one.revision = revisions.get(uuid, 0)
            one.said = [
                Said(
                    row.node, cast(Operating, row.state), cast(Provisioning, row.provisioning), row.reason, row.since,
                    max(row.revision, row.applied), row.reported, bool(row.stale),
                )
                for row in rows.get(uuid, ())
            ]  # fmt: skip
        self._compare()

    def _compare(self) -> None:
        """Whether all nodes know of the last change of what none of them speaks of."""
        applied = self._reader.least_applied()
        unknown = []
        for one in self.subjects.values():
            one.behind = applied < one.revision
            if one.behind and all(said.stale for said in one.said):
                unknown.append(one)
        if applied < 0 or not unknown:
            return
        nodes = [node for node in self._reader.nodes() if node.reported and not node.stale]
        for one in unknown:
            one.behind = not all(node.has(one.revision) for node in nodes)


def _subject(type: str, record: Record) -> Subject:
    name = f"{type.replace('-', '_')}_properties"
    properties: dict[str, Any] = orjson.loads(record.properties).get(name) or {}
    shown = {word: properties[word] for word in _SHOWN.get(type, ()) if properties.get(word) is not None}
    up = properties.get("admin_state") is not False
    return Subject(type, record.uuid, split(type, record.fq_name), 0, up, shown=shown)
