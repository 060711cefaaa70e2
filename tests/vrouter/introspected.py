"""An agent on the simulator with its server, and a client of its introspection."""

from typing import Any

import httpx
from fake_api import FakeApi

from vrouter.agent import Agent
from vrouter.backends.simulator import SimulatorBackend


class Node:
    """An agent with its server, and a client of its introspection."""

    def __init__(self, api: FakeApi, agent: Agent, backend: SimulatorBackend, http: httpx.AsyncClient) -> None:
        self.api = api
        self.graph = api.graph
        self.agent = agent
        self.backend = backend
        self.http = http

    async def get(self, path: str, status: int = 200, **parameters: Any) -> Any:
        answer = await self.http.get(path, params=parameters)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def publish(self) -> None:
        assert await self.agent.progress.wait(self.api.publish(), 10.0)

    async def why(self, question: str) -> list[str]:
        answers = (await self.get("/why", q=question))["answers"]
        signs = {True: "+", False: "-", None: " "}
        return [f"{signs[line['good']]} {line['text']}" for answer in answers for line in answer["lines"]]
