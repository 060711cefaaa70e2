"""On one machine there are others: their nodes, their namespaces, what is plugged into them. An agent touches nothing
that it did not make, and leaves nothing of what it made."""

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager

import pytest
from faults_changes import Changes
from faults_checks import Open, as_in_the_kernel
from faults_history import PROJECT, TARGETS, Client, Cluster
from faults_node import Node, Server, ip, namespaces
from faults_oracle import expected
from faults_traffic import Servers, ask

from api_client import ApiClient

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(not all(map(shutil.which, ("ip", "nft"))), reason="needs ip and nft"),
]
THEIRS = {"lo", "theirs", "too"}  # links of a namespace that is somebody else's


@pytest.mark.slow
async def test_two_agents_do_not_disturb_each_other(server: Server, name: str) -> None:
    clusters = [Cluster(f"{name}{letter}") for letter in "ab"]
    async with ApiClient(server.url) as api:
        with closing(Node(clusters[0].node, server.url)) as a, closing(Node(clusters[1].node, server.url)) as b:
            await clusters[0].build(api)
            await clusters[1].enter(api)
            await clusters[1].settle(api)
            tenants = [Client(cluster, api, random.Random(0)) for cluster in clusters]
            await tenants[0].make_service("shared", ("TCP", 80))
            for cluster, tenant in zip(clusters, tenants, strict=True):
                await tenant.make_pod(f"{cluster.node}-0", "blue")
                await tenant.make_member("shared", "TCP", 80, f"{cluster.node}-0")
            a.settled()
            b.settled()
            for node in (a, b):  # each has the members that it can reach
                as_in_the_kernel(node, await expected(api, node.name))

            want = await expected(api, b.name)
            with (
                Servers() as servers,
                closing(Open(clusters[1], want, servers)) as connections,
                Changes(b.networks().values()) as changes,
            ):
                a.kill()
                assert a.cleanup()
                assert a.networks() == {}
                connections.go_on()
                a.start()
                a.applied()
                connections.go_on()
                assert changes.heard() == []
            for node in (a, b):
                as_in_the_kernel(node, await expected(api, node.name))


@pytest.mark.slow
async def test_cleanup_after_a_kill_while_traffic_runs(server: Server, name: str) -> None:
    cluster = Cluster(name)
    async with ApiClient(server.url) as api:
        with closing(Node(name, server.url)) as node:
            await cluster.build(api)
            tenant = Client(cluster, api, random.Random(0))
            await tenant.make_pod(f"{name}-0", "blue")
            await tenant.make_service("web", ("TCP", 80))
            await tenant.make_member("web", "TCP", 80, f"{name}-0")
            node.applied()
            want = await expected(api, name)
            with Servers() as servers, closing(Open(cluster, want, servers)) as connections:
                connections.go_on()
                node.kill()
                connections.go_on()
                node.cleanup()  # the sockets still live in namespaces that have no name any more
                assert [one for one in namespaces() if name in one] == []
            assert node.cleanup() == [f"nothing of node {name} is here"]
            node.start()
            node.applied()
            as_in_the_kernel(node, want)


@pytest.mark.slow
async def test_a_workloads_name_that_is_taken(server: Server, name: str) -> None:
    """Nothing of theirs is touched, and once they have left, the name is free."""
    cluster, taken = Cluster(name), f"{name}-0"
    async with ApiClient(server.url) as api:
        with closing(Node(name, server.url)) as node, theirs(taken):
            await cluster.build(api)
            tenant = Client(cluster, api, random.Random(0))
            for pod in (taken, f"{name}-2"):
                await tenant.make_pod(pod, "blue")
            await tenant.make_service("web", ("TCP", 80))
            await tenant.make_member("web", "TCP", 80, taken)
            await tenant.make_member("web", "TCP", 80, f"{name}-2")
            node.applied()
            interface = await api.fqname_to_id("virtual-machine-interface", [*PROJECT, taken])
            (reason,) = [row for row in node.ask("/reasons") if row["uuid"] == interface]
            assert f"The network namespace {taken} exists and is not of node {name}" in reason["text"]
            (members,) = node.forwarding()[(await expected(api, name)).vrfs["blue"]].values()
            assert {address for address, _ in members} == {node_address(node, f"{name}-2")}
            assert links_of(taken) == THEIRS

            await tenant.pod_leaves(taken)
            node.applied()
            assert links_of(taken) == THEIRS
            node.kill()
            node.cleanup()
            assert links_of(taken) == THEIRS
            node.start()
            await tenant.make_pod(taken, "blue")
            node.applied()
            leave(taken)
            node.settled()
            as_in_the_kernel(node, await expected(api, name))


@pytest.mark.slow
async def test_plugging_into_namespaces_that_exist(server: Server, name: str) -> None:
    """One that comes late is plugged in when it is there; in the end only what was plugged in is gone."""
    cluster = Cluster(name)
    client, late = cluster.clients["blue"], f"{name}-0"
    async with AsyncExitStack() as stack:
        for workload in cluster.clients.values():
            stack.enter_context(theirs(workload))
        api = await stack.enter_async_context(ApiClient(server.url))
        node = stack.enter_context(closing(Node(name, server.url, workloads="attach")))
        await cluster.build(api)
        tenant = Client(cluster, api, random.Random(0))
        await tenant.make_pod(late, "blue")
        vip = await tenant.make_service("web", ("TCP", 80))
        await tenant.make_member("web", "TCP", 80, late)
        node.applied()
        assert any(f"no network namespace {late}" in row["text"] for row in node.ask("/reasons"))
        assert ask(client, "tcp", vip, 80) is None
        stack.enter_context(theirs(late))
        node.settled()
        with Servers() as servers:
            servers.listen(late, TARGETS)
            servers.start()
            assert ask(client, "tcp", vip, 80) == (late, 80)
        assert links_of(late) == THEIRS | {"eth0"}
        node.kill()
        node.cleanup()
        assert links_of(late) == links_of(client) == THEIRS


@contextmanager
def theirs(workload: str) -> Iterator[None]:
    """A namespace of somebody else's, with links of its own."""
    subprocess.run(["ip", "netns", "add", workload], check=True)
    try:
        subprocess.run(["ip", "-n", workload, "link", "add", "theirs", "type", "veth", "peer", "too"], check=True)
        yield
    finally:
        if workload in namespaces():
            leave(workload)


def leave(workload: str) -> None:
    subprocess.run(["ip", "netns", "del", workload], check=True)


def links_of(workload: str) -> set[str]:
    return {row["ifname"] for row in ip("-n", workload, "link")} if workload in namespaces() else set()


def node_address(node: Node, pod: str) -> str:
    (address,) = [row["address"] for row in node.ask("/interfaces") if row["workload"] == pod]
    return str(address)
