"""As an ordinary user, a program of its own: the agent is killed while connections are open; nothing breaks, and the
next agent changes nothing. Ends with an error if it is otherwise."""

import asyncio
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from faults_history import Client, Cluster
from faults_node import Node, Server

from api_client import ApiClient
from cli.demo import pods

NAME = "ordinary"
CONNECTIONS = 20
CHANGES = str(Path(__file__).with_name("faults_changes.py"))


async def build(server: Server, cluster: Cluster) -> str:
    """Two pods behind a VIP."""
    async with ApiClient(server.url) as api:
        await cluster.build(api)
        client = Client(cluster, api, random.Random(0))
        vip = await client.make_service("web", ("TCP", 80))
        for pod in (f"{NAME}-0", f"{NAME}-2"):
            await client.make_pod(pod, "blue")
            await client.make_member("web", "TCP", 80, pod)
    return vip


@contextmanager
def listening(node: Node) -> "Iterator[list[subprocess.Popen[str]]]":
    """What hears of changes in the node's VRFs."""
    found = []
    with ExitStack() as stack:
        for row in node.ask("/vrfs"):
            words = [*pods.VAPORTRAIL, "exec", f"vt-{node.name}-{row['index']}", sys.executable, CHANGES]
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            found.append(stack.enter_context(process))
            assert process.stdout
            assert process.stdout.readline() == "listening\n"
        yield found


def heard(process: "subprocess.Popen[str]") -> str:
    assert process.stdin
    assert process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def go_on(traffic: pods.Traffic) -> None:
    """Until every connection is open and has been used again."""
    before = traffic.report()["exchanges"]
    while (report := traffic.report())["exchanges"] < before + 2 * CONNECTIONS or report["open"] < CONNECTIONS:
        assert not report["broken"], json.dumps(report)


def main() -> None:
    cluster = Cluster(NAME)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(closing(Server(Path(folder))))
        node = stack.enter_context(closing(Node(NAME, server.url)))
        vip = asyncio.run(build(server, cluster))
        node.applied()
        for pod in (f"{NAME}-0", f"{NAME}-2"):
            stack.enter_context(pods.web(pod, [80]))
        traffic = stack.enter_context(pods.Traffic(cluster.clients["blue"], f"http://{vip}:80", CONNECTIONS))
        go_on(traffic)
        with listening(node) as listeners:
            node.kill()
            go_on(traffic)
            node.start()
            node.settled()
            go_on(traffic)
            assert [heard(listener) for listener in listeners] == ["[]"] * len(listeners)
        print("nothing changed")


if __name__ == "__main__":
    main()
