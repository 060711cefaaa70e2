import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fake_api import FakeApi
from object_graph import Graph

from vrouter.agent import Agent
from vrouter.backends.protocol import BackendError, BackendSettings, Operation
from vrouter.backends.simulator import SimulatorBackend
from vrouter.settings import AgentSettings
from vrouter.state import Key, Unit, Vip

SETTINGS = BackendSettings("n1", create_workloads=True)


class RecordingBackend(SimulatorBackend):
    """calls: every operation ever asked of it."""

    def __init__(self) -> None:
        super().__init__(SETTINGS)
        self.calls: list[Operation] = []

    def apply(self, operations: Sequence[Operation]) -> list[BackendError | None]:
        self.calls += operations
        return super().apply(operations)

    @property
    def services(self) -> dict[str, list[str]]:
        """VIP -> interfaces that answer for it."""
        return {str(unit.address): list(unit.backends) for unit in self.observe() if isinstance(unit, Vip)}


@asynccontextmanager
async def running(url: str, backend: SimulatorBackend) -> AsyncIterator[Agent]:
    agent, stop = Agent(AgentSettings(url, "n1", "simulator", introspect_port=0), backend), asyncio.Event()
    task = asyncio.create_task(agent.run(stop))
    try:
        yield agent
    finally:
        stop.set()
        async with asyncio.timeout(2.0):
            await task


async def reached(agent: Agent, revision: int) -> None:
    assert await agent.progress.wait(revision, 10.0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not condition():
            await asyncio.sleep(0)


def waits(agent: Agent) -> bool:
    """For a server that does not answer."""
    return bool((watch := agent.introspect.sources.watch) and watch.error)


def lab() -> Graph:
    graph = Graph()
    graph.lab()
    graph.events()
    return graph


async def test_objects_become_forwarding_and_changes_follow() -> None:
    backend = RecordingBackend()
    async with FakeApi(lab()) as api, running(api.url, backend) as agent:
        await reached(agent, 1)
        assert backend.services == {"10.0.0.100": ["if-a", "if-b"]}
        backend.calls.clear()
        api.graph.delete("mb")
        await reached(agent, api.publish())
        assert backend.services == {"10.0.0.100": ["if-a"]}
        assert len(backend.calls) == 1


async def test_an_agent_started_before_the_server_waits(capsys: pytest.CaptureFixture[str]) -> None:
    backend = RecordingBackend()
    async with FakeApi(lab()) as api:
        await api.stop()
        async with running(api.url, backend) as agent:
            await agent.introspect.listening()
            await until(lambda: waits(agent))
            assert backend.calls == []
            await api.start()
            await reached(agent, 1)
            assert backend.services == {"10.0.0.100": ["if-a", "if-b"]}
    said = capsys.readouterr().out
    assert "waiting for the API server" in said
    assert api.url in said


async def test_without_the_server_forwarding_goes_on_and_the_difference_follows() -> None:
    backend = RecordingBackend()
    async with FakeApi(lab()) as api, running(api.url, backend) as agent:
        await reached(agent, 1)
        await api.stop()
        backend.calls.clear()
        api.graph.delete("ma")
        revision = api.publish()
        assert backend.services == {"10.0.0.100": ["if-a", "if-b"]}
        await api.start()
        await reached(agent, revision)
        assert backend.services == {"10.0.0.100": ["if-b"]}
        assert len(backend.calls) == 1
        assert api.requests[-1] == 1


async def test_after_a_compacted_log_only_the_difference_is_applied() -> None:
    backend = RecordingBackend()
    async with FakeApi(lab()) as api, running(api.url, backend) as agent:
        await reached(agent, 1)
        await api.stop()
        backend.calls.clear()
        api.graph.delete("ma")
        revision = api.publish()
        api.compact()
        await api.start()
        await reached(agent, revision)
        assert backend.services == {"10.0.0.100": ["if-b"]}
        assert len(backend.calls) == 1
        assert api.requests[-2:] == [1, None]


async def test_a_restart_changes_nothing() -> None:
    backend = RecordingBackend()
    async with FakeApi(lab()) as api:
        async with running(api.url, backend) as agent:
            await reached(agent, 1)
        assert backend.services == {"10.0.0.100": ["if-a", "if-b"]}
        backend.calls.clear()
        async with running(api.url, backend) as agent:
            await reached(agent, 1)
            assert agent.reconciler.status[("vip", 5, "10.0.0.100")].state == "done"
        assert backend.calls == []


async def test_a_restart_removes_what_went_away_meanwhile_but_not_before_it_knows() -> None:
    backend, api = RecordingBackend(), FakeApi(lab())
    async with api:
        async with running(api.url, backend) as agent:
            await reached(agent, 1)
        api.graph.delete("lb", "fip-lb", "ma")
        revision = api.publish()
        await api.stop()
        async with running(api.url, backend) as agent:
            await until(lambda: waits(agent))
            assert backend.services == {"10.0.0.100": ["if-a", "if-b"]}
            await api.start()
            await reached(agent, revision)
            assert backend.services == {}


async def test_a_revision_that_changes_nothing_here_is_reached_too() -> None:
    async with FakeApi(lab()) as api, running(api.url, RecordingBackend()) as agent:
        await reached(agent, 1)
        await reached(agent, api.publish())
        assert agent.progress.applied.at > 0
        assert not await agent.progress.wait(99, 0.0)


@pytest.mark.parametrize("key", [("vip", 5, "10.0.0.100"), ("interface", "if-a")])
async def test_what_somebody_removes_comes_back_and_is_counted(key: Key) -> None:
    backend = RecordingBackend()
    async with FakeApi(lab()) as api, running(api.url, backend) as agent:
        await reached(agent, 1)
        await agent.reconciler.ask(lambda: backend.lose(key))
        repairs = agent.reconciler.repairs
        await until(lambda: repairs.counts == {key[0]: 1})
        assert backend.services == {"10.0.0.100": ["if-a", "if-b"]}
        assert repairs.last
        assert repairs.last.drift.unit == key
        assert not repairs.waiting


async def test_it_is_repaired_while_the_server_is_away() -> None:
    backend = RecordingBackend()
    async with FakeApi(lab()) as api, running(api.url, backend) as agent:
        await reached(agent, 1)
        await api.stop()
        await agent.reconciler.ask(lambda: backend.lose(("interface", "if-a")))
        await until(lambda: agent.reconciler.repairs.counts.total() == 1)
        assert backend.services == {"10.0.0.100": ["if-a", "if-b"]}


async def test_it_stops_within_two_seconds_with_questions_open() -> None:
    async with FakeApi(lab()) as api:
        async with running(api.url, RecordingBackend()) as agent:
            await reached(agent, 1)
            host, port = (await agent.introspect.listening()).removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /wait?revision=99&timeout=300 HTTP/1.1\r\nhost: x\r\n\r\n")
            await writer.drain()
        writer.close()
        await reader.read()


async def test_the_server_is_read_while_what_stands_is() -> None:
    backend, read = RecordingBackend(), threading.Event()
    observe = backend.observe

    def slowly() -> list[Unit]:
        assert read.wait(10.0)
        return observe()

    backend.observe = slowly  # type: ignore[method-assign]
    async with FakeApi(lab()) as api, running(api.url, backend) as agent:
        await until(lambda: agent.cache.revision == 1)
        assert backend.calls == []
        read.set()
        await reached(agent, 1)
        assert backend.services == {"10.0.0.100": ["if-a", "if-b"]}


async def test_a_backend_that_cannot_serve_ends_the_agent() -> None:
    class Impossible(SimulatorBackend):
        def open(self) -> None:
            raise BackendError("this machine has no network", permanent=True)

    agent = Agent(AgentSettings("http://127.0.0.1:1", "n1", introspect_port=0), Impossible(SETTINGS))
    with pytest.raises(BackendError, match="no network"):
        await agent.run(asyncio.Event())


async def test_a_taken_introspect_port_is_named_and_nothing_made() -> None:
    backend = RecordingBackend()
    async with FakeApi(lab()) as api:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            settings = AgentSettings(api.url, "n1", introspect_port=port)
            with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
                await Agent(settings, backend).run(asyncio.Event())
    assert backend.calls == []  # perhaps another agent of this node has it


async def test_many_changes_while_the_backend_works_are_one_round() -> None:
    class Slow(RecordingBackend):
        gate: Any = None

        def apply(self, operations: Sequence[Operation]) -> list[BackendError | None]:
            if self.gate:
                self.gate.result(10)
            return super().apply(operations)

    backend = Slow()
    async with FakeApi(lab()) as api, running(api.url, backend) as agent:
        await reached(agent, 1)
        gate: Future[None] = Future()
        backend.gate = gate
        backend.calls.clear()
        for weight in range(2, 30):
            api.graph.member("ma", "pool-lb-80", vmi="if-a", weight=weight)
            revision = api.publish()
        await until(lambda: agent.progress.seen.revision == revision)
        gate.set_result(None)
        await reached(agent, revision)
        assert len(backend.calls) <= 3
        (vip,) = [unit for unit in backend.observe() if isinstance(unit, Vip)]
        assert vip.backends["if-a"].weight == 29
