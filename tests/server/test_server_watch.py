"""`GET /watch`: the frames of contract 4.21, ids and resume, and that it ends when the server does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from serverlab import PROJECT, create, listening

from api_server.app import create_app
from api_server.settings import Settings

TYPES = "loadbalancer,loadbalancer-member"
POOL = [*PROJECT, "pool"]


@dataclass
class Frame:
    event: str = ""
    data: str = ""
    id: int | None = None

    @property
    def document(self) -> Any:
        return json.loads(self.data)

    @property
    def object(self) -> dict[str, Any]:
        ((_, found),) = self.document.items()
        assert isinstance(found, dict)
        return found


async def parse(lines: AsyncIterator[str]) -> AsyncIterator[Frame]:
    """Server-sent events; a comment is a frame without event and data."""
    frame = Frame()
    async for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                frame.event = value
            case "data":
                frame.data = value
            case "id":
                frame.id = int(value)
        if not line:
            yield frame
            frame = Frame()


@asynccontextmanager
async def watching(
    client: httpx.AsyncClient, after: int | None = None, **query: str
) -> AsyncIterator[AsyncIterator[Frame]]:
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    async with client.stream("GET", "/watch", params={"resource_type": TYPES} | query, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-cache"
        yield parse(answer.aiter_lines())


@pytest.fixture
async def remote(address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address, timeout=10) as client:
        yield client


async def test_init_then_events(remote: httpx.AsyncClient) -> None:
    first = await create(remote, "loadbalancer", "first")
    await create(remote, "loadbalancer-pool", "pool")
    async with watching(remote) as frames:
        init = [await anext(frames), await anext(frames)]
        assert [frame.event for frame in init] == ["init", "init"]
        listed = init[0].document["loadbalancers"]
        assert [each["loadbalancer"]["uuid"] for each in listed] == [first["uuid"]]
        assert "href" not in listed[0]["loadbalancer"]
        assert init[1].document == {"loadbalancer-members": []}
        assert init[0].id is None
        revision = init[1].id
        assert revision == int((await remote.get("/healthz")).headers["x-revision"])
        member = await create(
            remote, "loadbalancer-member", [*POOL, "m"], loadbalancer_member_properties={"address": "10.0.0.1"}
        )
        await remote.put(f"/loadbalancer-member/{member['uuid']}", json={"loadbalancer-member": {"display_name": "n"}})
        await remote.delete(f"/loadbalancer-member/{member['uuid']}")
        events = [await anext(frames) for _ in range(3)]
        assert [frame.event for frame in events] == ["create", "update", "delete"]
        assert [frame.id for frame in events] == [revision + 1, revision + 2, revision + 3]
        created = events[0].object
        assert created["fq_name"] == member["fq_name"]
        assert created["loadbalancer_member_properties"] == {"address": "10.0.0.1"}
        assert not created.keys() & {"href", "parent_href"}
        assert events[1].object["display_name"] == "n"
        assert events[2].document == {"loadbalancer-member": {"uuid": member["uuid"]}}


async def test_resume_leaves_nothing_out_and_repeats_nothing(remote: httpx.AsyncClient) -> None:
    async with watching(remote) as frames:
        await anext(frames)
        last = (await anext(frames)).id
    assert last is not None
    names = [f"lb-{number}" for number in range(20)]
    seen: list[str] = []
    for start in range(0, 20, 5):
        for name in names[start : start + 5]:
            await create(remote, "loadbalancer", name)
        async with watching(remote, after=last) as frames:
            for _ in range(5):
                frame = await anext(frames)
                assert frame.event == "create"
                assert frame.id is not None
                seen.append(frame.object["fq_name"][-1])
                last = frame.id
    assert seen == names
    params = {"resource_type": "loadbalancer", "since": "0"}
    async with remote.stream("GET", "/watch", params=params) as answer:
        frames = parse(answer.aiter_lines())
        assert [(await anext(frames)).object["fq_name"][-1] for _ in names] == names


async def test_events_of_one_write_follow_each_other_and_the_last_has_the_id(remote: httpx.AsyncClient) -> None:
    async with watching(remote, resource_type="virtual-network,routing-instance") as frames:
        await anext(frames)
        await anext(frames)
        await create(remote, "virtual-network", "vn")
        events = [await anext(frames), await anext(frames)]
        assert {next(iter(frame.document)) for frame in events} == {"virtual-network", "routing-instance"}
        assert events[0].id is None
        assert events[1].id is not None


async def test_fields_and_underscores(remote: httpx.AsyncClient) -> None:
    await create(remote, "loadbalancer-pool", "pool")
    query = {"resource_type": "loadbalancer_member", "loadbalancer_member_fields": "display_name,nonsense"}
    async with watching(remote, **query) as frames:
        assert (await anext(frames)).document == {"loadbalancer-members": []}
        member = await create(remote, "loadbalancer-member", [*POOL, "m"])
        shown = {name: member[name] for name in ("uuid", "fq_name", "parent_type", "parent_uuid")} | {
            "display_name": "m"
        }
        assert (await anext(frames)).object == shown
    async with watching(remote, **query) as frames:
        assert (await anext(frames)).document == {"loadbalancer-members": [{"loadbalancer-member": shown}]}


async def test_no_more_references_come_than_are_wanted(remote: httpx.AsyncClient) -> None:
    await create(remote, "virtual-network", "vn")
    network = [*PROJECT, "vn"]
    refs = {"virtual_network_refs": [{"to": network}]}
    pod = await create(remote, "virtual-machine-interface", "pod", parent_type="project", **refs)
    for query, wanted in (
        ({}, {"virtual_network_refs", "routing_instance_refs"}),
        ({"virtual_machine_interface_fields": "virtual_network_refs"}, {"virtual_network_refs"}),
        ({"virtual_machine_interface_fields": "display_name"}, set()),
    ):
        async with watching(remote, resource_type="virtual-machine-interface", **query) as frames:
            (found,) = (await anext(frames)).document["virtual-machine-interfaces"]
        body = found["virtual-machine-interface"]
        assert body["uuid"] == pod["uuid"]
        assert {name for name in body if name.endswith("_refs")} == wanted
        for reference in body.get("virtual_network_refs", ()):
            assert (reference["to"], reference["attr"]) == (network, None)


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("", 400, "resource_type required in request"),
        ("resource_type=foo", 404, "Invalid Contrail resource type:'foo'"),
        ("resource_type=loadbalancer&last_event_id=x", 400, "Invalid Last-Event-ID x"),
        ("resource_type=loadbalancer&last_event_id=999999", 410, ""),
    ],
)
async def test_refusals(client: httpx.AsyncClient, query: str, status: int, text: str) -> None:
    refused = await client.get(f"/watch?{query}")
    assert refused.status_code == status
    assert refused.text.startswith(text)


async def test_silence_is_broken_by_comments(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"watch_keepalive": 0.01}))
    async with listening(app) as url, httpx.AsyncClient(base_url=url) as client, watching(client) as frames:
        assert [(await anext(frames)).event for _ in range(3)] == ["init", "init", ""]


async def test_one_watcher_too_many_is_refused(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"max_watchers": 1}))
    async with listening(app) as url, httpx.AsyncClient(base_url=url) as client, watching(client) as frames:
        await anext(frames)
        refused = await client.get("/watch", params={"resource_type": TYPES})
        assert refused.status_code == 503
        assert "1 watchers" in refused.text
    async with (
        listening(create_app(settings)) as url,
        httpx.AsyncClient(base_url=url) as client,
        watching(client) as frames,
    ):
        assert (await anext(frames)).event == "init"


async def test_watchers_are_told_to_stop(app: FastAPI) -> None:
    loop = asyncio.get_running_loop()
    async with httpx.AsyncClient() as client:
        async with listening(app) as url:
            client.base_url = httpx.URL(url)
            context = watching(client)
            frames = await context.__aenter__()
            assert [(await anext(frames)).event for _ in range(2)] == ["init", "init"]
            told = loop.time()
        assert loop.time() - told < 2
        stop = await anext(frames)
        assert (stop.event, stop.data) == ("stop", "The API server is stopping")
        with pytest.raises(StopAsyncIteration):
            await anext(frames)
        await context.__aexit__(None, None, None)


async def test_many_watchers_see_the_same(remote: httpx.AsyncClient) -> None:
    async def collect(ready: asyncio.Event) -> list[tuple[str, int | None]]:
        async with watching(remote, resource_type="loadbalancer") as frames:
            await anext(frames)
            ready.set()
            found = [await anext(frames) for _ in range(10)]
        return [(frame.object["fq_name"][-1], frame.id) for frame in found]

    events = [asyncio.Event() for _ in range(20)]
    watchers = [asyncio.create_task(collect(event)) for event in events]
    await asyncio.gather(*[event.wait() for event in events])
    async with httpx.AsyncClient(base_url=remote.base_url) as writer:
        for number in range(10):
            await create(writer, "loadbalancer", f"lb-{number}")
    seen = await asyncio.gather(*watchers)
    assert all(each == seen[0] for each in seen)
    assert [name for name, _ in seen[0]] == [f"lb-{number}" for number in range(10)]
