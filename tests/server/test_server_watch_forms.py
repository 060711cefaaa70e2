"""What a watch can be asked for beside types: a form, what is below a parent, fields; and how it follows a list."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from serverlab import create

from api_server.server import Server, listen

Line = dict[str, Any]


@pytest.fixture
async def remote(address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address, timeout=20) as client:
        yield client


@asynccontextmanager
async def lines(client: httpx.AsyncClient, **query: str) -> AsyncIterator[AsyncIterator[Line]]:
    async with client.stream("GET", "/watch", params={"format": "jsonl"} | query) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "application/x-ndjson"

        async def parsed() -> AsyncIterator[Line]:
            async for line in answer.aiter_lines():
                yield json.loads(line)

        yield parsed()


async def told(watch: AsyncIterator[Line], revision: int) -> list[tuple[str, str]]:
    """Events and names up to a revision."""
    found = []
    async for line in watch:
        if line["event"] in ("create", "update", "delete"):
            ((_, body),) = line["data"].items()
            found.append((line["event"], body.get("display_name") or body["uuid"]))
        if line.get("id", 0) >= revision:
            return found
    raise AssertionError("the watch ended")


async def newest(client: httpx.AsyncClient) -> int:
    return int((await client.get("/healthz")).headers["X-Revision"])


async def test_json_lines_have_what_frames_have(remote: httpx.AsyncClient) -> None:
    await create(remote, "loadbalancer", "one")
    async with (
        remote.stream("GET", "/watch?resource_type=loadbalancer&since=0") as frames,
        remote.stream("GET", "/watch?resource_type=loadbalancer", headers={"Accept": "application/x-ndjson"}) as init,
        lines(remote, resource_type="loadbalancer", since="0") as found,
    ):
        first = json.loads(await anext(init.aiter_lines()))
        assert first["event"] == "init"
        assert first["id"] == await newest(remote)
        assert [one["loadbalancer"]["display_name"] for one in first["data"]["loadbalancers"]] == ["one"]
        await create(remote, "loadbalancer", "two", display_name='a "b"\n\nid: 7')
        text = frames.aiter_lines()
        while (line := await anext(found)) and line.get("id") != await newest(remote):
            assert await anext(text) == f"event: {line['event']}"
            if "id" in line:
                assert await anext(text) == f"id: {line['id']}"
            assert json.loads((await anext(text)).removeprefix("data: ")) == line["data"]
            assert await anext(text) == ""


@pytest.mark.parametrize("fields", [{}, {"virtual_network_fields": "network_ipam_refs,display_name"}])
async def test_references_may_come_without_names(remote: httpx.AsyncClient, fields: dict[str, str]) -> None:
    """At the beginning, in events, and where other scopes come into sight; nothing else is missing."""
    ipam = await create(remote, "network-ipam", "addresses")
    attr = {"ipam_subnets": [{"subnet": {"ip_prefix": "10.0.0.0", "ip_prefix_len": 24}}]}
    refs = [{"to": ipam["fq_name"], "attr": attr}]
    red = (await create(remote, "virtual-network", "red", network_ipam_refs=refs))["uuid"]
    revision = await newest(remote)
    asked = {"resource_type": "virtual-network,network-ipam"} | fields

    async def objects(**query: str) -> list[Line]:
        async with lines(remote, **asked, **query) as watch:
            found = [await anext(watch)]
            while found[-1].get("id", 0) < revision:
                found.append(await anext(watch))
            return found

    for query in ({}, {"since": "0"}, {"since": str(revision), "scope": red, "enter": red}):
        whole, bare = await objects(**query), await objects(**query, exclude_ref_names="true")
        references = list(_references(whole))
        assert ipam["fq_name"] in [one.pop("to") for one in references]
        assert whole == bare
    refused = await remote.get("/watch", params={**asked, "exclude_ref_names": "perhaps"})
    assert (refused.status_code, "exclude_ref_names" in refused.text) == (400, True)


def _references(data: Any) -> Iterator[Line]:
    """All that are in it."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from value if name.endswith("_refs") else _references(value)
    elif isinstance(data, list):
        for value in data:
            yield from _references(value)


async def test_a_list_goes_on_as_a_watch(remote: httpx.AsyncClient) -> None:
    """While others write: what is listed and what comes after it are together all there is, each once."""

    async def write() -> None:
        for number in range(30):
            await create(remote, "loadbalancer", f"lb-{number}")

    writing = asyncio.create_task(write())
    names: list[str] = []
    while len(names) < 5:
        listed = await remote.get("/loadbalancers")
        names = [row["fq_name"][-1] for row in listed.json()["loadbalancers"]]
    async with lines(remote, resource_type="loadbalancer", since=listed.headers["X-Revision"]) as watch:
        await writing
        names += [name for _, name in await told(watch, await newest(remote))]
    assert sorted(names) == sorted(f"lb-{number}" for number in range(30))


async def test_below_a_parent_exactly(remote: httpx.AsyncClient) -> None:
    other = await create(remote, "project", ["default-domain", "other"])
    inside = await create(remote, "loadbalancer", ["default-domain", "other", "inside"])
    await create(remote, "loadbalancer", "outside")
    start, kinds = await newest(remote), "loadbalancer,virtual-network"
    named = {"parent_fq_name_str": "default-domain:other", "parent_type": "project"}
    async with (
        lines(remote, resource_type=kinds, parent_id=other["uuid"]) as by_id,
        lines(remote, resource_type=kinds, since=str(start), **named) as by_name,
    ):
        init = [(await anext(by_id))["data"] for _ in range(2)]
        assert [one["loadbalancer"]["uuid"] for one in init[0]["loadbalancers"]] == [inside["uuid"]]
        assert init[1] == {"virtual-networks": []}
        await create(remote, "loadbalancer", f"names-{other['uuid']}")
        await create(remote, "virtual-network", ["default-domain", "other", "vn"])
        await remote.put(f"/loadbalancer/{inside['uuid']}", json={"loadbalancer": {"display_name": "new"}})
        await remote.delete(f"/loadbalancer/{inside['uuid']}")
        expected = [("create", "vn"), ("update", "new"), ("delete", inside["uuid"])]
        end = await newest(remote)
        assert await told(by_id, end) == expected
        assert await told(by_name, end) == expected


async def test_an_update_of_other_fields_is_a_bookmark(remote: httpx.AsyncClient) -> None:
    made = await create(remote, "loadbalancer", "lb")
    start = await newest(remote)
    for change in (
        {"display_name": "a"},
        {"annotations": {"key_value_pair": [{"key": "k", "value": "v"}]}},
        {"display_name": "b"},
    ):
        answer = await remote.put(f"/loadbalancer/{made['uuid']}", json={"loadbalancer": change})
        assert answer.status_code == 200, answer.text
    query = {"resource_type": "loadbalancer", "since": str(start)}
    async with lines(remote, loadbalancer_fields="display_name", **query) as watch:
        assert await told(watch, start + 3) == [("update", "a"), ("update", "b")]
    async with lines(remote, loadbalancer_fields="id_perms", **query) as watch:
        assert len(await told(watch, start + 3)) == 3
    async with lines(remote, loadbalancer_fields="annotations", **query) as watch:
        seen = [await anext(watch) for _ in range(2)]
        assert [one["event"] for one in seen] == ["update", "bookmark"]
        assert [one["id"] for one in seen] == [start + 2, start + 3]


async def test_refusals(client: httpx.AsyncClient) -> None:
    for query, status, word in (
        ("format=xml", 400, "xml"),
        ("parent_fq_name_str=default-domain:nobody", 404, "nobody"),
        ("parent_fq_name_str=default-domain&parent_type=nonsense", 404, "nonsense"),
        ("parent_id=a&scope=b", 400, "scopes"),
        ("parent_id=" + ",".join(str(number) for number in range(1001)), 400, "1001"),
    ):
        refused = await client.get(f"/watch?resource_type=loadbalancer&{query}")
        assert refused.status_code == status, query
        assert word in refused.text


async def test_gone_names_the_oldest_revision(client: httpx.AsyncClient, app: FastAPI) -> None:
    for number in range(3):
        await create(client, "loadbalancer", f"lb-{number}")
    store = app.state.service.store
    await store.write(lambda tx: tx.compact(1, "", 1000))
    await store.compact()
    refused = await client.get("/watch?resource_type=loadbalancer&since=1", headers={"Accept": "application/json"})
    assert refused.status_code == 410
    assert refused.headers["X-Oldest-Revision"] == str(store.feed.revision - 1)
    assert refused.json()["error"]["oldest"] == store.feed.revision - 1


async def test_a_client_that_stops_reading_is_let_go(app: FastAPI) -> None:
    """What waits for it is bounded, and neither its connection nor its place among the watchers is kept."""
    listener = listen("127.0.0.1", 0, stalled=1.0)
    server, service = Server(app, listener), app.state.service
    serving = asyncio.create_task(server.serve())
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        loop = asyncio.get_running_loop()
        stalled.setblocking(False)
        await loop.sock_connect(stalled, listener.getsockname())
        await loop.sock_sendall(stalled, b"GET /watch?resource_type=loadbalancer HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=20) as client:
            while service.watching != 1:
                await client.get("/healthz")
            made = await create(client, "loadbalancer", "lb")
            for number in range(40):
                body = {"loadbalancer": {"display_name": f"{number}-{'x' * 500_000}"}}
                assert (await client.put(f"/loadbalancer/{made['uuid']}", json=body)).status_code == 200
            async with asyncio.timeout(30):
                while service.watching:
                    await asyncio.sleep(0.05)
                    assert (await client.get("/healthz")).status_code == 200
    finally:
        stalled.close()
        server.should_exit = True
        await serving
