"""Ten thousand open connections, and what changes of a service's members do to them: nothing."""

import asyncio
import os
import random
import resource
import shutil
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Literal

import pytest
from crowd import BROKEN, Crowd, Held, Who, files, serving
from faults_history import Client, Cluster
from faults_node import Node, Server

from api_client import ApiClient

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(not all(map(shutil.which, ("ip", "nft"))), reason="needs ip and nft"),
]

CONNECTIONS = 10_000
CLIENTS = 4
MEMBERS = 8
DATAGRAMS = 400  # flows of UDP beside them
FILES = CONNECTIONS + 6000


Family = Literal["v4", "v6"]
LISTENERS = {"TCP": (80, 8080), "UDP": (53, 5353)}  # protocol -> port of the VIP, port of the pods


@dataclass
class Service:
    """A VIP with those listeners, for pods of network blue. members: pod -> uuids of its members."""

    api: ApiClient
    client: Client
    vip: str = ""
    members: dict[str, list[str]] = field(default_factory=dict)

    async def build(self, pods: Sequence[str], family: Family) -> None:
        """family: of the VIP; for v6 the pods have both."""
        await self.client.cluster.build(self.api)
        if family == "v6":
            await self.client.add_subnet("blue", "fd00:b::", 64)
            await self.client.add_subnet("services", "fd00:5::", 64)
        listeners = [(protocol, port) for protocol, (port, _) in LISTENERS.items()]
        self.vip = await self.client.make_service("web", *listeners, family=family)
        for pod in pods:
            await self.client.make_pod(pod, "blue")
            if family == "v6":
                await self.client.add_address(f"{pod}-ip6", pod, "blue", "v6")

    async def add(self, pod: str) -> None:
        self.members[pod] = [
            await self.client.make_member("web", protocol, port, pod, target)
            for protocol, (port, target) in LISTENERS.items()
        ]

    async def change(self, pod: str, **properties: object) -> None:
        for uuid in self.members[pod]:
            stored = await self.api.read("loadbalancer-member", uuid, bare=True)
            changed = stored["loadbalancer_member_properties"] | properties
            await self.api.update("loadbalancer-member", uuid, {"loadbalancer_member_properties": changed})

    async def remove(self, pod: str) -> None:
        for uuid in self.members.pop(pod):
            await self.api.delete("loadbalancer-member", uuid)


class Everybody:
    """The connections that are open, and who answered each when it was opened."""

    def __init__(self, crowd: Crowd, clients: Sequence[str], vip: str) -> None:
        self.crowd, self.clients, self.vip = crowd, clients, vip
        self.open: dict[Held, Who] = {}

    def join(self, number: int, protocol: str = "tcp") -> Counter[str]:
        """So many more, and whom they reached."""
        new = self._connect(number, protocol)
        self.open |= {held: held.who for held in new}
        return Counter(held.who[0] for held in new)

    def visit(self, number: int) -> Counter[str]:
        """The same, and they leave again."""
        new = self._connect(number, "tcp")
        self.crowd.close(new)
        return Counter(held.who[0] for held in new)

    def _connect(self, number: int, protocol: str) -> list[Held]:
        port, target = LISTENERS[protocol.upper()]
        new = self.crowd.open(self.clients, self.vip, port, number // len(self.clients), protocol)
        assert {held.who[1] for held in new} == {target}
        return new

    def broken(self) -> Counter[str]:
        """How many are not answered as before, by who answered; they leave. Nobody else may answer a connection; a
        datagram is nobody's connection, and finds another pod when its own is gone."""
        self.crowd.ask(list(self.open))
        lost = [held for held, who in self.open.items() if held.who != who]
        assert [held.who for held in lost if held.protocol == "tcp" and held.who != BROKEN] == []
        assert [held for held in lost if held.protocol == "udp" and held.who == BROKEN] == []
        counts = Counter(self.open.pop(held)[0] for held in lost)
        self.crowd.close(lost)
        return counts

    def talk(self, until: threading.Event) -> None:
        """Without a pause; nobody may be cut off."""
        assert not self.broken()
        while not until.is_set():
            assert not self.broken()


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < FILES, reason=f"needs {FILES} file descriptors")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("family", ["v4", "v6"])
async def test_ten_thousand_connections_outlive_changes(server: Server, name: str, family: Family) -> None:
    clients = [f"{name}-c{number}" for number in range(CLIENTS)]
    pods = [f"{name}-w{number}" for number in range(MEMBERS + 1)]
    async with ApiClient(server.url) as api:
        service = Service(api, Client(Cluster(name, pods=0, services=0), api, random.Random(0)))
        with closing(Node(name, server.url)) as node:
            await service.build([*clients, *pods], family)
            for pod in pods[:MEMBERS]:
                await service.add(pod)
            node.settled()
            with files(FILES), serving(pods, (8080, 5353)), Crowd() as crowd:
                everybody = Everybody(crowd, clients, service.vip)
                served = everybody.join(CONNECTIONS)
                assert served.total() == CONNECTIONS
                assert set(served) == set(pods[:MEMBERS])
                served += everybody.join(DATAGRAMS, "udp")
                assert not everybody.broken()

                await service.add(pods[MEMBERS])
                node.applied()
                assert not everybody.broken()
                reached, fair = everybody.visit(4000), 4000 / len(pods)
                assert 0.8 * fair <= reached[pods[MEMBERS]] <= 1.2 * fair, reached
                served += everybody.join(400)

                await service.change(pods[0], weight=0)
                node.applied()
                assert not everybody.broken()
                assert set(everybody.visit(1000)) == set(pods[1:])

                await service.change(pods[1], weight=4)
                node.applied()
                assert not everybody.broken()
                reached, fair = everybody.visit(1100), 400  # 4 of 4 + 7
                assert 0.8 * fair <= reached[pods[1]] <= 1.2 * fair, reached

                await service.remove(pods[2])
                node.applied()
                assert not everybody.broken()
                assert set(everybody.visit(1000)) == {pods[1], *pods[3:]}

                await service.client.pod_leaves(pods[3])
                node.applied()
                assert everybody.broken() == Counter({pods[3]: served[pods[3]]})
                assert set(everybody.visit(1000)) == {pods[1], *pods[4:]}
                assert not everybody.broken()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("family", ["v4", "v6"])
async def test_random_changes_while_everybody_talks(server: Server, name: str, seed: int, family: Family) -> None:
    """Bursts of changes, the next before the last is applied, and nobody pauses meanwhile."""
    chance = random.Random(seed)
    clients, pods = [f"{name}-c{number}" for number in range(2)], [f"{name}-w{number}" for number in range(6)]
    async with ApiClient(server.url) as api:
        service = Service(api, Client(Cluster(name, pods=0, services=0), api, chance))
        with closing(Node(name, server.url)) as node:
            await service.build([*clients, *pods], family)
            await service.add(pods[0])
            node.settled()
            with serving(pods, (8080, 5353)), Crowd() as crowd:
                everybody = Everybody(crowd, clients, service.vip)
                weights, extra = {pods[0]: 1}, False
                for _ in range(30):
                    if usable := {pod for pod, weight in weights.items() if weight}:
                        assert set(everybody.join(20)) <= usable
                        assert set(everybody.join(4, "udp")) <= usable
                    changed = threading.Event()
                    talking = asyncio.create_task(asyncio.to_thread(everybody.talk, changed))
                    for _ in range(chance.randrange(1, 5)):
                        extra = await _change(chance, service, pods, weights, extra=extra)
                    changed.set()
                    await talking
                    node.applied()
                    assert not everybody.broken()


async def _change(
    chance: random.Random, service: Service, pods: Sequence[str], weights: dict[str, int], *, extra: bool
) -> bool:
    """One of those that may cut nobody off. weights: of the members. extra: whether there is a second listener of TCP,
    which makes groups of the VIP's one; returns the same."""
    pod = chance.choice(pods)
    match chance.choice(["member", "member", "weight", "admin state", "listener"]):
        case "member" if pod in weights:
            await service.remove(pod)
            del weights[pod]
        case "member":
            await service.add(pod)
            weights[pod] = 1
        case "weight" if pod in weights:
            weights[pod] = chance.randrange(4)
            await service.change(pod, weight=weights[pod], admin_state=True)
        case "admin state" if pod in weights:
            weights[pod] = 0
            await service.change(pod, admin_state=False)
        case "listener" if extra:
            await service.client.listener_leaves("web", "TCP", 81)
            return False
        case "listener":
            await service.client.make_listener("web", "TCP", 81)
            return True
    return extra
