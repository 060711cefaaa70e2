"""A watcher of scopes holds its part of what everybody holds, whatever happens, wherever it comes back."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from store_objects import create, link, make, updating
from store_schema import take_back

from api_server.store import (
    Create,
    Delete,
    Event,
    Limits,
    Object,
    Pace,
    Store,
    Subscription,
    Transaction,
    Update,
    changes,
    concerns,
    upgrade,
)
from api_server.store.engine import NAME, Database
from api_server.store.events import encode
from api_server.store.names import field
from api_server.store.reader import Reader
from api_server.store.session import Session, Statement
from api_server.store.sight import events_of
from api_server.store.tables import concern

SEEDS = 2
QUICK = Limits(pace=Pace(pause=0, bookmark=0.02))
ALL = Statement(sa.select(concern.c.uuid, concern.c.scope))
ROWS = Statement(sa.text("select sum(seq_tup_read + idx_tup_fetch) from pg_stat_xact_user_tables"))
# type -> (parents, what it refers to)
SHAPE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "project": ((), ()),
    "network-policy": (("project",), ()),
    "network-ipam": (("project",), ()),
    "virtual-network": (("project",), ("network-policy", "network-ipam")),
    "virtual-machine": ((), ()),
    "virtual-router": ((), ("virtual-machine",)),
    "virtual-machine-interface": (("project", "virtual-machine"), ("virtual-network", "virtual-machine")),
    "instance-ip": ((), ("virtual-network", "virtual-machine-interface")),
    "floating-ip-pool": (("virtual-network",), ()),
    "floating-ip": (("instance-ip", "floating-ip-pool"), ("virtual-machine-interface",)),
    "loadbalancer": (("project",), ("virtual-machine-interface",)),
    "loadbalancer-listener": (("project",), ("loadbalancer",)),
    "loadbalancer-healthmonitor": (("project",), ()),
    "loadbalancer-pool": (("project",), ("loadbalancer-listener", "loadbalancer-healthmonitor")),
    "loadbalancer-member": (("loadbalancer-pool",), ()),
}
WATCHED = frozenset(SHAPE) - {"project"}


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = await Store.open(url, QUICK)
    yield store
    await store.close()


class World:
    """Random changes of a few objects of each type, and what there is of them after each revision."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.objects: dict[str, Object] = {}
        self.count = 0

    def of(self, *types: str) -> list[Object]:
        return [one for one in self.objects.values() if one.type in types]

    def made(self) -> Object | None:
        kind = self.chance.choice(list(SHAPE))
        parents = SHAPE[kind][0]
        standing = self.of(*parents)
        if parents and not standing:
            return None
        self.count += 1
        one = make(kind, f"{kind}-{self.count}", self.chance.choice(standing) if parents else None)
        return self.linked(one)

    def linked(self, one: Object) -> Object:
        """With other references."""
        for kind in SHAPE[one.type][1]:
            one.references.pop(field(kind), None)
            targets = self.of(kind)
            some = self.chance.sample(targets, min(len(targets), self.chance.choice([0, 1, 1, 2])))
            link(one, *some)
        return one

    def step(self, tx: Transaction) -> None:
        """One change, of those that are possible."""
        what = self.chance.choice(["make", "make", "link", "touch", "delete"])
        if what == "make" or not self.objects:
            if one := self.made():
                tx.apply(Create(one))
                self.objects[one.uuid] = one
            return
        before = tx.get(self.chance.choice(list(self.objects)))
        assert before is not None
        if what == "delete":
            if not self.needed(before):
                tx.apply(Delete(before))
                del self.objects[before.uuid]
            return
        after = before.copy()
        if what == "link":
            self.linked(after)
        else:
            after.properties["display_name"] = str(self.chance.random())
        tx.apply(Update(before, after))
        self.objects[after.uuid] = after

    def needed(self, one: Object) -> bool:
        return any(one.uuid in (other.parent_uuid, *other.targets(one.type)) for other in self.objects.values())

    def scopes(self) -> list[str]:
        names = [f"node:{one.fq_name[-1]}" for one in self.of("virtual-router")]
        return [
            one.uuid for one in self.of("virtual-network", "network-policy", "network-ipam", "floating-ip-pool")
        ] + names


def present(reader: Reader, scopes: Collection[str]) -> dict[str, dict[str, Any]]:
    """What everybody sees of these scopes, by uuid."""
    uuids = [uuid for kind in WATCHED for uuid in reader.concerned(kind, scopes)]
    return {one.uuid: told(orjson.loads(encode(one, orjson.dumps(one.properties)))) for one in reader.get_many(uuids)}


def told(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "id_perms"}


class Watcher:
    """Holds what it is told, as an agent does; comes back now and then, with other scopes."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.scopes: frozenset[str] = frozenset()
        self.held: dict[str, dict[str, Any]] = {}
        self.revision = 0
        self._subscription: Subscription | None = None

    async def come_back(self, scopes: frozenset[str]) -> None:
        """As `GET /watch?since=&scope=&enter=&leave=` does it."""

        def step(reader: Reader) -> int:
            with reader.snapshot() as revision:
                self.take(events_of(reader.scoped_changes(self.scopes, self.revision), WATCHED))
                entered = [reader.concerned(kind, scopes - self.scopes, without=self.scopes) for kind in WATCHED]
                for one in reader.get_many([uuid for some in entered for uuid in some]):
                    assert one.uuid not in self.held
                    self.held[one.uuid] = told(orjson.loads(encode(one, orjson.dumps(one.properties))))
                for kind in WATCHED:
                    for uuid in reader.concerned(kind, self.scopes - scopes, without=scopes):
                        del self.held[uuid]
                return revision

        self.go()
        self.revision = await self.store.read(step)
        self.scopes = scopes

    async def follow(self) -> None:
        """All that is there for it now."""
        if self._subscription is None:
            self._subscription = await self.store.feed.subscribe(WATCHED, self.revision, scopes=self.scopes)
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.5 if self._subscription.queued < self.store.feed.revision else 0):
                    chunk = await anext(self._subscription)
                self.take(chunk.events)
                self.revision = chunk.revision

    def take(self, events: Iterable[Event]) -> None:
        for event in events:
            assert (event.uuid in self.held) == (event.operation != "create"), event
            if event.operation == "delete":
                del self.held[event.uuid]
            else:
                self.held[event.uuid] = told(orjson.loads(event.object))

    def go(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None


def stored(url: str) -> set[tuple[str, str]]:
    with Database.at(url).engine.connect() as connection:
        return {(row.uuid, row.scope) for row in connection.execute(sa.select(concern))}


def rebuilt(url: str) -> set[tuple[str, str]]:
    """From nothing, by the same rules; undone."""
    session = Session(Database.at(url))
    session.connect()
    try:
        with session.transaction(session.database.begin_write):
            concerns.rebuild(session)
            session.discard = True
            return {(row[0], row[1]) for row in session.all(ALL)}
    finally:
        session.close()


@pytest.mark.parametrize("seed", [0, *(pytest.param(one, marks=pytest.mark.slow) for one in range(1, SEEDS))])
async def test_a_watcher_of_scopes_holds_its_part_of_everything(url: str, seed: int) -> None:
    chance = random.Random(seed)
    store = await Store.open(url, QUICK)
    world, watchers = World(chance), [Watcher(store) for _ in range(3)]
    for _ in range(30):
        for _ in range(chance.choice([1, 1, 3])):
            steps = chance.choice([1, 1, 4])
            await store.write(lambda tx, steps=steps: [world.step(tx) for _ in range(steps)])  # type: ignore[misc]
        for watcher in watchers:
            match chance.choice(["follow", "follow", "go", "come back", "wait"]):
                case "follow":
                    await watcher.follow()
                    scopes = watcher.scopes
                    assert watcher.held == await store.read(lambda reader, of=scopes: present(reader, of))
                case "go":
                    watcher.go()
                case "come back":
                    scopes = frozenset(chance.sample(known := world.scopes(), min(len(known), chance.randrange(4))))
                    await watcher.come_back(scopes)
                    assert watcher.held == await store.read(lambda reader, of=scopes: present(reader, of))
    await store.close()
    standing = stored(url)
    assert standing == rebuilt(url)
    with Database.at(url).engine.begin() as connection:
        take_back(connection, "0006")
    assert upgrade(url)
    assert stored(url) == standing


async def test_what_is_due_to_scopes(store: Store) -> None:
    one, two = make("virtual-network", "one"), make("virtual-network", "two")
    machine, router = make("virtual-machine", "m"), make("virtual-router", "n1")
    await create(store, one, two, machine, router)
    await create(store, link(make("virtual-machine-interface", "i"), one, machine))

    async def due(*scopes: str, after: int = 0, upto: int = 9) -> int | None:
        return await store.read(lambda reader: reader.due(scopes, after, upto))

    assert [await due(one.uuid), await due(two.uuid, one.uuid, after=1), await due(two.uuid, after=1)] == [1, 2, None]
    assert await due(one.uuid, after=2) is None
    assert await due(one.uuid, after=1, upto=1) is None
    await store.write(updating(router.uuid, lambda one: link(one, machine)))
    assert [await due("node:n1", after=1), await due("node:n2"), await due(one.uuid, after=2)] == [3, None, 3]
    await store.write(lambda tx: tx.compact(1, "", 10))
    assert await due("node:n2") == 1, "nobody knows what was there"
    assert await due("node:n2", after=2) is None


async def test_a_change_is_nothing_to_those_who_watch_something_else(store: Store) -> None:
    """No chunk at all: no event, no bookmark."""
    one, two = make("virtual-network", "one"), make("virtual-network", "two")
    await create(store, one, two)
    mine, other = [await store.feed.subscribe(scopes=[network.uuid]) for network in (one, two)]
    waiting = [asyncio.ensure_future(anext(subscription)) for subscription in (mine, other)]
    await asyncio.sleep(0)
    interface = link(make("virtual-machine-interface", "i"), one)
    await create(store, interface)
    assert [event.uuid for event in (await waiting[0]).events] == [interface.uuid]
    await asyncio.sleep(3 * QUICK.pace.bookmark)
    assert not waiting[1].done()
    mine.close()
    other.close()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_log_of_many_pages(store: Store) -> None:
    """Revisions that fill a page just so, and others."""
    networks = [make("virtual-network", name) for name in ("one", "two")]
    await create(store, *networks)
    logged = [[(1, one.uuid)] for one in networks]
    full = changes.PAGE
    for revision, sizes in enumerate([(0, 1), (full - 1, 0), (1, 1), (full + 1, 2), (3, full), (2, 2)], start=2):
        made = [[interface(network) for _ in range(size)] for network, size in zip(networks, sizes, strict=True)]
        assert await create(store, *made[0], *made[1]) == revision
        for log, some in zip(logged, made, strict=True):
            log += [(revision, one.uuid) for one in some]

    async def read(*scopes: str, after: int) -> list[tuple[int, str]]:
        def call(reader: Reader) -> list[tuple[int, str]]:
            with reader.snapshot():
                return [(change.revision, change.uuid) for change in reader.scoped_changes(scopes, after)]

        return await store.read(call)

    one, two = [network.uuid for network in networks]
    for after in range(9):
        first, second = ([each for each in log if each[0] > after] for log in logged)
        assert await read(one, after=after) == first
        assert await read(two, "none", after=after) == second
        assert sorted(await read(one, two, after=after)) == sorted(first + second)


async def test_of_a_log_no_more_is_looked_at_than_is_wanted(url: str) -> None:
    """However much of it is of another scope, or follows."""
    store = await Store.open(url)
    loud, quiet = make("virtual-network", "loud"), make("virtual-network", "quiet")
    await create(store, quiet, loud)
    calls: list[Callable[[Session], Any]] = [
        lambda session: changes.scoped_page(session, [quiet.uuid], 0),
        lambda session: changes.scoped_page(session, [quiet.uuid], 1),
        lambda session: changes.scoped_page(session, [loud.uuid], 0),
        lambda session: changes.due(session, [quiet.uuid], 1, changes.bounds(session).newest),
        lambda session: changes.due(session, [loud.uuid], 1, changes.bounds(session).newest),
        lambda session: changes.page(session, changes.bounds(session).newest - 1),
        lambda session: concerns.forget(session, 1),
    ]
    work = []
    for _ in range(2):
        for _ in range(100):
            await create(store, *[interface(loud) for _ in range(10)])
        if not store.sqlite:
            with Database.at(url).engine.begin() as connection:
                connection.execute(sa.text("analyze"))  # it knows what there is, as it does in the long run
        work.append([looked_at(url, call) for call in calls])
    await store.close()
    for before, after in zip(*work, strict=True):
        assert after <= before * 1.1 + 5, work


def interface(network: Object) -> Object:
    one = make("virtual-machine-interface", "")
    return link(replace(one, fq_name=(one.uuid,)), network)


def looked_at(url: str, call: Callable[[Session], Any]) -> int:
    """Rows on PostgreSQL; on SQLite instructions of its virtual machine, which count them."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    class Metered(Database):
        def connect(self, name: str = NAME) -> Any:
            connection = super().connect(name)
            if self.sqlite:
                connection.set_progress_handler(step, 1)
            return connection

    session = Session(Metered.at(url))
    with session.transaction(session.database.begin_write):
        call(session)
        if not session.sqlite:
            steps = int(session.all(ROWS)[0][0])
        session.discard = True
    session.close()
    return steps
