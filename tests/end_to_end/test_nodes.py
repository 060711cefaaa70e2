"""Whether a change has arrived everywhere: real programs, two nodes on the simulator, one of which dies and returns."""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import pytest
from faults_node import Node, Server

from api_client import ApiClient
from cli.demo.programs import ENVIRONMENT, VAPORTRAIL

pytestmark = pytest.mark.slow


@pytest.fixture
async def api(server: Server) -> AsyncIterator[ApiClient]:
    async with ApiClient(server.url) as client:
        yield client


async def told(server: Server, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [*VAPORTRAIL, *words, "--api", server.url]
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=60
    )


async def state(api: ApiClient, name: str) -> dict[str, Any]:
    return next(node for node in await api.nodes() if node["node"] == name)


async def test_a_change_arrives_on_all_nodes_or_it_is_told_where_not(server: Server, api: ApiClient) -> None:
    routers = [
        await api.create("virtual-router", {"fq_name": ["default-global-system-config", name]})
        for name in ("one", "two")
    ]
    one, two = (Node(name, server.url, backend="simulator") for name in ("one", "two"))
    with closing(one), closing(two):
        two.applied()
        await api.create("virtual-network", {"fq_name": ["default-domain", "default-project", "a"]})
        done = await told(server, "wait", "--all-nodes")
        assert (done.returncode, done.stdout) == (0, f"revision {api.revision} is applied on 2 nodes\n"), done.stderr
        for name in ("one", "two"):
            node = await state(api, name)
            assert (node["state"], node["behind"]) == ("reporting", 0)
            assert node["agent"].items() >= {"backend": "simulator", "problems": [], "more_reasons": 0}.items()

        two.kill()
        await api.create("virtual-network", {"fq_name": ["default-domain", "default-project", "b"]})
        assert (await told(server, "wait", "--all-nodes")).returncode == 0, "it has nothing for any node"
        await api.update("virtual-router", routers[1]["uuid"], {"display_name": "of node two"})
        wanted = api.revision
        done = await told(server, "wait", "--all-nodes", "--timeout", "1")
        assert done.returncode == 1
        missing, sentence = done.stderr.splitlines()
        assert re.match(r"two: has applied revision \d+, \d+ behind, last report ", missing)
        assert sentence == f"vaportrail: revision {wanted} is not applied on 1 node of 2 after 1 s"
        assert (await told(server, "wait", "--all-nodes", "--except", "two")).returncode == 0

        waiting = asyncio.create_task(told(server, "wait", str(wanted), "--all-nodes", "-o", "json"))
        await asyncio.to_thread(two.start)
        done = await waiting
        assert (done.returncode, json.loads(done.stdout)["missing"]) == (0, []), done.stderr

        await told(server, "rm", "virtual-router/default-global-system-config:one")
        assert [node["node"] for node in await api.nodes()] in (["two"], ["one", "two"])  # its agent still reports


async def test_a_node_reports_on_a_server_that_was_away(server: Server, api: ApiClient) -> None:
    with closing(Node("one", server.url, backend="simulator")) as node:
        node.applied()
        assert (await api.wait_for_nodes())["reached"]
        server.kill()
        server.start()
        await api.create("virtual-network", {"fq_name": ["default-domain", "default-project", "a"]})
        found = await api.wait_for_nodes(seconds=30)
        assert (found["reached"], found["revision"]) == (True, api.revision)
