"""What goes through a service is counted by the kernel: an agent that is killed meanwhile loses nothing of it, and the
next counts nothing twice."""

import os
import random
import shutil
import threading
import time
from collections import Counter, defaultdict
from contextlib import closing
from typing import Any

import pytest
from faults_history import Client, Cluster
from faults_node import Node, Server
from faults_traffic import Connection, Servers

from api_client import ApiClient

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(not all(map(shutil.which, ("ip", "nft"))), reason="needs ip and nft"),
]

HEADERS = 20 + 8  # bytes of IPv4 and UDP
QUESTION = len(b"who?")
LISTENERS = [("TCP", 80, 80), ("UDP", 80, 80), ("UDP", 443, 81)]  # protocol, port, target port

Place = tuple[str, int, str, int]
"""Protocol and port of a listener, pod and port there."""


class Talk:
    """A client that asks one server after the other, on connections old and new, and keeps account of it until told to
    stop. Each question has its answer before the next, so none is on its way in the end.

    connections: ports of the client, for one that UDP takes again soon is no other connection. answered: bytes.
    """

    def __init__(self, workload: str, vip: str, chance: random.Random) -> None:
        self.connections: dict[Place, set[int]] = defaultdict(set)
        self.exchanges: Counter[Place] = Counter()
        self.answered: Counter[Place] = Counter()
        self.trouble: list[Exception] = []
        self._client, self._vip, self._chance = workload, vip, chance
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def asked(self) -> int:
        return self.exchanges.total()

    def ask(self, questions: int) -> None:
        """Wait until it has asked so many more."""
        wanted = self.asked() + questions
        while self.asked() < wanted and self._thread.is_alive():
            time.sleep(0.01)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        open_ones: list[tuple[Connection, str, int]] = []
        try:
            while not self._stop.is_set():
                if len(open_ones) < 20 or self._chance.random() < 0.1:
                    protocol, port, _ = self._chance.choice(LISTENERS)
                    protocol = protocol.lower()
                    open_ones.append((Connection(self._client, protocol, self._vip, port), protocol, port))
                    self._exchange(*open_ones[-1])
                else:
                    self._exchange(*self._chance.choice(open_ones))
                if len(open_ones) > 40:
                    open_ones.pop(0)[0].close()
        except Exception as error:  # noqa: BLE001  it is the test's
            self.trouble.append(error)
        finally:
            for connection, _, _ in open_ones:
                connection.close()

    def _exchange(self, connection: Connection, protocol: str, port: int) -> Place:
        pod, target = connection.exchange()
        place = protocol, port, pod, target
        self.connections[place].add(connection.socket.getsockname()[1])
        self.exchanges[place] += 1
        self.answered[place] += len(f"{pod} {target}")
        return place


async def test_an_agent_that_is_killed_while_packets_are_counted(server: Server, name: str) -> None:
    cluster = Cluster(name)
    pods = [f"{name}-0", f"{name}-2"]
    async with ApiClient(server.url) as api:
        await cluster.build(api)
        tenant = Client(cluster, api, random.Random(0))
        vip = await tenant.make_service("web", *((protocol, port) for protocol, port, _ in LISTENERS))
        for pod in pods:
            await tenant.make_pod(pod, "blue")
            for protocol, port, target in LISTENERS:
                await tenant.make_member("web", protocol, port, pod, target)
        rows = await api.list("instance-ip", detail=True)
        names = {row["instance_ip_address"]: row["fq_name"][-1].removesuffix("-ip") for row in rows}
        with closing(Node(name, server.url)) as node, Servers() as servers:
            node.settled()
            for pod in pods:
                servers.listen(pod, {target for _, _, target in LISTENERS})
            servers.start()
            talk = Talk(cluster.clients["blue"], vip, random.Random(0))
            try:
                for _ in range(2):
                    talk.ask(200)
                    node.kill()
                    talk.ask(200)  # that nobody looks at
                    node.start()
                    node.applied()
                    asked = talk.asked()
                    assert told(node)["packets"] >= asked  # from the first look on
                node.settled()
                talk.ask(200)
            finally:
                talk.stop()
            assert talk.trouble == []
            web = told(node)
            found = {
                (one["protocol"], one["port"], names[member["address"]], member["port"]): member
                for one in web["listeners"] for member in one["members"]
            }  # fmt: skip
            assert found.keys() == talk.exchanges.keys()
            for place, member in found.items():
                assert member["connections"] == len(talk.connections[place]), place
                if place[0] == "udp":
                    exchanges = talk.exchanges[place]
                    assert (member["packets"], member["reverse_packets"]) == (exchanges, exchanges)
                    assert member["bytes"] == exchanges * (HEADERS + QUESTION)
                    assert member["reverse_bytes"] == exchanges * HEADERS + talk.answered[place]
            for counter in ("connections", "packets", "bytes", "reverse_packets", "reverse_bytes"):
                for listener in web["listeners"]:
                    assert listener[counter] == sum(member[counter] for member in listener["members"])
                assert web[counter] == sum(listener[counter] for listener in web["listeners"])


def told(node: Node) -> dict[str, Any]:
    """Of the one service, where clients of its network meet it."""
    (web,) = [row for row in node.ask("/stats?service=web") if row["packets"]]
    return dict(web)
