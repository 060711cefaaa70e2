"""Whatever is asked for in whatever order, and whoever dies on the way: in the end the data plane is what the objects
say, in the kernel's own words and by what real connections meet."""

import asyncio
import itertools
import os
import random
import shutil
from contextlib import closing

import pytest
from faults_checks import as_connections_meet, as_in_the_kernel, as_told
from faults_history import TARGETS, Client, Cluster
from faults_node import Node, Server
from faults_oracle import expected
from faults_play import play
from faults_traffic import Servers, ask, ping

from api_client import ApiClient, Unavailable, Unreachable

needs_root = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(not all(map(shutil.which, ("ip", "nft"))), reason="needs ip and nft"),
]
ENDS_WITHIN = 4.0  # seconds after SIGTERM: twice what is promised, for machines with other work


async def random_history(server: Server, name: str, backend: str, seed: int, *, steps: int, deaths: int) -> None:
    chance = random.Random(seed)
    cluster = Cluster(name)
    async with ApiClient(server.url) as api:
        node = await asyncio.to_thread(Node, name, server.url, backend=backend)
        try:
            await cluster.build(api)
            await play(cluster, server, node, chance, steps=steps, deaths=deaths)
            await asyncio.to_thread(node.settled)
            want = await expected(api, name)
            as_told(node, want)
            if backend == "netns":
                as_in_the_kernel(node, want)
                await asyncio.to_thread(as_connections_meet, cluster, want)
        finally:
            await asyncio.to_thread(node.close)


class TestOnTheSimulator:
    async def test_a_short_history(self, server: Server, name: str, seed: int) -> None:
        await random_history(server, name, "simulator", seed, steps=120, deaths=2)

    @pytest.mark.slow
    async def test_a_long_history(self, server: Server, name: str, seed: int) -> None:
        await random_history(server, name, "simulator", seed, steps=2000, deaths=8)


class TestInTheKernel:
    pytestmark = needs_root

    async def test_a_short_history(self, server: Server, name: str, seed: int) -> None:
        await random_history(server, name, "netns", seed, steps=120, deaths=2)

    @pytest.mark.slow
    async def test_a_long_history(self, server: Server, name: str, seed: int) -> None:
        await random_history(server, name, "netns", seed, steps=2000, deaths=8)


class TestOneService:
    pytestmark = needs_root

    async def test_tcp_udp_ping_hairpin_and_the_policy_between_networks(self, server: Server, name: str) -> None:
        cluster = Cluster(name)
        client, web = cluster.clients["blue"], f"{name}-0"
        async with ApiClient(server.url) as api:
            with closing(Node(name, server.url)) as node:
                await cluster.build(api)
                tenant = Client(cluster, api, random.Random(0))
                await tenant.make_pod(web, "blue")
                vip = await tenant.make_service("dns", ("TCP", 443), ("UDP", 53))
                await tenant.make_member("dns", "TCP", 443, web, 81)
                await tenant.make_member("dns", "UDP", 53, web, 80)
                node.applied()
                with Servers() as servers:
                    servers.listen(web, TARGETS)
                    servers.start()
                    for pod in (client, web):  # also the member itself
                        assert ask(pod, "tcp", vip, 443) == (web, 81)
                        assert ask(pod, "udp", vip, 53) == (web, 80)
                        assert ask(pod, "tcp", vip, 53) is None
                        assert ping(pod, vip)

                    await tenant.join([])
                    node.applied()
                    assert [vips for vips in node.forwarding().values() if vips] == []
                    assert ask(client, "tcp", vip, 443) is None
                    assert not ping(client, vip)

                    await tenant.join(["blue"])
                    node.applied()
                    assert ask(client, "tcp", vip, 443) == (web, 81)
                    assert ask(client, "udp", vip, 53) == (web, 80)
                    assert ping(client, vip)


class TestTheEnd:
    """SIGTERM under load: soon, and whatever was answered has happened."""

    async def test_of_the_server_with_watchers_and_a_burst_of_writes(self, server: Server) -> None:
        begun = asyncio.Event()
        made: list[str] = []

        async def write(number: int) -> None:
            async with ApiClient(server.url) as api:
                for count in itertools.count():
                    name = ["default-domain", f"project-{number}-{count}"]
                    try:
                        await api.create("project", {"fq_name": name, "parent_type": "domain"})
                    except (Unreachable, Unavailable):
                        return
                    made.append(name[-1])
                    begun.set()

        async def watch() -> None:
            async with ApiClient(server.url) as api:
                async for _ in api.watch(["project"]):
                    pass

        watchers = [asyncio.create_task(watch()) for _ in range(20)]
        writers = [asyncio.create_task(write(number)) for number in range(16)]
        await begun.wait()
        server.program.process.terminate()
        assert await asyncio.to_thread(server.program.process.wait, ENDS_WITHIN) == 0
        await asyncio.gather(*writers)
        await asyncio.to_thread(server.start)
        async with ApiClient(server.url) as api:
            assert set(made) <= {row["fq_name"][-1] for row in await api.list("project")}
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)

    @pytest.mark.parametrize("backend", ["simulator", pytest.param("netns", marks=needs_root)])
    async def test_of_the_agent_in_the_middle_of_changes(self, server: Server, name: str, backend: str) -> None:
        cluster = Cluster(name)
        async with ApiClient(server.url) as api:
            node = await asyncio.to_thread(Node, name, server.url, backend=backend)
            with closing(node):
                await cluster.build(api)
                client = Client(cluster, api, random.Random(0))
                playing = asyncio.create_task(client.play(10_000))
                while client.done < 50:
                    await asyncio.sleep(0.01)
                assert node.agent
                node.agent.process.terminate()
                assert await asyncio.to_thread(node.agent.process.wait, ENDS_WITHIN) == 0
                playing.cancel()
                await asyncio.gather(playing, return_exceptions=True)
                node.stop()
                assert client.faults == []
