"""What a write transaction reads: the database, with what the transaction has done so far, which may not be sent yet.

Every object that the transaction touched is remembered, so reading it again costs nothing and needs nothing to be sent.
What is remembered holds for the whole group of writes: writers are serial from the first statement of a group to its
commit, in all processes (`writer`). It holds for the next group, too, if no other process has written in between.
"""

from collections import ChainMap
from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

import sqlalchemy as sa

from api_server.store import counting, loading, names, pools
from api_server.store.objects import Object
from api_server.store.session import Session, Statement
from api_server.store.tables import resource, search_key

_r, _k = resource.c, search_key.c
_BY_KEY = Statement(sa.select(_k.uuid).where(_k.key == sa.bindparam("key")).order_by(_k.uuid))
_BY_KEY_AND_TYPE = Statement(
    sa.select(_k.uuid)
    .join_from(search_key, resource, _r.uuid == _k.uuid)
    .where(_k.key == sa.bindparam("key"), _r.type == sa.bindparam("type"))
    .order_by(_k.uuid)
)


class Known(NamedTuple):
    """What a group of writes, or one of them on top of it, has read and written; None: is not there. The objects are
    not to be changed, nor are the values in their properties."""

    objects: ChainMap[str, Object | None]
    uuids: ChainMap[tuple[str, str], str | None]  # (type, joined fq_name) -> uuid
    names: ChainMap[str, tuple[str, tuple[str, ...]] | None]  # uuid -> (type, fq_name)
    scopes: ChainMap[str, frozenset[str]]  # uuid -> what it concerns (`following`)

    @classmethod
    def nothing(cls) -> "Known":
        return cls(ChainMap(), ChainMap(), ChainMap(), ChainMap())

    def branch(self) -> "Known":
        """For one write: what it learns is forgotten with it if it fails."""
        return Known(
            self.objects.new_child(), self.uuids.new_child(), self.names.new_child(), self.scopes.new_child()
        )  # fmt: skip

    def merge(self, branch: "Known") -> None:
        self.objects.update(branch.objects.maps[0])
        self.uuids.update(branch.uuids.maps[0])
        self.names.update(branch.names.maps[0])
        self.scopes.update(branch.scopes.maps[0])

    def forget(self) -> None:
        for read in (self.objects, self.uuids, self.names, self.scopes):
            for part in read.maps:
                part.clear()

    @property
    def size(self) -> int:
        """How much is known, whatever it stands on."""
        return sum(len(read.maps[0]) for read in (self.objects, self.uuids, self.names, self.scopes))


class View:
    """The reading half of a `Transaction`."""

    def __init__(self, session: Session, known: Known) -> None:
        self._session = session
        self.known = known

    def get(self, uuid: str) -> Object | None:
        found = self._current(uuid)
        return found.copy() if found else None

    def get_many(self, uuids: Sequence[str]) -> list[Object]:
        """In the order asked; missing ones left out. One statement, whatever the number."""
        objects = self.known.objects
        if unknown := [uuid for uuid in dict.fromkeys(uuids) if uuid not in objects]:
            objects.update(dict.fromkeys(unknown))
            self._remember(loading.many(self._session, unknown))
        return [found.copy() for uuid in uuids if (found := objects[uuid])]

    def named(self, type: str, fq_name: Sequence[str]) -> Object | None:
        """An object by its name. Its parent is read in the same statement: who creates below an object looks there
        next, for whom it belongs to and how much of it may be."""
        key = (type, names.join(fq_name))
        objects, uuids = self.known.objects, self.known.uuids
        if key not in uuids:
            found = {one.uuid: one for one in loading.lineage(self._session, *key)}
            uuids[key] = next((uuid for uuid, one in found.items() if (one.type, names.join(one.fq_name)) == key), None)
            objects.update({uuid: one for uuid, one in found.items() if uuid not in objects})
        uuid = uuids[key]
        return self.get(uuid) if uuid is not None else None

    def find(self, type: str, fq_name: Sequence[str]) -> str | None:
        """uuid by name."""
        key = (type, names.join(fq_name))
        uuids = self.known.uuids
        if key not in uuids:
            uuids[key] = loading.find(self._session, *key)
        return uuids[key]

    def identify(self, uuid: str) -> tuple[str, tuple[str, ...]] | None:
        """(type, fq_name) without reading the object."""
        known = self.known
        if uuid in known.objects:
            found = known.objects[uuid]
            return (found.type, found.fq_name) if found else None
        if uuid not in known.names:
            known.names[uuid] = loading.identify(self._session, uuid)
        return known.names[uuid]

    def new_uuid(self) -> str:
        """Of an object to come. It is random, so it is free without asking the database."""
        uuid = str(uuid4())
        self.known.objects[uuid] = None
        return uuid

    def children(self, uuid: str, type: str) -> list[Object]:
        """Children of one type, by creation."""
        self._session.flush()
        return self._remember(loading.children(self._session, uuid, type))

    def implied(self, object: Object) -> list[Object]:
        """The default-named objects below one that is about to go, and go with it: above before below."""
        found: list[Object] = []
        if names.has_children(object.type):
            self._session.flush()
            for uuid in loading.default_children(self._session, object.uuid, object.type):
                if (child := self.get(uuid)) is not None:
                    found += [child, *self.implied(child)]
        return found

    def referrers(self, uuid: str, type: str) -> list[Object]:
        """Objects of one type that reference uuid, by uuid."""
        self._session.flush()
        return self._remember(loading.referrers(self._session, uuid, type))

    def holding(self, type: str, text: str) -> list[Object]:
        """Objects of a type whose properties, as JSON, contain a text; by uuid. Looks through all of the type."""
        self._session.flush()
        return self._remember(loading.holding(self._session, type, text))

    def count(self, way: counting.Way, uuid: str, type: str, *, hidden: bool = True) -> int:
        """How many objects of a type are children or grandchildren of an object, or refer to it; hidden: those with
        `user_visible` false among them."""
        self._session.flush()
        return counting.count(self._session, way, uuid, type, hidden=hidden)

    def by_key(self, key: str, type: str | None = None) -> list[str]:
        """uuids of the objects that declared this search key, in order."""
        self._session.flush()
        if type is None:
            return [row[0] for row in self._session.all(_BY_KEY, key=key)]
        return [row[0] for row in self._session.all(_BY_KEY_AND_TYPE, key=key, type=type)]

    def holder(self, pool: str, number: int) -> str | None:
        """Who holds a number of a pool."""
        return pools.holder(self._session, pool, number)

    def held(self, holder: str) -> list[tuple[str, int]]:
        """(pool, number) of all that somebody holds."""
        return pools.held(self._session, holder)

    def taken(self, pool: str) -> int:
        """How many numbers of a pool are taken."""
        return pools.taken(self._session, [pool])[pool]

    def forget(self) -> None:
        """Rows have changed in another way than through the transaction: what was read of them holds no longer."""
        self._session.flush()
        self.known.forget()

    def _current(self, uuid: str) -> Object | None:
        """The remembered object itself: not to be changed."""
        objects = self.known.objects
        if uuid not in objects:
            objects[uuid] = loading.one(self._session, uuid)
        return objects[uuid]

    def _remember(self, found: list[Object]) -> list[Object]:
        self.known.objects.update({one.uuid: one for one in found})
        return [one.copy() for one in found]
