"""Two hundred nodes on one server: whom a change concerns hears of it at once, and nobody else at all."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from counted import Counted
from faults_node import Server

from api_client import ApiClient, Operation, Snapshot
from vrouter.agent import Agent
from vrouter.backends.protocol import BackendSettings
from vrouter.backends.simulator import SimulatorBackend
from vrouter.objects import WATCHED
from vrouter.settings import AgentSettings
from vrouter.state import Vip

pytestmark = pytest.mark.slow

NODES, NETWORKS, PODS, MEMBERS = 200, 20, 20, 8
PROJECT = ["default-domain", "default-project"]
KEPT_ALIVE = re.compile(rb"([0-9a-f]+\r\n(:|event: bookmark\nid: \d+\ndata: \{\"revision\":\d+\})\n\n\r\n)?")


def whose(line: str) -> str | None:
    """The node whose watch it is."""
    found = re.match(r"GET /watch\?.*node%3A([^%,& ]+)", line)
    return found[1] if found else None


def node_of(network: int, pod: int) -> str:
    """Each node has pods of one network."""
    return f"node-{network + NETWORKS * (pod % (NODES // NETWORKS))}"


class World:
    """interfaces: uuids by name."""

    def __init__(self, api: ApiClient) -> None:
        self.api = api
        self.interfaces: dict[str, str] = {}

    async def build(self) -> None:
        machines: dict[str, list[str]] = {f"node-{number}": [] for number in range(NODES)}
        for network in range(NETWORKS):
            await self.api.transaction([*self.network(network)])
            for pod in range(PODS):
                machines[node_of(network, pod)].append(f"pod-{network}-{pod}")
        await self.api.transaction([
            _new("virtual-router", ["default-global-system-config", node],
                 virtual_router_ip_address=f"192.0.2.{number}", virtual_machine_refs=[{"to": [name]} for name in some])
            for number, (node, some) in enumerate(machines.items(), 1)
        ])  # fmt: skip

    def network(self, network: int) -> Iterator[Operation]:
        """With a service of some of its pods."""
        name = [*PROJECT, f"net-{network}"]
        subnet = {"ipam_subnets": [{"subnet": {"ip_prefix": "10.0.0.0", "ip_prefix_len": 16}}]}
        ipam = {"to": [*PROJECT, "default-network-ipam"], "attr": subnet}
        yield _new("virtual-network", name, network_ipam_refs=[ipam])
        for pod in range(PODS):
            yield _new("virtual-machine", [f"pod-{network}-{pod}"])
            yield from self.interface(f"pod-{network}-{pod}", name, [f"pod-{network}-{pod}"])
        yield from self.interface(f"vip-{network}", name)
        balancer, listener, pool = ([*PROJECT, f"{kind}-{network}"] for kind in ("lb", "ls", "pool"))
        vip = [{"to": [*PROJECT, f"vip-{network}"]}]
        yield _new("loadbalancer", balancer, loadbalancer_provider="native", virtual_machine_interface_refs=vip)
        served = {"protocol": "TCP", "protocol_port": 80}
        yield _new("loadbalancer-listener", listener, loadbalancer_refs=[{"to": balancer}],
                   loadbalancer_listener_properties=served)  # fmt: skip
        yield _new("loadbalancer-pool", pool, loadbalancer_listener_refs=[{"to": listener}])
        for pod in range(MEMBERS):
            yield self.member(network, pod)

    def interface(self, name: str, network: Sequence[str], *machines: Sequence[str]) -> Iterator[Operation]:
        own, there = [*PROJECT, name], [{"to": [*network]}]
        uuid = self.interfaces[name] = str(uuid4())
        refs = {"virtual_machine_refs": [{"to": [*machine]} for machine in machines]} if machines else {}
        yield _new(
            "virtual-machine-interface", own, uuid=uuid, parent_type="project", virtual_network_refs=there, **refs
        )
        holder = [{"to": own}]
        yield _new("instance-ip", [f"ip-{name}"], virtual_network_refs=there, virtual_machine_interface_refs=holder)

    def member(self, network: int, pod: int) -> Operation:
        named = {"key": "vmi", "value": self.interfaces[f"pod-{network}-{pod}"]}
        return _new(
            "loadbalancer-member", [*PROJECT, f"pool-{network}", f"m-{pod}"],
            loadbalancer_member_properties={"protocol_port": 8080}, annotations={"key_value_pair": [named]},
        )  # fmt: skip


def _new(kind: str, name: Sequence[str], **fields: object) -> Operation:
    return Operation("POST", f"/{kind}s", {kind: {"fq_name": [*name], **fields}})


@asynccontextmanager
async def agents(url: str) -> AsyncIterator[dict[str, Agent]]:
    """The real ones, on simulated data planes."""
    found = {
        name: Agent(AgentSettings(url, name, introspect_port=0), SimulatorBackend(BackendSettings(name)))
        for name in (f"node-{number}" for number in range(NODES))
    }
    stop = asyncio.Event()
    running = [asyncio.create_task(agent.run(stop)) for agent in found.values()]
    try:
        yield found
    finally:
        stop.set()
        await asyncio.gather(*running)


def members(agent: Agent) -> int:
    """Of all VIPs that stand on a node."""
    vips = [unit for unit in agent.reconciler.applied.values() if isinstance(unit, Vip)]
    return sum(len(listener.members) for vip in vips for listener in vip.listeners)


async def until(many: Sequence[Agent], number: int) -> None:
    async with asyncio.timeout(120.0):
        while any(members(agent) != number for agent in many):
            await asyncio.sleep(0.02)


@pytest.mark.timeout(400)
async def test_a_change_is_the_affair_of_its_network_alone(server: Server) -> None:
    async with ApiClient(server.url) as api:
        world = World(api)
        await world.build()
        async with Counted(server.port, whose) as way, agents(way.url) as found:
            await until([*found.values()], MEMBERS)
            await asyncio.sleep(1.0)
            theirs = [found[f"node-{number}"] for number in range(0, NODES, NETWORKS)]
            way.forget()
            await api.transaction([world.member(0, MEMBERS)])
            await until(theirs, MEMBERS + 1)
            await asyncio.sleep(1.0)  # a bookmark would have come by now
            assert way.heard.keys() == found.keys()
            for name, agent in found.items():
                if agent in theirs:
                    assert b"m-8" in way.heard[name]
                else:
                    assert KEPT_ALIVE.fullmatch(bytes(way.heard[name])), (name, way.heard[name][:200])
        everything = await anext(api.watch(WATCHED))
        assert isinstance(everything, Snapshot)
        total = sum(map(len, everything.objects.values()))
        for agent in found.values():
            assert sum(agent.cache.counts().values()) <= total / 10
