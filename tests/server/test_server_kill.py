"""kill -9 at random points of many concurrent writes: what was acknowledged is there, whole, and nothing else is.

Each writer keeps what the server acknowledged and the one request that was under way when the server died, whose
outcome may be either. After each start the graph is compared with that; at the end the change log is replayed and
must give the same objects.
"""

import asyncio
import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from serverlab import PROJECT

from api_server import care
from cli.demo.programs import Program

KILLS = 50
WRITERS = 6
NAME = 36  # characters of the writers' names, which are uuids


@dataclass
class Writer:
    """Changes members of its own pool and networks of its own. stored: uuid -> (type, display_name) as acknowledged."""

    number: int
    random: random.Random
    stored: dict[str, tuple[str, str]] = field(default_factory=dict)
    doubtful: tuple[str, tuple[str, str] | None, tuple[str, str] | None] | None = None
    acknowledged: int = 0

    @property
    def pool(self) -> list[str]:
        return [*PROJECT, f"pool-{self.number}"]

    def uuid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    async def setup(self, client: httpx.AsyncClient) -> None:
        body = {"loadbalancer-pool": {"fq_name": self.pool, "loadbalancer_pool_properties": {"protocol": "TCP"}}}
        (await client.post("/loadbalancer-pools", json=body)).raise_for_status()

    async def step(self, client: httpx.AsyncClient) -> None:
        """One random write. Raises httpx.TransportError when the server dies under it."""
        known = list(self.stored)
        choice = self.random.random()
        if not known or choice < 0.5:
            uuid, name = self.uuid(), self.uuid()
            kind = self.random.choice(["loadbalancer-member", "loadbalancer-member", "virtual-network"])
            fq_name = [*self.pool, name] if kind == "loadbalancer-member" else [*PROJECT, name]
            self.doubtful = (uuid, None, (kind, name))
            request = client.post(f"/{kind}s", json={kind: {"fq_name": fq_name, "uuid": uuid, "display_name": name}})
        elif choice < 0.8:
            uuid, name = self.random.choice(known), self.uuid()
            kind, _ = self.stored[uuid]
            self.doubtful = (uuid, self.stored[uuid], (kind, name))
            request = client.put(f"/{kind}/{uuid}", json={kind: {"display_name": name}})
        else:
            uuid = self.random.choice(known)
            self.doubtful = (uuid, self.stored[uuid], None)
            request = client.delete(f"/{self.stored[uuid][0]}/{uuid}")
        answer = await request
        assert answer.status_code == 200, answer.text
        self.settle(self.doubtful[2])
        self.acknowledged += 1

    def settle(self, outcome: tuple[str, str] | None) -> None:
        assert self.doubtful
        uuid = self.doubtful[0]
        if outcome is None:
            self.stored.pop(uuid, None)
        else:
            self.stored[uuid] = outcome
        self.doubtful = None


async def run_until_dead(
    url: str, writers: list[Writer], kill: Callable[[], None], acknowledged: int, delay: float
) -> None:
    """All writers at once; the server is killed `delay` seconds after so many answers, with writes under way."""
    target = sum(writer.acknowledged for writer in writers) + acknowledged
    loop, doomed = asyncio.get_running_loop(), False

    async def write(writer: Writer, client: httpx.AsyncClient) -> None:
        nonlocal doomed
        try:
            while True:
                await writer.step(client)
                if not doomed and sum(writer.acknowledged for writer in writers) >= target:
                    doomed = True
                    loop.call_later(delay, kill)
        except httpx.TransportError:
            assert doomed

    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        await asyncio.gather(*[write(writer, client) for writer in writers])


async def graph(client: httpx.AsyncClient, kind: str) -> dict[str, dict[str, Any]]:
    answer = await client.get(f"/{kind}s", params={"detail": "true"})
    answer.raise_for_status()
    return {item[kind]["uuid"]: item[kind] for item in answer.json()[f"{kind}s"]}


async def check(url: str, writers: list[Writer]) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        members, networks = await graph(client, "loadbalancer-member"), await graph(client, "virtual-network")
        pools, instances = await graph(client, "loadbalancer-pool"), await graph(client, "routing-instance")
    found = {
        uuid: (kind, each["display_name"])
        for kind, objects in (("loadbalancer-member", members), ("virtual-network", networks))
        for uuid, each in objects.items()
        if len(each["fq_name"][-1]) == NAME  # not one the server made by itself
    }
    for writer in writers:
        if writer.doubtful:
            uuid, before, after = writer.doubtful
            assert found.get(uuid) in (before, after)
            writer.settle(found.get(uuid))
    assert found == {uuid: stored for writer in writers for uuid, stored in writer.stored.items()}
    assert all(each["parent_uuid"] in pools for each in members.values())
    # A network and its routing instance are two events of one write: both or neither.
    assert {each["parent_uuid"] for each in instances.values()} == networks.keys()
    numbers = [each["virtual_network_network_id"] for each in networks.values()]
    assert len(set(numbers)) == len(numbers)


async def replay(url: str) -> None:
    """The log from its beginning gives the objects that the lists show, with ids that only grow."""
    types = ["loadbalancer-member", "virtual-network", "loadbalancer-pool", "routing-instance"]
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        now = {kind: await graph(client, kind) for kind in types}
        last = int((await client.get("/healthz")).json()["revision"])
        objects: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in types}
        params = {"resource_type": ",".join(types), "last_event_id": "0"}
        async with client.stream("GET", "/watch", params=params) as stream:
            operation, revision = "", 0
            async for line in stream.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    operation = value
                elif name == "data" and operation in ("create", "update", "delete"):
                    ((kind, each),) = json.loads(value).items()
                    if operation == "delete":
                        del objects[kind][each["uuid"]]
                    else:
                        assert (each["uuid"] in objects[kind]) == (operation == "update")
                        objects[kind][each["uuid"]] = each
                elif name == "id":
                    assert int(value) > revision
                    revision = int(value)
                elif not line and revision == last:  # the end of the last frame
                    break
    for kind in types:
        shown = {uuid: {name: each[name] for name in each if name != "href"} for uuid, each in now[kind].items()}
        assert objects[kind] == shown


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_kill_at_random_points(tmp_path: Path) -> None:
    seed = int(os.environ.get("VAPORTRAIL_SEED", random.SystemRandom().getrandbits(32)))
    print(f"VAPORTRAIL_SEED={seed}")
    chance = random.Random(seed)
    writers = [Writer(number, random.Random(chance.getrandbits(64))) for number in range(WRITERS)]
    command = ("serve", "--port", "0", "--log-level", "error", "--database", f"sqlite:///{tmp_path}/kill.db")
    with Program(*command) as program:
        async with httpx.AsyncClient(base_url=program.wait_ready()) as client:
            for writer in writers:
                await writer.setup(client)
    for _ in range(KILLS):
        with Program(*command) as program:
            url = program.wait_ready()
            await check(url, writers)
            await run_until_dead(url, writers, program.process.kill, chance.randint(1, 60), chance.uniform(0, 0.005))
    with Program(*command) as program:
        url = program.wait_ready()
        await check(url, writers)
        await replay(url)
    assert care.check(f"sqlite:///{tmp_path}/kill.db") == care.Report()
