"""`/status/nodes` and `/status/wait`: how far each node is, and whether a change has arrived. On both databases."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from serverlab import create, listening, replicas

from api_server.app import create_app
from api_server.routes import waiting as route
from api_server.settings import Settings
from api_server.store import nodes as stored

AGENT = {
    "version": "1.2", "backend": "simulator", "problems": ["no IPv6"],
    "units": {"done": 4, "pending": 0, "error": 1},
    "reasons": [{"type": "loadbalancer", "uuid": "u", "name": "d:p:web", "code": "backend", "text": "no room"}],
    "more_reasons": 2,
}  # fmt: skip
CONFIG = ["default-global-system-config"]


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest) -> Settings:
    return Settings(database=request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def remote(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=10) as client:
        yield client


async def report(client: httpx.AsyncClient, node: str, revision: int, **more: Any) -> None:
    answer = await client.post("/status", json={"node": node, "revision": revision, **more})
    assert answer.status_code == 200, answer.text


async def newest(client: httpx.AsyncClient) -> int:
    return int((await client.get("/healthz")).headers["x-revision"])


async def change(client: httpx.AsyncClient, name: str) -> int:
    await create(client, "virtual-network", name)
    return await newest(client)


async def waited(client: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await client.get("/status/wait", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def named(rows: list[dict[str, Any]]) -> list[str]:
    return [row["node"] for row in rows]


async def test_what_a_node_is_told_to_be(remote: httpx.AsyncClient) -> None:
    router = await create(remote, "virtual-router", [*CONFIG, "n1"])
    await create(remote, "virtual-router", [*CONFIG, "n2"])
    applied = await newest(remote)
    await report(remote, "n1", applied, agent=AGENT)
    await change(remote, "late")
    before = await newest(remote)
    nodes = (await remote.get("/status/nodes")).json()["nodes"]
    assert named((await remote.get("/status")).json()["nodes"]) == ["n1", "n2"]
    first, second = nodes
    assert first.items() >= {
        "node": "n1", "state": "reporting", "virtual_router": router["uuid"], "revision": applied, "behind": 1,
        "silent_since": None, "stale": False, "agent": AGENT,
    }.items()  # fmt: skip
    assert first["behind_since"].endswith("Z")
    assert 0 <= first["age"] < 60
    assert second.items() >= {"node": "n2", "state": "never reported", "revision": None, "agent": None}.items()
    one = (await remote.get("/status/nodes/n1")).json()["node"]
    assert {**one, "age": 0} == {**first, "age": 0}
    assert await newest(remote) == before  # a report takes no revision

    await report(remote, "n1", before)  # without `agent`: that is as it was
    one = (await remote.get("/status/nodes/n1")).json()["node"]
    assert (one["revision"], one["behind"], one["behind_since"], one["agent"]) == (before, 0, None, AGENT)
    answer = await remote.get("/status/nodes/n3")
    assert (answer.status_code, answer.text) == (
        404, "No node n3: none has reported, and there is no virtual-router of that name",
    )  # fmt: skip


async def test_contrails_nodes_are_another_thing(remote: httpx.AsyncClient) -> None:
    await report(remote, "n1", 1)
    assert (await remote.get("/nodes")).json() == {"nodes": []}


async def test_a_node_is_forgotten_and_goes_with_its_virtual_router(remote: httpx.AsyncClient) -> None:
    router = await create(remote, "virtual-router", [*CONFIG, "n1"])
    await report(remote, "n1", 1)
    await report(remote, "n2", 1)
    assert (await remote.delete("/status/nodes/n2")).status_code == 200
    assert (await remote.delete("/status/nodes/n2")).status_code == 404
    assert named((await remote.get("/status/nodes")).json()["nodes"]) == ["n1"]
    await remote.delete("/status/nodes/n1")
    assert (await remote.get("/status/nodes/n1")).json()["node"]["state"] == "never reported"
    await report(remote, "n1", 1)
    assert (await remote.delete(f"/virtual-router/{router['uuid']}")).status_code == 200
    assert (await remote.get("/status/nodes")).json()["nodes"] == []


async def test_waiting_ends_with_the_last_report(remote: httpx.AsyncClient) -> None:
    old = await newest(remote)
    await report(remote, "n1", old)
    await report(remote, "n2", old, agent=AGENT)
    assert await waited(remote) | {"failing": 0} == {
        "revision": old, "reached": True, "nodes": 2, "missing": [], "failing": 0,
    }  # fmt: skip
    wanted = await change(remote, "one")
    waiting = asyncio.create_task(waited(remote, timeout=60))
    await report(remote, "n1", wanted)
    found = await waited(remote, revision=wanted, timeout=0.1)
    assert (found["reached"], named(found["missing"]), waiting.done()) == (False, ["n2"], False)
    assert found["missing"][0].items() >= {"revision": old, "behind": wanted - old, "state": "reporting"}.items()
    await report(remote, "n2", wanted)
    async with asyncio.timeout(10):
        found = await waiting
    assert (found["revision"], found["reached"], named(found["failing"])) == (wanted, True, ["n2"])


async def test_what_is_not_written_yet_has_arrived_nowhere(remote: httpx.AsyncClient) -> None:
    old = await newest(remote)
    await report(remote, "n1", old)
    found = await waited(remote, revision=old + 1, timeout=0)
    assert (found["reached"], named(found["missing"])) == (False, ["n1"])
    wanted = await change(remote, "one")
    await report(remote, "n1", wanted)
    assert (await waited(remote, revision=wanted, timeout=0))["reached"]


async def test_a_change_that_is_not_for_a_node_has_arrived_there(remote: httpx.AsyncClient) -> None:
    ours = await create(remote, "virtual-network", "ours")
    old = await newest(remote)
    await report(remote, "n1", old, scopes=[ours["uuid"], "node:n1"])
    theirs = await change(remote, "theirs")
    assert (await waited(remote, revision=theirs, timeout=0))["reached"]
    one = (await remote.get("/status/nodes/n1")).json()["node"]
    assert (one["revision"], one["behind"], one["behind_since"], one["scopes"]) == (old, 0, None, 2)
    await remote.put(f"/virtual-network/{ours['uuid']}", json={"virtual-network": {"display_name": "x"}})
    found = await waited(remote, timeout=0)
    assert (found["reached"], found["missing"][0]["behind"]) == (False, 1)
    await report(remote, "n1", found["revision"])
    assert (await waited(remote, timeout=0))["reached"]
    await report(remote, "n1", old, scopes=None)
    assert not (await waited(remote, timeout=0))["reached"]


async def test_what_nobody_speaks_of_waits_for_those_only_for_whom_it_is(remote: httpx.AsyncClient) -> None:
    balancer, ours = await create(remote, "loadbalancer", "lb"), await create(remote, "virtual-network", "ours")
    written = await newest(remote)
    words = []
    for scopes in (None, [ours["uuid"]], []):
        await report(remote, "n1", 0, scopes=scopes)
        found = (await remote.get(f"/status/loadbalancer/{balancer['uuid']}")).json()["status"]
        words.append(found["provisioning_status"])
    assert words == ["PENDING_UPDATE", "ACTIVE", "ACTIVE"]
    await report(remote, "n1", written, scopes=None)
    found = (await remote.get(f"/status/loadbalancer/{balancer['uuid']}")).json()["status"]
    assert found["provisioning_status"] == "ACTIVE"


async def test_a_node_that_never_came_is_missing(remote: httpx.AsyncClient) -> None:
    await create(remote, "virtual-router", [*CONFIG, "n2"])
    await report(remote, "n1", 10_000)
    found = await waited(remote, timeout=0)
    assert (named(found["missing"]), found["missing"][0]["state"], found["nodes"]) == (["n2"], "never reported", 2)
    for query in ({"except": "n2"}, {"except": "n3,n2"}, {"ignore_silent": "1"}):
        found = await waited(remote, timeout=0, **query)
        assert (found["reached"], found["nodes"]) == (True, 1)
    waiting = asyncio.create_task(waited(remote, timeout=60))
    await report(remote, "n2", 10_000)
    async with asyncio.timeout(10):
        assert (await waiting)["reached"]


async def test_a_silent_node(app: FastAPI, remote: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    old = await newest(remote)
    await report(remote, "n1", old)
    await report(remote, "n2", old)
    wanted = await change(remote, "one")
    now = stored.now() + int(stored.STALE * 1000) + 1000
    monkeypatch.setattr(stored, "now", lambda: now)
    await report(remote, "n1", wanted)
    waiting = asyncio.create_task(waited(remote, timeout=60, ignore_silent="true"))
    found = await waited(remote, timeout=0.1, ignore_silent="true")
    assert named(found["missing"]) == ["n2"]  # nobody has noticed yet
    await app.state.service.store.sweep()
    async with asyncio.timeout(10):
        assert (await waiting)["reached"]
    (missing,) = (await waited(remote, timeout=0))["missing"]
    assert (missing["node"], missing["state"], missing["silent_since"]) == ("n2", "silent", missing["reported"])
    assert (await waited(remote, revision=old, timeout=0))["reached"]  # that it has applied


WRONG = [
    ("revision=x", "revision must be a number from 0: x"),
    ("revision=-1", "revision must be a number from 0: -1"),
    ("timeout=soon", "timeout must be a number of seconds from 0: soon"),
    ("timeout=-1", "timeout must be a number of seconds from 0: -1"),
    ("timeout=nan", "timeout must be a number of seconds from 0: nan"),
    ("ignore_silent=maybe", "ignore_silent must be true or false: maybe"),
]

WRONG_SCOPES: list[tuple[Any, str]] = [
    ("all", "scopes must be null or a list of at most 1000"),
    ([""] * 1001, "scopes must be null or a list of at most 1000"),
    (["a", 7], "scopes[1] must be a text of at most 300 characters"),
    (["a\tb"], "scopes must be uuids, or names of nodes"),
]

WRONG_AGENTS: list[tuple[Any, str]] = [
    ([], "agent must be an object"),
    ({"colour": "red"}, "agent.colour is no field"),
    ({"version": 1}, "agent.version must be a text of at most 255"),
    ({"backend": "x" * 256}, "agent.backend must be a text of at most 255"),
    ({"problems": ["x"] * 51}, "agent.problems must be a list of at most 50"),
    ({"problems": [1]}, r"agent.problems\[0\] must be a text of at most 1000"),
    ({"units": 3}, "agent.units must be an object"),
    ({"units": {"lost": 1}}, "agent.units.lost is no field"),
    ({"units": {"done": -1}}, "agent.units.done must be a number from 0"),
    ({"reasons": [{}] * 51}, "agent.reasons must be a list of at most 50"),
    ({"reasons": [{}, 1]}, r"agent.reasons\[1\] must be an object"),
    ({"reasons": [{"text": "x" * 1001}]}, r"agent.reasons\[0\].text must be a text of at most 1000"),
    ({"reasons": [{"why": ""}]}, r"agent.reasons\[0\].why is no field"),
    ({"more_reasons": True}, "agent.more_reasons must be a number from 0"),
]


async def test_what_is_wrong_is_told_its_field(client: httpx.AsyncClient) -> None:
    for query, words in WRONG:
        answer = await client.get(f"/status/wait?{query}")
        assert (answer.status_code, answer.text) == (400, f"Bad Request, {words}")
    for scopes, words in WRONG_SCOPES:
        answer = await client.post("/status", json={"node": "n", "revision": 1, "scopes": scopes})
        assert (answer.status_code, answer.text) == (400, f"Bad Request, {words}")
    for agent, words in WRONG_AGENTS:
        answer = await client.post("/status", json={"node": "n", "revision": 1, "agent": agent})
        assert answer.status_code == 400, agent
        assert re.search(words, answer.text), answer.text


async def test_there_is_an_end_to_waiting(
    app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "MOST", 1)
    await report(client, "n1", 0)
    waiting = asyncio.create_task(waited(client, revision=10_000, timeout=60))
    while not app.state.service.waiting:
        await asyncio.sleep(0)
    answer = await client.get("/status/wait")
    assert (answer.status_code, answer.text) == (503, "There are 1 who wait already, which is the limit")
    await report(client, "n1", 10_000)
    assert (await waiting)["reached"]


async def test_who_waits_hears_that_the_server_stops(settings: Settings) -> None:
    async with httpx.AsyncClient(timeout=10) as client:
        async with listening(app := create_app(settings)) as url:
            await client.post(f"{url}/status", json={"node": "n1", "revision": 0})
            waiting = asyncio.create_task(client.get(f"{url}/status/wait?revision=10000&timeout=60"))
            while not app.state.service.waiting:
                await asyncio.sleep(0.01)
            assert "vaportrail_waiting 1.0" in (await client.get(f"{url}/metrics")).text
        answer = await waiting
    assert (answer.status_code, answer.text) == (503, "The API server is stopping")


async def test_two_servers_on_one_database_wait_for_the_same(postgres_url: str) -> None:
    async with replicas(postgres_url) as ((_, here), (other, there)):
        await report(here, "n1", 0)
        waiting = asyncio.create_task(waited(there, timeout=60))
        while not other.state.service.waiting:
            await asyncio.sleep(0.01)
        await report(here, "n1", await newest(here))
        async with asyncio.timeout(10):
            assert (await waiting)["reached"]


async def test_figures_of_nodes(client: httpx.AsyncClient) -> None:
    await create(client, "virtual-router", [*CONFIG, "n2"])
    applied = await newest(client)
    await report(client, "n1", applied, agent=AGENT)
    await change(client, "late")
    text = (await client.get("/metrics")).text
    assert 'vaportrail_node_behind_revisions{node="n1"} 1.0' in text
    assert re.search(r'vaportrail_node_behind_seconds\{node="n1"\} \d', text)
    assert re.search(r'vaportrail_node_report_age_seconds\{node="n1"\} \d', text)
    assert 'vaportrail_node_failed_units{node="n1"} 1.0' in text
    for state, count in (("reporting", 1.0), ("silent", 0.0), ("never reported", 1.0)):
        assert f'vaportrail_nodes{{state="{state}"}} {count}' in text
    await report(client, "n1", await newest(client))
    text = (await client.get("/metrics")).text
    assert 'vaportrail_node_behind_revisions{node="n1"} 0.0' in text
    assert 'vaportrail_node_behind_seconds{node="n1"} 0.0' in text
