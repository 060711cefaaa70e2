"""`vaportrail nodes`, `wait --all-nodes` and the nodes of `status`, of nodes that report as they are told here."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cli_runs import Shell

from cli.demo.programs import Program

AGENT = {
    "version": "1.2", "backend": "simulator", "problems": ["no IPv6 here"],
    "units": {"done": 4, "pending": 0, "error": 1},
    "reasons": [
        {"type": "loadbalancer", "uuid": "u", "name": "d:p:web", "code": "backend", "text": "VIP 10.0.0.9: no room"},
        {"type": "loadbalancer-member", "uuid": "m", "code": "no-interface", "text": "member m: nobody has 10.0.0.1"},
    ],
    "more_reasons": 3,
}  # fmt: skip


class Cluster(Shell):
    """A server of its own, since all nodes of a server count."""

    def report(self, node: str, revision: int, **more: Any) -> None:
        body = {"node": node, "revision": revision, **more}
        httpx.post(f"{self.url}/status", json=body, trust_env=False).raise_for_status()


@pytest.fixture(scope="module")
def cluster(new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("nodes")
    with Program("serve", "--port", "0", "--database", new_database()) as server:
        yield Cluster(server.wait_ready(), "p", Path(folder))


@pytest.fixture(autouse=True)
def empty(cluster: Cluster) -> Iterator[None]:
    yield
    for node in json.loads(cluster.run("nodes", "-o", "json")):
        if node["virtual_router"]:
            cluster.run("rm", f"virtual-router/default-global-system-config:{node['node']}")
        else:
            cluster.run("nodes", node["node"], "--forget")


def test_the_table(cluster: Cluster) -> None:
    assert cluster.run("nodes").splitlines()[1:] == ["no node has reported, and there is no virtual-router"]
    cluster.run("create", "virtual-router/default-global-system-config:n2")
    now = cluster.revision()
    cluster.report("n1", now - 1, agent=AGENT)
    head, first, second, *lines = cluster.run("nodes").splitlines()
    assert head.split("  ")[0] == "Node"
    assert re.fullmatch(rf"n1 +reporting +{now - 1} +1 +\d+ s ago +5 +1 +simulator +1\.2", first), first
    assert re.fullmatch(r"n2 +never reported( +-)+", second), second
    assert lines == [
        "n1: problem: no IPv6 here",
        "n1: loadbalancer d:p:web: VIP 10.0.0.9: no room",
        "n1: 4 more reasons why something is not used (vaportrail nodes n1)",
    ]
    assert cluster.run("nodes", "n1").splitlines()[-2:] == [
        "n1: loadbalancer-member m: member m: nobody has 10.0.0.1",
        "n1: 3 more reasons why something is not used (vaportrail why, asked of its agent)",
    ]
    (one,) = json.loads(cluster.run("nodes", "n2", "-o", "json"))
    assert (one["node"], one["state"]) == ("n2", "never reported")
    assert cluster.refused("nodes", "n3").startswith("no node is called n3")
    assert cluster.refused("nodes", "--forget", status=2).startswith("--forget goes with a node")
    assert cluster.refused("nodes", "n3", "--forget") == "No node n3 has reported"


def test_waiting_for_all(cluster: Cluster) -> None:
    cluster.run("create", "virtual-router/default-global-system-config:n3")
    now = cluster.revision()
    cluster.report("n1", now)
    cluster.report("n2", now - 1, agent=AGENT)
    told = cluster.ask("wait", "--all-nodes", "--timeout", "0")
    assert (told.status, told.out) == (1, "")
    failed, *late, sentence = told.err.splitlines()
    assert failed == "n2: VIP 10.0.0.9: no room"
    assert re.fullmatch(rf"n2: has applied revision {now - 1}, 1 behind, last report \d+ s ago", late[0]), late
    assert late[1:] == ["n3: never reported"]
    assert sentence == f"vaportrail: revision {now} is not applied on 2 nodes of 3 after 0 s"

    cluster.report("n2", now, agent={**AGENT, "reasons": []})
    told = cluster.ask("wait", "--all-nodes", "--ignore-silent")
    assert (told.status, told.out) == (0, f"revision {now} is applied on 2 nodes\n")
    assert told.err.splitlines() == ["n2: 1 unit could not be made"]
    told = cluster.ask("wait", str(now - 1), "--all-nodes", "--except", "n3", "--except", "n2")
    assert (told.status, told.out, told.err) == (0, f"revision {now - 1} is applied on 1 node\n", "")
    page = json.loads(cluster.ask("wait", "--all-nodes", "--timeout", "0", "-o", "json").out)
    assert (page["reached"], [node["node"] for node in page["missing"]]) == (False, ["n3"])
    assert "go with --all-nodes" in cluster.refused("wait", "--ignore-silent", status=2)


def test_nodes_are_shown_with_the_agent_and_without(cluster: Cluster) -> None:
    cluster.run("create", "virtual-router/default-global-system-config:n2")
    cluster.report("n1", cluster.revision(), agent=AGENT)
    told = cluster.ask("status", "--introspect", "http://127.0.0.1:9")
    assert told.status == 1
    assert told.err.startswith("vaportrail: no vRouter agent at http://127.0.0.1:9")
    assert told.out.splitlines() == [
        "nodes:      1 of 2 have applied all there is",
        "nodes:      n2: never reported",
        "nodes:      n1: 1 unit could not be made (vaportrail nodes n1)",
    ]
    told = cluster.ask("status", "--introspect", "http://127.0.0.1:9", "-o", "json")
    assert [node["node"] for node in json.loads(told.out)["nodes"]] == ["n1", "n2"]
    told = cluster.ask("status", "--introspect", "http://127.0.0.1:9", "--api", "http://127.0.0.1:9")
    assert told.out.startswith("nodes:      not known: no answer from http://127.0.0.1:9")
