"""Whatever happens, every watcher saw exactly the log from where it began: a machine that knows what was written.

Writes of one and of several events, writes that fail, watchers that read little, break off and come back to another
server with the id of their last frame, servers that start again, compaction. What a watcher got is compared with what
the writes said they did, not with the log.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count as counted
from itertools import groupby
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from store_objects import deleting, link, make, updating

from api_server.errors import Conflict, Gone
from api_server.store import Create, Limits, Object, Pace, Store, Subscription, Transaction
from api_server.store.events import Event

TIGHT = Limits(pace=Pace(pause=0.001, bookmark=0.01, behind=4_000, recent=6_000))
NUMBERS = counted()
SEEDS = st.integers(0, 2**32)
Told = tuple[int, str, str]
"""Revision, operation, uuid."""


@dataclass
class Watcher:
    """began: after this revision. place: that of its last id. told: since it began."""

    types: frozenset[str] | None
    parents: frozenset[str] | None
    began: int
    place: int
    told: list[Told] = field(default_factory=list)
    subscription: Subscription | None = None

    def wants(self, event: Event) -> bool:
        below = self.parents is None or orjson.loads(event.object).get("parent_uuid") in self.parents
        return below and (self.types is None or event.type in self.types)


def machine(url: str, stores: int) -> type[RuleBasedStateMachine]:
    class Watching(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.runner = asyncio.Runner()
            self.stores: list[Store] = [self.run(Store.open(url, TIGHT)) for _ in range(stores)]
            self.domain = make("domain", f"d-{next(NUMBERS)}")
            self.objects: dict[str, Object] = {}
            self.log: list[Event] = []
            self.start = self.write(0, lambda tx: tx.apply(Create(self.domain.copy())))
            self.watchers: list[Watcher] = []

        def run(self, work: Any) -> Any:
            return self.runner.run(work)

        def write(self, at: int, call: Callable[[Transaction], Any]) -> int:
            """What the write says of itself becomes the truth."""

            def noted(tx: Transaction) -> list[Event]:
                call(tx)
                return list(tx.events)

            events, revision = self.run(self.stores[at % stores].write(noted))
            assert {event.revision for event in events} <= {revision}
            self.log += events
            return int(revision)

        def some(self, seed: int) -> Object:
            return list(self.objects.values())[seed % len(self.objects)]

        # --- writes

        @rule(at=SEEDS, kind=st.sampled_from(["project", "virtual-network"]), parent=SEEDS, count=st.integers(1, 3))
        def creates(self, at: int, kind: str, parent: int, count: int) -> None:
            above = [one for one in self.objects.values() if one.type == "project"]
            if kind != "project" and not above:
                return
            under = self.domain if kind == "project" else above[parent % len(above)]
            made = [make(kind, f"{kind}-{next(NUMBERS)}", under) for _ in range(count)]
            self.write(at, lambda tx: [tx.apply(Create(one.copy())) for one in made])
            self.objects |= {one.uuid: one for one in made}

        @precondition(lambda self: self.objects)
        @rule(at=SEEDS, which=SEEDS, text=st.text("xyz", max_size=300))
        def updates(self, at: int, which: int, text: str) -> None:
            self.write(at, updating(self.some(which).uuid, lambda one: one.properties.update(display_name=text)))

        @precondition(lambda self: self.objects)
        @rule(at=SEEDS, which=SEEDS, to=SEEDS)
        def refers(self, at: int, which: int, to: int) -> None:
            networks = [one for one in self.objects.values() if one.type == "virtual-network"]
            if len(networks) > 1:
                source, other = networks[which % len(networks)], networks[to % len(networks)]
                if source is not other:
                    self.write(at, updating(source.uuid, lambda one: one.references.clear() or link(one, other)))

        @precondition(lambda self: self.objects)
        @rule(at=SEEDS, which=SEEDS)
        def deletes(self, at: int, which: int) -> None:
            one = self.some(which)
            try:
                self.write(at, deleting(one.uuid))
            except Conflict:
                return  # it has children, or others refer to it
            del self.objects[one.uuid]

        @rule(at=SEEDS)
        def fails(self, at: int) -> None:
            def call(tx: Transaction) -> None:
                tx.apply(Create(make("project", f"none-{next(NUMBERS)}", self.domain)))
                raise ValueError("never mind")

            with pytest.raises(ValueError, match="never mind"):
                self.write(at, call)

        # --- watchers

        @precondition(lambda self: len(self.watchers) < 6)
        @rule(at=SEEDS, kind=st.sampled_from(["all", "type", "parent"]), seed=SEEDS)
        def watches(self, at: int, kind: str, seed: int) -> None:
            store = self.stores[at % stores]
            newest = self.run(store.bounds()).newest
            types = frozenset({"virtual-network"}) if kind == "type" else None
            projects = [one.uuid for one in self.objects.values() if one.type == "project"]
            parents = frozenset(projects[seed % len(projects) :][:2]) if kind == "parent" and projects else None
            watcher = Watcher(types, parents, newest, newest)
            self.watchers.append(watcher)
            self.resume(watcher, at)

        def resume(self, watcher: Watcher, at: int) -> None:
            """Gone: it lists again, and so begins with the present."""
            store = self.stores[at % stores]
            try:
                watcher.subscription = self.run(
                    store.feed.subscribe(watcher.types, watcher.place, parents=watcher.parents)
                )
            except Gone:
                watcher.began = watcher.place = self.run(store.bounds()).newest
                watcher.told.clear()
                self.resume(watcher, at)

        @precondition(lambda self: self.watchers)
        @rule(which=SEEDS, at=SEEDS)
        def breaks_off(self, which: int, at: int) -> None:
            watcher = self.watchers[which % len(self.watchers)]
            if watcher.subscription is not None:
                watcher.subscription.close()
            self.resume(watcher, at)

        @precondition(lambda self: self.watchers)
        @rule(which=SEEDS, count=st.integers(1, 3))
        def reads(self, which: int, count: int) -> None:
            watcher = self.watchers[which % len(self.watchers)]

            async def some() -> None:
                for _ in range(count):
                    try:
                        async with asyncio.timeout(0.005):
                            await self.take(watcher)
                    except TimeoutError:
                        return

            self.run(some())

        async def take(self, watcher: Watcher) -> bool:
            """A chunk; False if the watch has ended, of which it knows the reason."""
            assert watcher.subscription is not None
            try:
                chunk = await anext(watcher.subscription)
            except StopAsyncIteration:
                assert watcher.subscription.reason
                return False
            frames = [frame.split(b"\n") for frame in chunk.data.split(b"\n\n")[:-1]]
            ids = [int(line[4:]) for frame in frames for line in frame if line.startswith(b"id: ")]
            assert ids == sorted(set(ids))
            assert all(number > watcher.place for number in ids)
            watcher.told += [(event.revision, event.operation, event.uuid) for event in chunk.events]
            if chunk.events:
                assert ids == [revision for revision, _ in groupby(chunk.events, lambda event: event.revision)]
                assert sum(frame[-1].startswith(b"data: ") for frame in frames) == len(chunk.events)
            watcher.place = max([watcher.place, *ids])
            return True

        # --- what befalls servers

        @rule(at=SEEDS)
        def starts_again(self, at: int) -> None:
            index = at % stores
            self.run(self.stores[index].close())
            self.stores[index] = self.run(Store.open(url, TIGHT))
            for watcher in self.watchers:
                if watcher.subscription is not None and watcher.subscription.reason:
                    self.resume(watcher, at + 1)

        @rule(at=SEEDS, keep=st.integers(0, 8))
        def compacts(self, at: int, keep: int) -> None:
            self.run(self.stores[at % stores].write(lambda tx: tx.compact(keep, "", 1000)))

        # --- in the end

        def teardown(self) -> None:
            try:
                for number, watcher in enumerate(self.watchers):
                    self.run(self.catch_up(watcher, number))
                for watcher in self.watchers:
                    wanted = [
                        (event.revision, event.operation, event.uuid)
                        for event in self.log
                        if event.revision > watcher.began and watcher.wants(event)
                    ]
                    assert watcher.told == wanted
                revisions = [event.revision for event in self.log]
                assert sorted(set(revisions)) == list(range(self.start, max(revisions) + 1))
            finally:
                for store in self.stores:
                    self.run(store.close())
                self.runner.close()

        async def catch_up(self, watcher: Watcher, at: int) -> None:
            newest = max(event.revision for event in self.log)
            store = self.stores[at % stores]
            async with asyncio.timeout(20):
                while watcher.place < newest:
                    if watcher.subscription is None or not await self.take(watcher):
                        try:
                            watcher.subscription = await store.feed.subscribe(
                                watcher.types, watcher.place, parents=watcher.parents
                            )
                        except Gone:
                            watcher.began = watcher.place = (await store.bounds()).newest
                            watcher.told.clear()
                        await asyncio.sleep(0)  # so that it ends in time if nothing ever comes

    return Watching


def check(url: str, stores: int, examples: int) -> None:
    run_state_machine_as_test(
        machine(url, stores),
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None, derandomize=True, database=None,
            phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


def test_on_sqlite(sqlite_url: str) -> None:
    check(sqlite_url, 1, 5)


def test_on_two_servers_of_one_postgresql(postgres_url: str) -> None:
    check(postgres_url, 2, 3)


@pytest.mark.slow
def test_long_on_sqlite(sqlite_url: str) -> None:
    check(sqlite_url, 1, 30)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_long_on_two_servers_of_one_postgresql(postgres_url: str) -> None:
    check(postgres_url, 2, 30)
