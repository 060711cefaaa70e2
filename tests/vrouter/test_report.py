"""What an agent says of its services, how it tells the server, and that nothing waits for that."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from ipaddress import IPv4Address
from typing import Any

from introspected import Node
from object_graph import Graph
from world import World

from api_client import ApiClient, Unreachable
from vrouter.backends.protocol import BackendError, BackendSettings, Operation
from vrouter.backends.simulator import SimulatorBackend
from vrouter.progress import Progress
from vrouter.reconciler import Reconciler
from vrouter.report import Reporter
from vrouter.settings import AgentSettings
from vrouter.state import Vip
from vrouter.status import Statuses
from vrouter.summary import MOST, Summary


class Server(ApiClient):
    """rows: what it has of the node. heard: the rows of each report. said: what came with it: the revision, and what
    the agent says of itself. away: it does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, dict[str, Any]] = {}
        self.heard: list[list[Mapping[str, Any]]] = []
        self.said: list[tuple[int, Mapping[str, Any] | None]] = []
        self.away = False
        self.asked = asyncio.Event()

    async def statuses_of(self, node: str) -> Sequence[dict[str, Any]]:
        self.asked.set()
        if self.away:
            raise Unreachable(self.url, "away")
        return list(self.rows.values())

    async def report_status(
        self,
        node: str,
        revision: int,
        rows: Sequence[Mapping[str, Any]],
        agent: Mapping[str, Any] | None = None,
        scopes: Collection[str] | None = None,
    ) -> Sequence[str]:
        self.asked.set()
        if self.away:
            raise Unreachable(self.url, "away")
        self.heard.append(list(rows))
        self.said.append((revision, agent))
        for row in rows:
            if row["state"] is None:
                del self.rows[row["uuid"]]
            else:
                self.rows[row["uuid"]] = dict(row)
        return []

    @property
    def states(self) -> dict[str, str]:
        return {uuid: row["state"] for uuid, row in self.rows.items()}


class Life:
    """One life of an agent, as far as it reports: `settle` is what its loop does for a change."""

    def __init__(self, world: World, clock: float = 1000.0, backend: type[SimulatorBackend] = SimulatorBackend) -> None:
        self.world, self.now = world, clock
        self.backend = backend(BackendSettings("n1", create_workloads=True))
        self.reconciler = Reconciler(self.backend, world.compiler.desired)
        self.progress = Progress()
        self.statuses = Statuses(world.cache, world.compiler, self.reconciler, lambda: self.now)
        whole = asyncio.Event()
        whole.set()
        settings = AgentSettings("http://nowhere", "n1", "simulator")
        summary = Summary(settings, self.backend, world.cache, world.compiler, self.reconciler)
        self.reporter = Reporter("n1", self.statuses, self.progress, whole, summary)

    async def settle(self) -> None:
        self.world.follow()
        await self.reconciler.reconcile(self.reconciler.everything())
        await self.progress.apply(self.world.cache.revision)
        self.reporter.touch()


@asynccontextmanager
async def reporting(
    world: World, server: Server, clock: float = 1000.0, backend: type[SimulatorBackend] = SimulatorBackend
) -> AsyncIterator[Life]:
    life = Life(world, clock, backend)
    await life.reconciler.start()
    await life.settle()
    task = asyncio.create_task(life.reporter.run(server))
    try:
        yield life
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await life.reconciler.close()


async def until(server: Server, **states: str | None) -> None:
    """Of members."""
    async with asyncio.timeout(10):
        while any(server.states.get(uuid) != state for uuid, state in states.items()):
            server.asked.clear()
            await server.asked.wait()


def lab() -> World:
    graph = Graph()
    graph.lab()
    return World(graph)


def weight(world: World, member: str, value: int) -> None:
    world.graph.change(member, loadbalancer_member_properties={"address": "", "protocol_port": 8080, "weight": value})


async def test_only_what_has_changed_is_told() -> None:
    world, server = lab(), Server()
    async with reporting(world, server) as life:
        await until(server, ma="NO_MONITOR", mb="NO_MONITOR")
        assert server.states["lb"] == "ONLINE"
        before = len(server.heard)
        weight(world, "ma", 0)
        await life.settle()
        await until(server, ma="DRAINING")
        told = [row["uuid"] for rows in server.heard[before:] for row in rows]
        assert told == ["ma"]
        world.graph.delete("ma")
        await life.settle()
        await until(server, ma=None)
        assert server.heard[-1] == [{"uuid": "ma", "state": None}]


async def test_a_service_that_nothing_touched_is_not_looked_at() -> None:
    world = lab()
    world.graph.service("other", "vn", "10.0.0.101", 80)
    world.follow()
    life = Life(world)
    await life.reconciler.start()
    await life.settle()
    life.statuses.update(1, 100)
    weight(world, "ma", 0)
    world.follow()
    assert life.statuses.touch()
    seen = life.statuses.take_changed()
    assert {"ma", "lb", "other"} <= seen
    life.statuses.update(2, 1)
    assert not life.statuses.pending
    assert life.statuses.take_changed() == {"ma"}
    await life.reconciler.close()


async def test_a_drain_goes_on_since_an_earlier_life() -> None:
    world, server = lab(), Server()
    weight(world, "ma", 0)
    async with reporting(world, server, clock=1000.0):
        await until(server, ma="DRAINING")
    assert server.rows["ma"]["since"] == "1970-01-01T00:16:40.000+00:00"
    again = World(world.graph)
    async with reporting(again, server, clock=5000.0) as life:
        weight(again, "mb", 0)
        life.now = 6000.0
        await life.settle()
        await until(server, mb="DRAINING")
    assert server.rows["ma"]["since"] == "1970-01-01T00:16:40.000+00:00"
    assert server.rows["mb"]["since"] == "1970-01-01T01:40:00.000+00:00"


async def test_a_server_that_is_away_hears_of_the_difference_when_it_is_back() -> None:
    world, server = lab(), Server()
    async with reporting(world, server) as life:
        await until(server, ma="NO_MONITOR")
        server.away = True
        weight(world, "ma", 0)
        server.asked.clear()
        await life.settle()
        async with asyncio.timeout(10):
            await server.asked.wait()
            while life.reporter.error is None:
                await asyncio.sleep(0)
        assert "away" in life.reporter.error
        server.rows["stale"] = {
            "uuid": "stale", "state": "ERROR", "provisioning": "ACTIVE", "reason": "", "revision": 1,
            "since": "1970-01-01T00:00:01.000+00:00",
        }  # fmt: skip
        before, server.away = len(server.heard), False
        await until(server, ma="DRAINING", stale=None)
        assert sorted(row["uuid"] for rows in server.heard[before:] for row in rows) == ["ma", "stale"]
        assert life.reporter.error is None


async def test_how_far_a_drain_is(node: Node) -> None:
    connections = [node.backend.connect("if-c", IPv4Address("10.0.0.100"), 80) for _ in range(20)]
    to_a = sum(getattr(one, "member", None) == "if-a" for one in connections)
    properties = {"address": "", "protocol_port": 8080, "weight": 0}
    node.graph.change("ma", loadbalancer_member_properties=properties)
    await node.agent.progress.wait(node.api.publish(), 10)
    async with asyncio.timeout(10):
        while not (rows := [row for row in await node.get("/statuses", q="ma") if row["state"] == "DRAINING"]):
            await asyncio.sleep(0.01)
    assert rows[0]["connections"] == to_a > 0
    (answer,) = (await node.get("/why", q="ma"))["answers"]
    assert any(f"{to_a} connection" in one["text"] and "draining since" in one["text"] for one in answer["lines"])


async def test_how_far_a_node_is_and_what_it_could_not_make() -> None:
    world, server = lab(), Server()
    world.graph.member("lost", "pool-lb-80", address="10.0.0.77")
    world.follow()
    async with reporting(world, server) as life:
        await until(server, ma="NO_MONITOR")
        revision, agent = server.said[0]
        assert revision == world.cache.revision
        assert agent is not None
        assert (agent["version"], agent["backend"], agent["problems"]) == (version("vaportrail"), "simulator", [])
        assert agent["units"] == {"done": len(world.compiler.desired), "pending": 0, "error": 0}
        (lost,) = [one for one in agent["reasons"] if one["uuid"] == "lost"]
        assert (lost["type"], lost["name"][-4:]) == ("loadbalancer-member", "lost")
        assert "10.0.0.77" in lost["text"]
        assert agent["more_reasons"] == 0

        before = len(server.said)
        await life.progress.apply(revision + 5)  # which changed nothing that is said here
        life.reporter.touch()
        async with asyncio.timeout(10):
            while server.said[-1][0] != revision + 5:
                server.asked.clear()
                await server.asked.wait()
        assert server.said[before:] == [(revision + 5, None)]
        assert server.heard[-1] == []


class Small(SimulatorBackend):
    """Has no room for VIPs."""

    def apply(self, operations: Sequence[Operation]) -> list[BackendError | None]:
        done = super().apply([one for one in operations if not isinstance(one.unit, Vip)])
        answers = iter(done)
        return [BackendError("no room") if isinstance(one.unit, Vip) else next(answers) for one in operations]


async def test_what_the_backend_could_not_make_is_told_first_and_there_is_an_end_to_it() -> None:
    world, server = lab(), Server()
    for number in range(MOST):
        world.graph.member(f"lost-{number}", "pool-lb-80", address=f"10.0.1.{number}")
    world.follow()
    async with reporting(world, server, backend=Small):
        await until(server, ma="NO_MONITOR")
        agent = server.said[0][1]
    assert agent is not None
    assert agent["units"] == {"done": len(world.compiler.desired) - 1, "pending": 0, "error": 1}
    assert agent["reasons"][0] == {
        "type": "loadbalancer", "uuid": "lb", "name": "d:p:lb", "code": "backend",
        "text": "VIP 10.0.0.100 in VRF 5 could not be made: no room",
    }  # fmt: skip
    assert (len(agent["reasons"]), agent["more_reasons"]) == (MOST, 1)
