"""`POST /plan` of an agent."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from fake_api import FakeApi
from object_graph import Graph

from vrouter.agent import Agent
from vrouter.backends.protocol import BackendSettings
from vrouter.backends.simulator import SimulatorBackend
from vrouter.cache import SLICE
from vrouter.introspect import plan
from vrouter.settings import AgentSettings

Node = tuple[FakeApi, Agent, httpx.AsyncClient]


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """An agent that has applied the lab as revision 1."""
    graph = Graph()
    graph.lab()
    graph.events()
    stop = asyncio.Event()
    async with FakeApi(graph) as api:
        settings = AgentSettings(api.url, "n1", "simulator", introspect_port=0)
        agent = Agent(settings, SimulatorBackend(BackendSettings("n1", create_workloads=True)))
        running = asyncio.create_task(agent.run(stop))
        url = await agent.introspect.listening()
        assert await agent.progress.wait(1, 10.0)
        async with httpx.AsyncClient(base_url=url) as http:
            yield api, agent, http
        stop.set()
        await running


def weight(graph: Graph, uuid: str, weight: int) -> dict[str, Any]:
    body = {**graph.objects[uuid][1], "loadbalancer_member_properties": {"protocol_port": 8080, "weight": weight}}
    return {"operation": "update", "type": "loadbalancer-member", "uuid": uuid, "object": body}


async def test_it_answers_what_would_change_and_changes_nothing(node: Node) -> None:
    api, agent, http = node
    applied = dict(agent.reconciler.applied)
    answer = await http.post("/plan", json={"base": 1, "changes": [weight(api.graph, "ma", 0)]})
    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert (page["node"], page["revision"]) == ("n1", {"base": 1, "seen": 1})
    (unit,) = page["units"]
    assert (unit["change"], unit["key"]) == ("changes", ["vip", 5, "10.0.0.100"])
    assert [len(unit[side]["listeners"][0]["members"]) for side in ("before", "after")] == [2, 1]
    assert unit["lines"][1] == {
        "depth": 1, "sign": "-", "text": "10.0.0.1:8080 (d:p:if-a): no new connections; its open ones go on",
        "cuts": False,
    }  # fmt: skip
    assert [(reason["uuid"], reason["name"], reason["code"]) for reason in page["found"]] == [
        ("ma", "ma", "weight-zero")
    ]
    assert page["lost"] == []
    assert agent.reconciler.applied == agent.compiler.desired == applied
    assert not agent.compiler.pending


async def test_it_waits_for_the_revision_that_was_planned_on(node: Node) -> None:
    api, _, http = node
    changes = [weight(api.graph, "ma", 0)]
    asking = asyncio.create_task(http.post("/plan", json={"base": 2, "changes": changes}))
    api.graph.delete("mb")
    api.publish()
    page = (await asking).json()
    assert page["revision"] == {"base": 2, "seen": 2}
    assert (
        page["units"][0]["lines"][0]["text"] == "tcp port 80: 0 members instead of 1: every new connection is refused"
    )


async def test_it_says_which_revisions_it_compared(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PATIENCE", 0.0)
    _, _, http = node
    assert (await http.post("/plan", json={"base": 9, "changes": []})).json()["revision"] == {"base": 9, "seen": 1}
    assert (await http.post("/plan", json={"base": 0, "changes": []})).json()["revision"] == {"base": 0, "seen": 1}


async def test_not_while_everything_is_read_anew(node: Node) -> None:
    api, agent, http = node
    for number in range(SLICE):
        api.graph.put("virtual-machine", f"vm-{number}")
    reading = agent.cache.replace(api.graph.snapshot())
    next(reading)
    answer = await http.post("/plan", json={"base": 0, "changes": []})
    assert (answer.status_code, answer.json()["error"]) == (
        503, "this agent has not read all objects of the API server yet",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "the body is not JSON"),
        (b"", "the body is not JSON"),
        (b"[]", 'an object is expected: {"base": revision'),
        (b'{"base": "x", "changes": []}', 'an object is expected: {"base": revision'),
        (b"{}", "changes must be a list, as a dry run answers them"),
        (b'{"changes": [1]}', "change 1 is not an object"),
    ],
)
async def test_a_bad_body_is_told_what_is_wrong(node: Node, body: bytes, text: str) -> None:
    answer = await node[2].post("/plan", content=body)
    assert answer.status_code == 400
    assert text in answer.json()["error"]


async def test_a_body_has_an_end(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "LARGEST", 1000)
    body = orjson.dumps({"changes": [], "more": "x" * 1000})
    answer = await node[2].post("/plan", content=body)
    assert (answer.status_code, answer.json()["error"]) == (413, "the body is larger than 1000 bytes")
    assert (await node[2].get("/plan")).status_code == 405
