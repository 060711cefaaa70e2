"""`GET /changes`: who changed what, when, and what it was before; on both databases."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from serverlab import PROJECT, create, running

from api_server.app import create_app
from api_server.settings import Settings
from api_server.store import Store

Change = dict[str, Any]
BY = {"X-Request-Id": "req-mine", "X-User": "eve"}


@pytest.fixture(params=["sqlite", "postgres"])
async def client(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    if request.param == "postgres":
        settings = settings.model_copy(update={"database": request.getfixturevalue("postgres_url")})
    app = create_app(settings)
    async with running(app) as client:
        client.app = app  # type: ignore[attr-defined]
        yield client


def store(client: httpx.AsyncClient) -> Store:
    app: FastAPI = client.app  # type: ignore[attr-defined]
    found: Store = app.state.service.store
    return found


async def page(client: httpx.AsyncClient, **query: object) -> dict[str, Any]:
    answer = await client.get("/changes", params={name: str(value) for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["X-Revision"] == str(found["revision"])
    return found


async def walk(client: httpx.AsyncClient, since: object, **query: object) -> list[Change]:
    """All pages."""
    found: list[Change] = []
    while since is not None:
        one = await page(client, since=since, **query)
        found += one["changes"]
        since = one["next"]
    return found


async def rename(client: httpx.AsyncClient, uuid: str, name: str | None, **headers: str) -> None:
    body = {"loadbalancer": {"display_name": name}}
    answer = await client.put(f"/loadbalancer/{uuid}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text


async def test_an_object_from_its_create_to_its_delete(client: httpx.AsyncClient) -> None:
    made = await create(client, "loadbalancer", "lb")
    first = (await page(client))["revision"]
    await rename(client, made["uuid"], "one", **BY)
    await rename(client, made["uuid"], None)
    await client.delete(f"/loadbalancer/{made['uuid']}")
    found = await page(client, uuid=made["uuid"])
    assert found["next"] is None
    assert [change["operation"] for change in found["changes"]] == ["create", "update", "update", "delete"]
    assert [change["revision"] - first for change in found["changes"]] == [0, 1, 2, 3]
    created, named, unnamed, deleted = found["changes"]
    assert named == {
        "revision": first + 1, "time": named["time"], "user": "eve", "request_id": "req-mine", "operation": "update",
        "type": "loadbalancer", "uuid": made["uuid"], "fq_name": [*PROJECT, "lb"],
        "fields": {"display_name": {"old": "lb", "new": "one"}},
    }  # fmt: skip
    assert unnamed["fields"] == {"display_name": {"old": "one", "new": None}}
    assert unnamed["user"] == ""
    assert "fields" not in created | deleted
    detailed = await page(client, uuid=made["uuid"], detail="true")
    assert [change["object"].get("display_name") for change in detailed["changes"]] == ["lb", "one", None, None]


async def test_filters(client: httpx.AsyncClient) -> None:
    start = (await page(client))["revision"]
    await create(client, "loadbalancer", "lb-0")
    client.headers.update(BY)
    await create(client, "loadbalancer", "lb-1")
    del client.headers["X-User"], client.headers["X-Request-Id"]
    await create(client, "virtual-network", "vn")
    await create(client, "loadbalancer", "lb-2")
    wanted: list[tuple[dict[str, Any], list[str]]] = [
        ({"since": start, "type": "virtual-network"}, ["vn"]),
        ({"since": start, "type": "virtual_network"}, ["vn"]),
        ({"request_id": "req-mine"}, ["lb-1"]),
        ({"user": "eve"}, ["lb-1"]),
        ({"fq_name_str": ":".join([*PROJECT, "lb-0"])}, ["lb-0"]),
        ({"type": "loadbalancer", "last": 2}, ["lb-1", "lb-2"]),
        ({"type": "loadbalancer", "last": 1000}, ["lb-0", "lb-1", "lb-2"]),
        ({"type": "loadbalancer", "user": "nobody"}, []),
        ({"uuid": "none"}, []),
    ]
    for query, names in wanted:
        assert [change["fq_name"][-1] for change in (await page(client, **query))["changes"]] == names, query


async def test_pages_go_on_where_they_end_also_within_a_revision(client: httpx.AsyncClient) -> None:
    start = (await page(client))["revision"]
    operations = [
        {"method": "POST", "path": "/projects", "body": {"project": {"fq_name": ["default-domain", f"p{number}"]}}}
        for number in range(120)
    ]
    answer = await client.post("/transaction", json={"operations": operations})
    assert answer.status_code == 200, answer.text
    for number in range(5):
        await create(client, "loadbalancer", f"lb-{number}")
    whole = await walk(client, start)
    assert len(whole) >= 125
    assert await walk(client, start, limit=7) == whole
    assert (await page(client, last=100))["changes"] == whole[-100:]
    until = await walk(client, start, until=start + 3, limit=50)
    assert until == [change for change in whole if change["revision"] <= start + 3]


async def test_what_is_compacted_is_gone(client: httpx.AsyncClient) -> None:
    made = await create(client, "loadbalancer", "lb")
    for name in ("a", "b", "c"):
        await rename(client, made["uuid"], name)
    newest = (await page(client))["revision"]
    assert await store(client).write(lambda tx: tx.compact(2, "", 1000)) == (newest - 2, newest)
    for query in ({"since": newest - 3}, {"since": newest + 1}):
        refused = await client.get("/changes", params=query, headers={"Accept": "application/json"})
        assert refused.status_code == 410
        assert refused.headers["X-Oldest-Revision"] == str(newest - 2)
        assert refused.json()["error"]["oldest"] == newest - 2
    left = await page(client)
    assert (left["compacted"], left["revision"]) == (newest - 2, newest)
    assert [change["fields"]["display_name"] for change in left["changes"]] == [{"new": "b"}, {"old": "b", "new": "c"}]
    assert (await page(client, since=newest - 2))["changes"] == (await page(client, last=5))["changes"]


async def test_one_can_wait_for_the_next(client: httpx.AsyncClient) -> None:
    newest = (await page(client))["revision"]
    assert (await page(client, since=newest, wait=0.01))["changes"] == []
    waiting = asyncio.create_task(page(client, since=newest, type="virtual-network", wait=30))
    await create(client, "loadbalancer", "lb")
    await create(client, "virtual-network", "vn")
    assert [change["fq_name"] for change in (await waiting)["changes"]] == [[*PROJECT, "vn"]]


async def test_refusals_name_the_parameter(client: httpx.AsyncClient) -> None:
    for query, status, word in (
        ("since=x", 400, "since"),
        ("since=1.x", 400, "since"),
        ("until=-1", 400, "until"),
        ("limit=0", 400, "limit"),
        ("limit=1001", 400, "limit"),
        ("last=0", 400, "last"),
        ("last=1&since=1", 400, "last"),
        ("wait=x", 400, "wait"),
        ("type=foo", 404, "foo"),
    ):
        refused = await client.get(f"/changes?{query}")
        assert refused.status_code == status, query
        assert word in refused.text
