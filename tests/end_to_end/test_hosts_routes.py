"""Two hosts, and networks that policies join or do not: by VIPs, directly and from outside, across VRFs and nodes."""

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from faults_traffic import Servers, opened
from hosts import PREFIX, Cluster, begun, ip
from test_hosts import PORT, PROJECT, TARGET, World

from cli.demo.programs import Program

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(not all(map(shutil.which, ("ip", "nft"))), reason="needs ip and nft"),
    pytest.mark.slow,
]

OUTSIDE = "203.0.113"  # of the external network, on the underlay's wire


class Exposed(Cluster):
    """The underlay is what the agents call outside."""

    def start(self, node: str) -> None:
        where = ("--api", self.url, "--node", node, "--backend", "netns", "--workloads", "create")
        options = ("--introspect-port", "0", "--log-level", "warning", "--external-interface", "u0")
        self.agents[node] = Program("vrouter", *where, *options, host=self.hosts[node])
        self.agents[node].wait_ready()


class Isolated(World):
    """Service `web` in `services`, with a member in `pods` on each node; clients on each node in `pods` and in `red`,
    which is joined with `services` only."""

    def __init__(self, cluster: Cluster, apart: bool = False) -> None:
        """apart: the clients in `red` are on the first node only, the members in `pods` on the second."""
        self.cluster = cluster
        self.addresses, self.interfaces, self.machines, self.members, self.pools = {}, {}, {}, {}, {}
        self.routers = {
            node: cluster.post(
                "virtual-router", ["default-global-system-config", node], "global-system-config",
                virtual_router_ip_address=address,
            )
            for node, address in cluster.addresses.items()
        }  # fmt: skip
        self.networks: dict[str, str] = {}
        for index, network in enumerate(("services", "pods", "red")):
            self.networks[network] = self.network(network, f"10.{40 + index}.0.0")
        self.networks["public"] = self.network("public", f"{OUTSIDE}.0", router_external=True)
        cluster.post("floating-ip-pool", [*PROJECT, "public", "pool"], "virtual-network")
        for network in ("pods", "red"):
            self.attach(network, network, "services")
        self.service("web", "services")
        for number, node in enumerate(cluster.nodes, 1):
            if number == 1 or not apart:
                self.pod(self.name(f"red-{number}"), "red", node)
            if number == 2 or not apart:
                self.pod(self.name(f"web-{number}"), "pods", node)
                self.join("web", self.name(f"web-{number}"))

    def name(self, pod: str) -> str:
        return f"{self.cluster.name}-{pod}"

    def network(self, name: str, prefix: str, **fields: object) -> str:
        ipam = {"to": [*PROJECT, "default-network-ipam"], "attr": {"ipam_subnets": [
            {"subnet": {"ip_prefix": prefix, "ip_prefix_len": 24}},
        ]}}  # fmt: skip
        return self.cluster.post("virtual-network", [*PROJECT, name], "project", network_ipam_refs=[ipam], **fields)

    def attach(self, policy: str, one: str, other: str) -> None:
        """Let these two talk."""
        sides = {
            side: [{"virtual_network": ":".join([*PROJECT, name])}]
            for side, name in (("src_addresses", one), ("dst_addresses", other))
        }
        ports = {side: [{"start_port": -1, "end_port": -1}] for side in ("src_ports", "dst_ports")}
        rule = {"direction": "<>", "protocol": "any", "action_list": {"simple_action": "pass"}, **sides, **ports}
        uuid = self.cluster.post("network-policy", [*PROJECT, policy], "project",
                                 network_policy_entries={"policy_rule": [rule]})  # fmt: skip
        for network in (one, other):
            update = {"type": "virtual-network", "uuid": self.networks[network], "ref-type": "network-policy",
                      "ref-uuid": uuid, "operation": "ADD", "attr": {"sequence": {"major": 0, "minor": 0}}}  # fmt: skip
            self.cluster.api("POST", "/ref-update", update)

    def floating(self, name: str, interface: str) -> str:
        uuid = self.cluster.post(
            "floating-ip", [*PROJECT, "public", "pool", name], "floating-ip-pool", project_refs=[{"to": PROJECT}],
            virtual_machine_interface_refs=[{"to": [*PROJECT, interface]}],
        )  # fmt: skip
        found = self.cluster.api("GET", f"/floating-ip/{uuid}")["floating-ip"]
        return str(found["floating_ip_address"])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with begun(Exposed(f"r{os.getpid()}", tmp_path, 2)) as cluster:
        yield cluster


def ask(workload: str, address: str, port: int) -> str:
    """Who answers a new connection; empty if nobody does."""
    with closing(opened(workload, "tcp")) as one:
        one.settimeout(3)
        try:
            one.connect((address, port))
            one.send(b"?")
            return one.recv(200).decode().split()[0]
        except OSError:
            return ""


def eventually(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_across_vrfs_and_nodes(cluster: Cluster) -> None:
    world = Isolated(cluster)
    cluster.applied()
    web, red = ([world.name(f"{kind}-{number}") for number in (1, 2)] for kind in ("web", "red"))
    with Servers() as servers:
        for pod in (*web, *red):
            servers.listen(pod, [TARGET])
        servers.start()
        vip = world.addresses["vip-web"]

        # the VIP is reached from what is joined with its network; the pods behind it are not
        for client in (*web, *red):
            assert {ask(client, vip, PORT) for _ in range(20)} == set(web)
        for client, other in ((red[0], web[0]), (red[0], web[1]), (web[0], red[0]), (web[1], red[0])):
            assert ask(client, world.addresses[other], TARGET) == ""

        # a policy lets them talk directly, also from node to node
        world.attach("direct", "red", "pods")
        cluster.applied()
        for client, other in ((red[0], web[0]), (red[0], web[1]), (web[1], red[0])):
            assert ask(client, world.addresses[other], TARGET) == other
        assert {ask(red[1], vip, PORT) for _ in range(20)} == set(web)

        # from outside: the first node with a member has the address, and its member answers
        ip(cluster.switch, f"route add {OUTSIDE}.0/24 dev br0")
        public, own = world.floating("web", "vip-web"), world.floating("own", web[1])
        cluster.applied()
        eventually(lambda: ask(cluster.switch, public, PORT) == web[0])
        assert ask(cluster.switch, public, TARGET) == ""
        assert {ask(red[1], public, PORT) for _ in range(20)} == set(web)

        # a pod's own address, both ways
        eventually(lambda: ask(cluster.switch, own, TARGET) == web[1])
        assert _seen_as(cluster, web[1]) == own
        assert _seen_as(cluster, web[0]) == ""


def test_networks_that_share_no_node(cluster: Cluster) -> None:
    world = Isolated(cluster, apart=True)
    cluster.applied()
    client, member = world.name("red-1"), world.name("web-2")
    with Servers() as servers:
        for pod in (client, member):
            servers.listen(pod, [TARGET])
        servers.start()
        assert ask(client, world.addresses["vip-web"], PORT) == member
        assert ask(client, world.addresses[member], TARGET) == ask(member, world.addresses[client], TARGET) == ""
        ip(cluster.switch, f"route add {OUTSIDE}.0/24 dev br0")
        public = world.floating("web", "vip-web")
        cluster.applied()
        eventually(lambda: ask(cluster.switch, public, PORT) == member)


def _seen_as(cluster: Cluster, pod: str) -> str:
    """The address of a pod that goes out, as who is outside sees it; empty if it does not get out."""
    with closing(opened(cluster.switch, "tcp")) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last one may linger
        server.bind((f"{PREFIX}.254", 7))
        server.listen()
        server.settimeout(4)
        seen: list[str] = []
        thread = threading.Thread(target=partial(_accept, server, seen))
        thread.start()
        with closing(opened(pod, "tcp")) as client:
            client.settimeout(3)
            try:
                client.connect((f"{PREFIX}.254", 7))
            except OSError:
                server.shutdown(socket.SHUT_RDWR)
        thread.join()
    return seen[0] if seen else ""


def _accept(server: socket.socket, seen: list[str]) -> None:
    try:
        connection, (source, _) = server.accept()
    except OSError:
        return
    connection.close()
    seen.append(source)
