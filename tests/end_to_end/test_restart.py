"""A restart changes nothing: not the agent's, not the server's, not both at once; and what changed meanwhile is all
that is changed afterwards."""

import os
import random
import shutil
import sys
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import ordinary_user
import pytest
from faults_changes import Changes
from faults_checks import Open, as_in_the_kernel, as_told
from faults_history import Client, Cluster
from faults_node import Node, Server
from faults_oracle import expected
from faults_play import play
from faults_traffic import Servers

from api_client import ApiClient
from cli.demo.programs import ENVIRONMENT

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(not all(map(shutil.which, ("ip", "nft"))), reason="needs ip and nft"),
]


@pytest.mark.slow
async def test_after_a_history(server: Server, name: str, seed: int) -> None:
    cluster = Cluster(name)
    async with ApiClient(server.url) as api:
        with closing(Node(name, server.url)) as node:
            await cluster.build(api)
            await play(cluster, server, node, random.Random(seed), steps=120, deaths=0)
            tenant = Client(cluster, api, random.Random(0))  # so that something is answered, whatever the history
            await tenant.make_pod(f"{name}-0", "blue")
            await tenant.make_service("last", ("TCP", 80))
            await tenant.make_member("last", "TCP", 80, f"{name}-0")
            node.settled()
            want = await expected(api, name)
            with Servers() as servers, closing(Open(cluster, want, servers)) as connections:
                with Changes(node.networks().values()) as changes:
                    connections.go_on()
                    node.restart()
                    node.settled()
                    connections.go_on()
                    assert changes.heard() == []

                    server.kill()
                    connections.go_on()
                    server.start()
                    await _touch(api)
                    node.settled()
                    assert changes.heard() == []

                    server.kill()
                    node.restart()
                    assert not node.ask("/healthz")["connected"]
                    connections.go_on()
                    server.start()
                    await _touch(api)
                    node.settled()
                    connections.go_on()
                    assert changes.heard() == []
                as_told(node, want)
                as_in_the_kernel(node, want)


@pytest.mark.slow
@pytest.mark.parametrize("away", ["agent", "server"])
async def test_with_changes_made_meanwhile(server: Server, name: str, away: str) -> None:
    cluster = Cluster(name)
    async with ApiClient(server.url) as api:
        with closing(Node(name, server.url)) as node:
            await cluster.build(api)
            tenant = Client(cluster, api, random.Random(0))
            vip = await tenant.make_service("one", ("TCP", 80))
            await tenant.make_service("two", ("TCP", 80))
            for pod in (f"{name}-0", f"{name}-2"):
                await tenant.make_pod(pod, "blue")
                await tenant.make_member("two", "TCP", 80, pod)
            await tenant.make_member("one", "TCP", 80, f"{name}-0")
            node.settled()
            with Changes(node.networks().values()) as changes:
                if away == "server":
                    server.kill()
                    server.start()
                else:
                    node.kill()
                member = await tenant.make_member("one", "TCP", 80, f"{name}-2")
                if away == "agent":
                    node.start()
                node.applied()
                heard = set(changes.heard())
                assert heard <= {"next hop", f"route {vip}"}
                assert "next hop" in heard

                (server.kill if away == "server" else node.kill)()
                (server.start if away == "server" else node.start)()
                await api.delete("loadbalancer-member", member)
                node.applied()
                assert set(changes.heard()) <= {"next hop", f"route {vip}"}
                await tenant.make_member("one", "TCP", 80, f"{name}-2", 81)
                node.applied()
                assert any(change.startswith("nft") for change in changes.heard())  # of a port it is the table
            as_in_the_kernel(node, await expected(api, name))


@pytest.mark.slow
@pytest.mark.skipif(not ordinary_user.user_namespaces(), reason="ordinary users may make no user namespaces here")
def test_an_ordinary_users_agent_is_killed() -> None:
    script = Path(__file__).with_name("faults_user.py")
    with ordinary_user.home() as folder:
        environment = ENVIRONMENT | {"PYTHONPATH": str(ordinary_user.ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        done = ordinary_user.run([sys.executable, str(script)], folder, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "nothing changed\n"


async def _touch(api: ApiClient) -> None:
    """A new revision, so that who has it has heard of the server since."""
    await api.create("project", {"fq_name": ["default-domain", str(uuid4())], "parent_type": "domain"})
