"""From what happens to an object, over a node's data plane, to the status of it: the real programs."""

import asyncio
import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from typing import Any

import pytest
from faults_history import PROJECT, Client, Cluster
from faults_node import Node, Server
from faults_traffic import Servers, ask

from api_client import ApiClient, NotFound
from cli.demo.programs import ENVIRONMENT, VAPORTRAIL

POOL = [*PROJECT, "web-TCP-80"]


async def until(ask: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    """Statuses come after the data plane, some tenths of a second later."""
    found = None
    try:
        async with asyncio.timeout(20):
            while (found := await ask()) != wanted:
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"{found!r} instead of {wanted!r}")


class World:
    """A service `web` with the members `m0` and `m1`, pods of one node."""

    def __init__(self, server: Server, api: ApiClient, name: str) -> None:
        self.server, self.api, self.name = server, api, name

    async def build(self) -> None:
        cluster = Cluster(self.name)
        await cluster.build(self.api)
        tenant = Client(cluster, self.api, random.Random(0))
        await tenant.make_service("web", ("TCP", 80))
        for number in range(2):
            await tenant.make_pod(f"{self.name}-{number}", "blue")
            interface = await self.api.fqname_to_id("virtual-machine-interface", [*PROJECT, f"{self.name}-{number}"])
            address = (await self.api.list("instance-ip", detail=True, back_ref_id=interface))[0]["instance_ip_address"]
            pairs = {"key_value_pair": [{"key": "vmi", "value": interface}]}
            properties = {"address": address, "protocol_port": 80, "weight": 1}
            await self.api.create("loadbalancer-member", {
                "fq_name": [*POOL, f"m{number}"], "parent_type": "loadbalancer-pool", "annotations": pairs,
                "loadbalancer_member_properties": properties,
            })  # fmt: skip

    async def member(self, number: int) -> dict[str, Any]:
        uuid = await self.api.fqname_to_id("loadbalancer-member", [*POOL, f"m{number}"])
        return await self.api.status("loadbalancer-member", uuid)

    async def change(self, number: int, **properties: Any) -> None:
        uuid = await self.api.fqname_to_id("loadbalancer-member", [*POOL, f"m{number}"])
        found = (await self.api.read("loadbalancer-member", uuid))["loadbalancer_member_properties"]
        await self.api.update("loadbalancer-member", uuid, {"loadbalancer_member_properties": found | properties})

    async def words(self) -> list[str]:
        """operating_status of load balancer, listener, pool, members; and whether all is done."""
        uuid = await self.api.fqname_to_id("loadbalancer", [*PROJECT, "web"])
        found = await self.api.status("loadbalancer", uuid)
        (listener,) = found["listeners"]
        (pool,) = listener["pools"]
        return [one["operating_status"] for one in (found, listener, pool, *pool["members"])] + [
            found["provisioning_status"]
        ]


@pytest.fixture
async def world(server: Server, name: str) -> AsyncIterator[World]:
    async with ApiClient(server.url) as api:
        made = World(server, api, name)
        await made.build()
        yield made


@pytest.mark.slow
async def test_what_a_node_has_made_of_a_service(world: World, name: str) -> None:
    with closing(Node(name, world.server.url, backend="simulator")) as node:
        await until(world.words, ["ONLINE", "ONLINE", "ONLINE", "NO_MONITOR", "NO_MONITOR", "ACTIVE"])
        await world.change(1, weight=0)
        await until(world.words, ["ONLINE", "ONLINE", "ONLINE", "NO_MONITOR", "DRAINING", "ACTIVE"])
        draining = await world.member(1)
        assert draining["reason"] == "weight is 0: it takes no new connections"
        assert [one["node"] for one in draining["nodes"]] == [name]

        await world.change(0, admin_state=False)
        await until(world.words, ["ERROR", "ONLINE", "ERROR", "OFFLINE", "DRAINING", "ACTIVE"])
        await world.change(0, admin_state=True)
        await until(world.words, ["ONLINE", "ONLINE", "ONLINE", "NO_MONITOR", "DRAINING", "ACTIVE"])

        # the timer of a drain outlives the agent, and the server
        node.kill()
        world.server.kill()
        world.server.start()
        node.start()
        await world.change(0, weight=7)  # so that it can be seen that the new agent has reported
        await until(world.words, ["ONLINE", "ONLINE", "ONLINE", "NO_MONITOR", "DRAINING", "ACTIVE"])
        assert (await world.member(1))["since"] == draining["since"]

        await world.api.delete("loadbalancer-member", draining["uuid"])
        await until(world.words, ["ONLINE", "ONLINE", "ONLINE", "NO_MONITOR", "ACTIVE"])
        with pytest.raises(NotFound):
            await world.api.status("loadbalancer-member", draining["uuid"])
        assert draining["uuid"] not in {row["uuid"] for row in await world.api.statuses_of(name)}


async def test_a_pod_that_leaves_takes_its_member_down(world: World, name: str) -> None:
    with closing(Node(name, world.server.url, backend="simulator")):
        await until(world.words, ["ONLINE", "ONLINE", "ONLINE", "NO_MONITOR", "NO_MONITOR", "ACTIVE"])
        await Client(Cluster(name), world.api, random.Random(0))._place(f"{name}-1", "DELETE")
        await until(world.words, ["DEGRADED", "ONLINE", "DEGRADED", "NO_MONITOR", "ERROR", "ACTIVE"])
        found = await world.member(1)
        assert found["reason"].endswith("which no virtual-router references")


async def test_a_whole_change_moves_nobodys_revision(world: World, name: str) -> None:
    before = await world.api.newest_revision()
    with closing(Node(name, world.server.url, backend="simulator")):
        await until(world.words, ["ONLINE", "ONLINE", "ONLINE", "NO_MONITOR", "NO_MONITOR", "ACTIVE"])
    assert await world.api.newest_revision() == before


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")
@pytest.mark.skipif(not all(map(shutil.which, ("ip", "nft"))), reason="needs ip and nft")
async def test_what_probes_find_is_in_the_status(world: World, name: str) -> None:
    """From a server that ends to what `GET /status/...` says, and back."""
    properties = {"monitor_type": "TCP", "delay": 1, "timeout": 1, "max_retries": 2}
    monitor = await world.api.create("loadbalancer-healthmonitor", {
        "fq_name": [*PROJECT, "hm"], "parent_type": "project", "loadbalancer_healthmonitor_properties": properties,
    })  # fmt: skip
    pool = await world.api.fqname_to_id("loadbalancer-pool", POOL)
    await world.api.ref_update("loadbalancer-pool", pool, "loadbalancer-healthmonitor", monitor["uuid"], "ADD")
    load_balancer = await world.api.fqname_to_id("loadbalancer", [*PROJECT, "web"])
    vip = (await world.api.read("loadbalancer", load_balancer))["loadbalancer_properties"]["vip_address"]

    def answering() -> set[str]:
        found = [ask(f"{name}-client-blue", "tcp", vip, 80) for _ in range(40)]
        return {answer[0] if answer else "refused" for answer in found}

    def serving(number: int) -> Servers:
        servers = Servers()
        servers.listen(f"{name}-{number}", [80])
        servers.start()
        return servers

    with closing(Node(name, world.server.url)) as node:
        await until(world.words, ["ERROR", "ONLINE", "ERROR", "ERROR", "ERROR", "ACTIVE"])
        node.settled()
        assert answering() == {"refused"}
        with serving(0):
            with serving(1):
                await until(world.words, ["ONLINE", "ONLINE", "ONLINE", "ONLINE", "ONLINE", "ACTIVE"])
                assert answering() == {f"{name}-0", f"{name}-1"}
                revision = await world.api.newest_revision()
                before = await world.member(1)
            await until(world.words, ["DEGRADED", "ONLINE", "DEGRADED", "ONLINE", "ERROR", "ACTIVE"])
            failing = await world.member(1)
            assert failing["reason"] == "fails health monitor hm: connection refused"
            assert failing["since"] > before["since"]
            assert [one["node"] for one in failing["nodes"]] == [name]
            assert answering() == {f"{name}-0"}
            with serving(1):
                await until(world.words, ["ONLINE", "ONLINE", "ONLINE", "ONLINE", "ONLINE", "ACTIVE"])
                assert not (await world.member(1)).get("reason")
                assert answering() == {f"{name}-0", f"{name}-1"}
        assert await world.api.newest_revision() == revision  # what was seen is nobody's write


def told(world: World, *words: str) -> str:
    command = [*VAPORTRAIL, *words, "--api", world.server.url]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
async def test_the_command_shows_the_tree_and_follows_it(world: World, name: str) -> None:
    assert "OFFLINE: no node reports on it" in told(world, "status", "web")
    assert "Status" not in told(world, "service", "show", "web")
    with closing(Node(name, world.server.url, backend="simulator")):
        await until(world.words, ["ONLINE", "ONLINE", "ONLINE", "NO_MONITOR", "NO_MONITOR", "ACTIVE"])
        await world.change(1, weight=0)
        await until(world.words, ["ONLINE", "ONLINE", "ONLINE", "NO_MONITOR", "DRAINING", "ACTIVE"])
        lines = told(world, "status", "loadbalancer/web").splitlines()
        assert lines[0].startswith("loadbalancer web 10.23.0.")
        assert [line.split()[0] for line in lines] == ["loadbalancer", "listener", "pool", "member", "member"]
        assert re.fullmatch(
            r" {6}member m1 10\.21\.0\.\d+:80  DRAINING: weight is 0: it takes no new connections, "
            rf"since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ \(\d+ s\), node {name}", lines[4],
        ), lines[4]  # fmt: skip
        document = json.loads(told(world, "status", "web", "-o", "json"))
        assert document == await world.api.status("loadbalancer", document["uuid"])
        table = told(world, "service", "show", "web")
        assert "provider native  ONLINE" in table
        assert "DRAINING" in table

        watching = await asyncio.create_subprocess_exec(
            *VAPORTRAIL, "status", "web", "--watch", "-o", "json", "--api", world.server.url,
            stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT,
        )  # fmt: skip
        assert watching.stdout is not None
        try:
            async with asyncio.timeout(20):
                assert json.loads(await watching.stdout.readline())["listeners"]
                await world.change(1, weight=1)
                changed: dict[str, Any] = {}
                while changed.get("name") != "m1" or changed["provisioning_status"] != "ACTIVE":
                    changed = json.loads(await watching.stdout.readline())
                assert changed["operating_status"] == "NO_MONITOR"
        finally:
            watching.kill()
            await watching.wait()
