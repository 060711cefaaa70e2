"""Whatever happens to nodes in whatever order, what is known of them is what a few lines of Python say."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_objects import create, make

from api_server.store import Object, Report, Store, nodes
from api_server.store.objects import Delete

NAMES = ("a", "b", "c")
Step = tuple[str, object]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["report", "report again", "forget", "router"]), st.sampled_from(NAMES)),
        st.tuples(st.just("pass"), st.sampled_from([1.0, nodes.STALE / 2, nodes.STALE + 1, nodes.FORGOTTEN + 1])),
        st.tuples(st.sampled_from(["sweep", "night"]), st.none()),
    ),
    max_size=25,
)


@dataclass
class Known:
    """What is known of a node that has reported and is not forgotten."""

    revision: int
    reached: int
    reported: int
    stale: int = nodes.BELIEVED


class World:
    """The store's nodes, and the same by the book. revision: of the next report that is a new one."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = 1_000_000_000_000
        self.revision = 0
        self.known: dict[str, Known] = {}
        self.routers: dict[str, Object] = {}
        self.config = make("global-system-config", "default-global-system-config")

    async def take(self, step: Step) -> None:
        match step:
            case ("pass", float(seconds)):
                self.now += int(seconds * 1000)
            case ("sweep", None):
                await self.store.sweep()
                self.sweep()
            case ("night", None):
                self.now += int(nodes.FORGOTTEN * 1000) + 1
                for _ in range(2):
                    await self.take(("sweep", None))
            case ("report", str(name)):
                self.revision += 1
                await self.report(name, self.revision)
            case ("report again", str(name)):
                await self.report(name, self.known[name].revision if name in self.known else 0)
            case ("forget", str(name)):
                assert await self.store.forget_node(name) == (name in self.known)
                self.known.pop(name, None)
            case ("router", str(name)) if name in self.routers:
                router = self.routers.pop(name)
                await self.store.write(lambda tx: (tx.apply(Delete(router)), tx.forget_node(name)))
                self.known.pop(name, None)
            case ("router", str(name)):
                self.routers[name] = make("virtual-router", name, self.config)
                await create(self.store, self.routers[name])

    async def report(self, name: str, revision: int) -> None:
        await self.store.report(Report(name, revision))
        before = self.known.get(name)
        reached = before.reached if before is not None and before.revision == revision else self.now
        self.known[name] = Known(revision, reached, self.now)

    def sweep(self) -> None:
        for name, one in list(self.known.items()):
            if one.stale == nodes.BELIEVED and self.now - one.reported > nodes.STALE * 1000:
                one.stale = nodes.SILENT
            elif one.stale == nodes.SILENT and self.now - one.reported > nodes.FORGOTTEN * 1000:
                one.stale = nodes.LEFT
                if name not in self.routers:
                    del self.known[name]

    async def check(self) -> None:
        found = {node.name: node for node in await self.store.read(lambda reader: list(reader.nodes()))}
        assert found.keys() == self.known.keys() | self.routers.keys()
        for name, node in found.items():
            assert node.router == (self.routers[name].uuid if name in self.routers else None)
            one = self.known.get(name, Known(0, 0, 0))
            assert (node.revision, node.reached, node.reported, node.stale) == (
                one.revision, one.reached, one.reported, one.stale,
            )  # fmt: skip


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(STEPS)
async def test_any_history(tmp_path_factory: pytest.TempPathFactory, steps: Sequence[Step]) -> None:
    folder: Path = tmp_path_factory.mktemp("nodes")
    store = await Store.open(f"sqlite:///{folder}/nodes.db")
    try:
        with pytest.MonkeyPatch.context() as patch:
            world = World(store)
            patch.setattr(nodes, "now", lambda: world.now)
            await create(store, world.config)
            for step in steps:
                await world.take(step)
                await world.check()
    finally:
        await store.close()
