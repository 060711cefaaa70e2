"""An agent to ask. The place of this file lets the tests in the folders below find the modules of this one."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fake_api import FakeApi
from introspected import Node
from object_graph import Graph

from vrouter.agent import Agent
from vrouter.backends.protocol import BackendSettings
from vrouter.backends.simulator import SimulatorBackend
from vrouter.settings import AgentSettings


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    graph = Graph()
    graph.lab()
    graph.put("virtual-machine", "vm-c", fq_name=["c"])
    graph.interface("if-c", "vn", "10.0.0.3", machine="vm-c")
    graph.node("n1", "vm-a", "vm-b", "vm-c")
    graph.events()
    backend, stop = SimulatorBackend(BackendSettings("n1", create_workloads=True)), asyncio.Event()
    async with FakeApi(graph) as api:
        agent = Agent(AgentSettings(api.url, "n1", "simulator", introspect_port=0), backend)
        running = asyncio.create_task(agent.run(stop))
        url = await agent.introspect.listening()
        assert await agent.progress.wait(1, 10.0)
        async with httpx.AsyncClient(base_url=url) as http:
            yield Node(api, agent, backend, http)
        stop.set()
        await running
