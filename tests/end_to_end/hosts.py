"""Hosts as network namespaces, cables to a switch between them, and on each a node's agent of its own."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import Request, urlopen

from faults_node import namespaces

from cli.demo.programs import ENVIRONMENT, VAPORTRAIL, Program
from vrouter import namespace

T = TypeVar("T")
C = TypeVar("C", bound="Cluster")

PREFIX = "192.0.2"  # of the underlay: the switch has .254, host k has .k


def ip(host: str, *batch: str) -> None:
    subprocess.run(["ip", "-n", host, "-batch", "-"], input="\n".join(batch), text=True, check=True)


class Cluster:
    """A server at the switch; nodes `<name>n1`, ... on hosts `<name>h1`, ..."""

    def __init__(self, name: str, folder: Path, nodes: int) -> None:
        self.name = name
        self.switch = f"{name}u"
        self.nodes = [f"{name}n{k}" for k in range(1, nodes + 1)]
        self.hosts = {node: f"{name}h{k}" for k, node in enumerate(self.nodes, 1)}
        self.addresses = {node: f"{PREFIX}.{k}" for k, node in enumerate(self.nodes, 1)}
        self.agents: dict[str, Program] = {}
        self.server: Program | None = None
        self._database = f"sqlite:///{folder}/cluster.db"

    def begin(self) -> None:
        self._cable()
        self.server = Program(
            *("serve", "--host", f"{PREFIX}.254", "--port", "0", "--no-auth", "--log-level", "warning"),
            *("--database", self._database),
            host=self.switch,
        )
        self.url = self.server.wait_ready()
        for node in self.nodes:
            self.start(node)

    def _cable(self) -> None:
        namespace.create(self.switch)
        ip(self.switch, "link set lo up", "link add br0 type bridge", f"addr add {PREFIX}.254/24 dev br0",
           "link set br0 up")  # fmt: skip
        for node, host in self.hosts.items():
            namespace.create(host)
            port = host.removeprefix(self.name)
            ip(host, "link set lo up", f"link add u0 type veth peer name {port} netns {self.switch}",
               f"addr add {self.addresses[node]}/24 dev u0", "link set u0 up")  # fmt: skip
            ip(self.switch, f"link set {port} master br0 up")

    # --- agents

    def start(self, node: str) -> None:
        where = ("--api", self.url, "--node", node, "--backend", "netns", "--workloads", "create")
        options = ("--introspect-port", "0", "--log-level", "warning")
        self.agents[node] = Program("vrouter", *where, *options, host=self.hosts[node])
        self.agents[node].wait_ready()

    def kill(self, node: str) -> None:
        self.agents.pop(node).kill()

    def lose(self, node: str) -> None:
        """All that the host had: its cable, what forwards there, its pods."""
        if node in self.agents:
            self.kill(node)
        self._remove(node)
        namespace.remove(self.hosts[node])

    def ask(self, node: str, page: str) -> Any:
        return self.inside(self.hosts[node], lambda: _json(f"{self.agents[node].url}{page}"))

    # --- the API, from the switch

    def post(self, type: str, fq_name: list[str], parent: str | None = None, **fields: Any) -> str:
        body = {"fq_name": fq_name} | ({"parent_type": parent} if parent else {}) | fields
        uuid: str = self.api("POST", f"/{type}s", {type: body})[type]["uuid"]
        return uuid

    def link(self, type: str, uuid: str, other: str, target: str, operation: str = "ADD") -> None:
        update = {"type": type, "uuid": uuid, "ref-type": other, "ref-uuid": target, "operation": operation}
        self.api("POST", "/ref-update", update)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        return self.inside(self.switch, lambda: _json(f"{self.url}{path}", method, body))

    def applied(self, *but: str) -> None:
        """Wait until what the server has now is what all nodes have, but these."""
        left = "".join(f"&except={node}" for node in but)
        page = self.api("GET", f"/status/wait?timeout=30{left}")
        assert page["reached"], page
        assert page["failing"] == [], page

    @staticmethod
    def inside(host: str, action: Callable[[], T]) -> T:
        return namespace.inside(host, action)

    def close(self) -> None:
        for program in (*self.agents.values(), self.server):
            if program is not None:
                program.stop()
        for node in self.nodes:
            self._remove(node)
        for one in (self.switch, *self.hosts.values()):
            namespace.remove(one)

    def _remove(self, node: str) -> None:
        """What its agents made."""
        if self.hosts[node] in namespaces():
            command = [*VAPORTRAIL, "exec", self.hosts[node], *VAPORTRAIL, "vrouter", "--node", node, "--cleanup"]
            subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, timeout=60)


def _json(url: str, method: str = "GET", body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


@contextmanager
def begun(cluster: C) -> Iterator[C]:
    """It stands, and leaves nothing behind."""
    try:
        cluster.begin()
        yield cluster
    finally:
        cluster.close()
    assert [one for one in namespaces() if cluster.name in one] == []
