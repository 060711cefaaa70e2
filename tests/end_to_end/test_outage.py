"""The server is out of an agent's reach for long, and others go on changing things: what stands goes on forwarding, and
on return exactly the difference is applied, whether the change log reaches back to the beginning or not.

For an agent an hour is no other than some seconds: it asks every two seconds at most (`api_client.watch`).
"""

import os
import random
import shutil
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from faults_changes import Changes
from faults_checks import as_in_the_kernel, as_told
from faults_history import NETWORKS, PROJECT, Client, Cluster
from faults_node import Node, Server
from faults_oracle import expected
from faults_traffic import Connection, Servers, answering

from api_client import ApiClient
from api_server.store import Limits, Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(not all(map(shutil.which, ("ip", "nft"))), reason="needs ip and nft"),
]


@pytest.mark.parametrize("log", ["whole", "compacted"])
async def test_what_changed_meanwhile_and_nothing_else(server: Server, tmp_path: Path, name: str, log: str) -> None:
    cluster = Cluster(name)
    pods = [f"{name}-{number}" for number in (0, 2, 4)]
    async with ApiClient(server.url) as api:
        await cluster.build(api)
        tenant = Client(cluster, api, random.Random(0))
        vip = await tenant.make_service("one", ("TCP", 80))
        await tenant.make_service("two", ("TCP", 80), ("UDP", 443))
        for pod in pods:
            await tenant.make_pod(pod, "blue")
        for pod in pods[:2]:
            await tenant.make_member("two", "TCP", 80, pod)
            await tenant.make_member("one", "TCP", 80, pod)
        with closing(Node(name, server.url)) as node:
            node.settled()
            with Changes(node.networks().values()) as changes:
                # what the difference of later comes to, while it is heard of at once
                for _ in range(2):  # the first time the pod's port becomes an endpoint, which it remains
                    member = await tenant.make_member("one", "TCP", 80, pods[2])
                    node.applied()
                    one_member = Counter(changes.heard())
                    await api.delete("loadbalancer-member", member)
                    node.applied()
                    assert changes.heard()
                assert one_member

                client = cluster.clients["blue"]
                with Servers() as servers:
                    for pod in pods:
                        servers.listen(pod, [80])
                    servers.start()
                    with closing(Connection(client, "tcp", vip, 80)) as connection:
                        who = connection.exchange()
                        server.kill()
                        await meanwhile(server.database, tmp_path, cluster, pods, compact=log == "compacted")
                        assert not node.ask("/healthz")["connected"]
                        assert changes.heard() == []
                        assert connection.exchange() == who
                        both = {(pod, 80) for pod in pods[:2]}
                        assert answering(client, "tcp", vip, 80, both) == both

                        server.start()
                        node.applied()
                        assert connection.exchange() == who
                        all_three = {(pod, 80) for pod in pods}
                        assert answering(client, "tcp", vip, 80, all_three) == all_three
                assert Counter(changes.heard()) == one_member
                assert node.agent
                again = any("reading everything again" in line for line in node.agent.lines)
                assert again == (log == "compacted")
            want = await expected(api, name)
            as_told(node, want)
            as_in_the_kernel(node, want)


async def meanwhile(database: str, folder: Path, cluster: Cluster, pods: list[str], *, compact: bool) -> None:
    """Where the agent does not hear of it: much that is taken back, and one member that stays."""
    elsewhere = Server(folder, database=database)
    try:
        async with ApiClient(elsewhere.url) as api:
            tenant = Client(cluster, api, random.Random(0))
            passing = {f"passing-{number}": f"{cluster.node}-{6 + number}" for number in range(4)}
            for service, pod in passing.items():
                await tenant.make_service(service, ("TCP", 80))
                await tenant.make_pod(pod, "red")
                await tenant.make_member(service, "TCP", 80, pod)
            for service, pod in passing.items():
                await tenant.service_leaves(service)
                await tenant.pod_leaves(pod)
            await tenant.join([])
            await tenant.join(list(NETWORKS))
            again = await api.fqname_to_id("loadbalancer-member", [*PROJECT, "two-TCP-80", pods[0]])
            await api.delete("loadbalancer-member", again)
            await tenant.make_member("two", "TCP", 80, pods[0])  # another object, of which the same follows
            await tenant.make_member("one", "TCP", 80, pods[2])
    finally:
        elsewhere.close()
    if compact:
        store = await Store.open(database, Limits(keep_hours=-1))
        try:
            assert await store.compact() > 20
        finally:
            await store.close()
