"""Three hosts, a node's agent on each: two networks that span them, one of which reaches its service by a policy. Every
allowed client reaches every member, nobody else does; interfaces move; a node dies, and nobody elsewhere notices.
"""

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from faults_traffic import Connection, Servers
from hosts import Cluster, begun

from vrouter import namespace

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(not all(map(shutil.which, ("ip", "nft"))), reason="needs ip and nft"),
    pytest.mark.slow,
]

PROJECT = ["default-domain", "default-project"]
COLOURS = ("blue", "green")
PORT, TARGET = 80, 8080


class World:
    """Network `blue` and its service's network `services`, joined by a policy; network `green` with its service in it.

    Of each colour a member and a client on each node: `<name>-green-2`, `<name>-green-client-2`."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.addresses: dict[str, str] = {}
        self.interfaces: dict[str, str] = {}
        self.machines: dict[str, str] = {}
        self.members: dict[str, str] = {}
        self.pools: dict[str, str] = {}
        self.routers = {
            node: cluster.post(
                "virtual-router", ["default-global-system-config", node], "global-system-config",
                virtual_router_ip_address=address,
            )
            for node, address in cluster.addresses.items()
        }  # fmt: skip
        policy = self.policy("blue", "services")
        for index, (network, policies) in enumerate({"blue": [policy], "services": [policy], "green": []}.items()):
            ipam = {"to": [*PROJECT, "default-network-ipam"], "attr": {"ipam_subnets": [
                {"subnet": {"ip_prefix": f"10.{40 + index}.0.0", "ip_prefix_len": 24}},
            ]}}  # fmt: skip
            refs = [{"to": one, "attr": {"sequence": {"major": 0, "minor": 0}}} for one in policies]
            cluster.post("virtual-network", [*PROJECT, network], "project", network_ipam_refs=[ipam],
                         network_policy_refs=refs)  # fmt: skip
        for colour, network in (("blue", "services"), ("green", "green")):
            self.service(colour, network)
        for colour, (number, node) in product(COLOURS, enumerate(cluster.nodes, 1)):
            self.pod(self.member(colour, number), colour, node)
            self.pod(self.client(colour, number), colour, node)
            self.join(colour, self.member(colour, number))

    def member(self, colour: str, number: int) -> str:
        return f"{self.cluster.name}-{colour}-{number}"

    def client(self, colour: str, number: int) -> str:
        return f"{self.cluster.name}-{colour}-client-{number}"

    def of(self, colour: str) -> set[str]:
        return {self.member(colour, number) for number in (1, 2, 3)}

    def policy(self, one: str, other: str) -> list[str]:
        sides = {
            side: [{"virtual_network": ":".join([*PROJECT, name])}]
            for side, name in (("src_addresses", one), ("dst_addresses", other))
        }
        rule = {"direction": "<>", "protocol": "any", "action_list": {"simple_action": "pass"}, **sides}
        ports = {side: [{"start_port": -1, "end_port": -1}] for side in ("src_ports", "dst_ports")}
        self.cluster.post("network-policy", [*PROJECT, "joined"], "project",
                          network_policy_entries={"policy_rule": [rule | ports]})  # fmt: skip
        return [*PROJECT, "joined"]

    def interface(self, name: str, network: str, **fields: object) -> None:
        post = self.cluster.post
        where = [{"to": [*PROJECT, network]}]
        self.interfaces[name] = post(
            "virtual-machine-interface", [*PROJECT, name], "project", virtual_network_refs=where, **fields
        )
        uuid = post("instance-ip", [name], virtual_network_refs=where,
                    virtual_machine_interface_refs=[{"to": [*PROJECT, name]}])  # fmt: skip
        self.addresses[name] = self.cluster.api("GET", f"/instance-ip/{uuid}")["instance-ip"]["instance_ip_address"]

    def pod(self, name: str, network: str, node: str) -> None:
        self.machines[name] = self.cluster.post("virtual-machine", [name])
        self.interface(name, network, virtual_machine_refs=[{"to": [name]}])
        self.place(name, node)

    def place(self, name: str, node: str, operation: str = "ADD") -> None:
        self.cluster.link("virtual-router", self.routers[node], "virtual-machine", self.machines[name], operation)

    def service(self, colour: str, network: str) -> None:
        post = self.cluster.post
        self.interface(f"vip-{colour}", network)
        post("loadbalancer", [*PROJECT, colour], "project", loadbalancer_provider="native",
             loadbalancer_properties={"vip_address": self.addresses[f"vip-{colour}"], "admin_state": True},
             virtual_machine_interface_refs=[{"to": [*PROJECT, f"vip-{colour}"]}])  # fmt: skip
        post("loadbalancer-listener", [*PROJECT, colour], "project", loadbalancer_refs=[{"to": [*PROJECT, colour]}],
             loadbalancer_listener_properties={"protocol": "TCP", "protocol_port": PORT})  # fmt: skip
        self.pools[colour] = post(
            "loadbalancer-pool", [*PROJECT, colour], "project",
            loadbalancer_pool_properties={"protocol": "TCP", "loadbalancer_method": "ROUND_ROBIN"},
            loadbalancer_listener_refs=[{"to": [*PROJECT, colour]}],
        )  # fmt: skip

    def join(self, colour: str, pod: str) -> None:
        self.members[pod] = self.cluster.post(
            "loadbalancer-member", [*PROJECT, colour, pod], "loadbalancer-pool",
            loadbalancer_member_properties={"address": self.addresses[pod], "protocol_port": TARGET, "weight": 1},
            annotations={"key_value_pair": [{"key": "vmi", "value": self.interfaces[pod]}]},
        )  # fmt: skip

    def drain(self, pod: str) -> None:
        uuid = self.members[pod]
        properties = {"address": self.addresses[pod], "protocol_port": TARGET, "weight": 0}
        body = {"loadbalancer-member": {"loadbalancer_member_properties": properties}}
        self.cluster.api("PUT", f"/loadbalancer-member/{uuid}", body)

    # --- what clients see

    def connect(self, client: str, colour: str) -> Connection:
        return Connection(client, "tcp", self.addresses[f"vip-{colour}"], PORT)

    def reached(self, client: str, colour: str, enough: int, most: int = 100) -> set[str]:
        """Who answers new connections, until that many are known."""
        found: set[str] = set()
        for _ in range(most):
            with closing(self.connect(client, colour).socket) as one:
                one.send(b"?")
                found.add(one.recv(200).decode().split()[0])
            if len(found) >= enough:
                break
        return found

    def is_refused(self, client: str, address: str, port: int) -> bool:
        kind = partial(socket.socket, socket.AF_INET, socket.SOCK_STREAM)
        with namespace.inside(client, kind) as one:
            one.settimeout(2)
            try:
                one.connect((address, port))
            except OSError:
                return True
            return False


class Held:
    """Connections that stay open, several of each client, and who answers on each."""

    def __init__(self, world: World, stack: ExitStack) -> None:
        self.open: list[tuple[Connection, str, str]] = []  # the connection, its client, and who answers
        for colour, number in product(COLOURS, (1, 2, 3)):
            for _ in range(8):
                one = world.connect(world.client(colour, number), colour)
                stack.enter_context(closing(one.socket))
                self.open.append((one, world.client(colour, number), one.exchange()[0]))

    def go_on(self, *, but: set[str]) -> None:
        """All but those from or to these pods."""
        kept = [each for each in self.open if not {each[1], each[2]} & but]
        assert len(kept) > 8
        assert [one.exchange()[0] for one, _, _ in kept] == [who for _, _, who in kept]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with begun(Cluster(f"c{os.getpid()}", tmp_path, 3)) as cluster:
        yield cluster


def until(look: "partial[bool]", seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline


def test_three_nodes_and_what_becomes_of_them(cluster: Cluster) -> None:
    world = World(cluster)
    cluster.applied()
    with ExitStack() as stack:
        servers = stack.enter_context(Servers())
        for colour, number in product(COLOURS, (1, 2, 3)):
            servers.listen(world.member(colour, number), [TARGET])
        servers.start()

        # every client reaches every member of its service, and no other's
        for colour, number in product(COLOURS, (1, 2, 3)):
            client, other = world.client(colour, number), COLOURS[1 - COLOURS.index(colour)]
            assert world.reached(client, colour, 3) == world.of(colour)
            assert world.is_refused(client, world.addresses[f"vip-{other}"], PORT)
            for pod in world.of(other):
                assert world.is_refused(client, world.addresses[pod], TARGET)
        held = Held(world, stack)

        # an interface moves: for a moment two nodes have it
        mover = world.member("blue", 3)
        one, _, three = cluster.nodes
        world.place(mover, one)
        world.place(mover, three, "DELETE")
        cluster.applied()
        until(partial(_stands, cluster, one, world.interfaces[mover]))
        again = stack.enter_context(Servers())
        again.listen(mover, [TARGET])
        again.start()
        held.go_on(but={mover})
        for number in (1, 2, 3):
            assert world.reached(world.client("blue", number), "blue", 3) == world.of("blue")

        # an agent dies: what it made goes on, also for members that are drained now
        dead, lost = cluster.nodes[1], {world.member("blue", 2), world.member("green", 2)}
        cluster.kill(dead)
        world.drain(world.member("blue", 2))
        world.drain(world.member("green", 2))
        cluster.applied(dead)
        held.go_on(but={mover})
        for colour, number in product(COLOURS, (1, 3)):
            assert world.reached(world.client(colour, number), colour, 4, most=20) == world.of(colour) - lost

        # its host dies: nobody elsewhere notices
        cluster.lose(dead)
        gone = {mover, *lost, *(world.client(colour, 2) for colour in COLOURS)}
        held.go_on(but=gone)
        for colour, number in product(COLOURS, (1, 3)):
            assert world.reached(world.client(colour, number), colour, 4, most=20) == world.of(colour) - lost


def _stands(cluster: Cluster, node: str, interface: str) -> bool:
    rows = cluster.ask(node, "/interfaces")
    return any(row["uuid"] == interface and row["state"] == "done" and row["device"] for row in rows)


def test_a_node_that_is_lost_gets_no_connection_where_its_members_are_probed(cluster: Cluster) -> None:
    world = World(cluster)
    properties = {"monitor_type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1}
    monitor = cluster.post("loadbalancer-healthmonitor", [*PROJECT, "hm"], "project",
                           loadbalancer_healthmonitor_properties=properties)  # fmt: skip
    cluster.link("loadbalancer-pool", world.pools["blue"], "loadbalancer-healthmonitor", monitor)
    cluster.applied()
    with Servers() as servers:
        for number in (1, 2, 3):
            servers.listen(world.member("blue", number), [TARGET])
        servers.start()
        client = world.client("blue", 1)
        until(partial(_reaches, world, client, world.of("blue")))
        cluster.lose(cluster.nodes[2])
        rest = world.of("blue") - {world.member("blue", 3)}
        until(lambda: all(
            row["state"] == "down" for row in cluster.ask(cluster.nodes[0], "/health")
            if row["member"] == world.members[world.member("blue", 3)]
        ))  # type: ignore[arg-type]  # fmt: skip
        cluster.applied(cluster.nodes[2])
        assert world.reached(client, "blue", 3, most=20) == rest


def _reaches(world: World, client: str, pods: set[str]) -> bool:
    try:
        return world.reached(client, "blue", len(pods)) == pods
    except OSError:
        return False
