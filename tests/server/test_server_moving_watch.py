"""A watch of a part moves to other scopes with the difference, and can ask how far the server is."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from api_client import ApiClient, Events, Snapshot, Watch

PROJECT = ["default-domain", "default-project"]
TYPES = ["virtual-network", "virtual-machine-interface"]


@pytest.fixture
async def api(address: str) -> AsyncIterator[ApiClient]:
    async with ApiClient(address) as client:
        yield client


async def network(api: ApiClient, name: str) -> str:
    """With one interface of its name."""
    found = await api.create("virtual-network", {"fq_name": [*PROJECT, name]})
    await interface(api, name, name)
    return str(found["uuid"])


async def interface(api: ApiClient, name: str, of: str) -> None:
    refs = [{"to": [*PROJECT, of]}]
    body = {"fq_name": [*PROJECT, name], "parent_type": "project", "virtual_network_refs": refs}
    await api.create("virtual-machine-interface", body)


class Held:
    """What the deltas of a watch come to: names of interfaces by uuid."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.names: dict[str, str] = {}

    async def next(self) -> None:
        async with asyncio.timeout(10.0):
            delta = await anext(self.watch)
        if isinstance(delta, Snapshot):
            self.names = {one["uuid"]: one["fq_name"][-1] for one in delta.objects["virtual-machine-interface"]}
        for event in delta.events if isinstance(delta, Events) else ():
            if event.type == "virtual-machine-interface":
                if event.kind == "delete":
                    del self.names[event.uuid]
                else:
                    self.names[event.uuid] = event.object["fq_name"][-1]

    async def until(self, *names: str) -> None:
        while sorted(self.names.values()) != sorted(names):
            await self.next()


async def test_other_scopes_come_as_a_difference(api: ApiClient) -> None:
    blue, green = await network(api, "blue"), await network(api, "green")
    watch = api.watch(TYPES, scopes=[blue])
    held = Held(watch)
    await held.next()
    assert (list(held.names.values()), watch.scopes) == (["blue"], {blue})
    waiting = asyncio.create_task(held.until("blue", "green"))
    await asyncio.sleep(0)
    watch.move([blue, green])
    await waiting
    assert watch.scopes == {blue, green}
    await interface(api, "more", "green")
    await held.until("blue", "green", "more")
    watch.move([green])
    await held.until("green", "more")
    watch.move(None)
    await held.until("blue", "green", "more")
    assert watch.scopes is None
    watch.move([blue])
    await held.until("blue")
    await watch.aclose()


async def test_how_far_the_server_is_can_be_asked(api: ApiClient) -> None:
    """A revision that has nothing for it is not told, but is an answer."""
    blue, _ = await network(api, "blue"), await network(api, "green")
    watch = api.watch(TYPES, scopes=[blue])
    held = Held(watch)
    await held.next()
    await interface(api, "more", "green")
    newest = await api.newest_revision()
    watch.look()
    while watch.revision != newest:
        await held.next()
    assert list(held.names.values()) == ["blue"]
    await watch.aclose()
